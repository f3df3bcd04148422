"""`python -m tests.oracles.samplers`: compares ours with every record, into a table's data."""

from __future__ import annotations

import json
from typing import Any

from tests.oracles.samplers.replay import FOLDER, RECORDS, difference, load

TABLE = FOLDER.parents[2] / "harness" / "docs" / "samplers.json"


def rows() -> list[dict[str, Any]]:
    """A line of the table each: what a record says, and the difference to one digit."""
    return [
        {**load(name).about, "difference": float(f"{difference(name):.0e}")} for name in RECORDS
    ]


if __name__ == "__main__":
    TABLE.write_text(json.dumps(rows(), indent=1, ensure_ascii=False) + "\n", "utf-8")
