"""`python -m tests.oracles`: compares ours with every oracle, into harness/docs/oracles.json."""

from __future__ import annotations

import json
from typing import Any

from tests.oracles.plain import measure, plain_oracles
from tests.oracles.replay import FOLDER, RECORDS, differences, load

TABLE = FOLDER.parents[1] / "harness" / "docs" / "oracles.json"


def main() -> None:
    plain = plain_oracles()
    worst = measure(plain.values())
    recorded: dict[str, list[dict[str, Any]]] = {name: [] for name in plain}
    for name in RECORDS:
        record = load(name)
        rounded = {kind: _rounded(value) for kind, value in differences(record).items()}
        recorded[record.method].append({**record.row(), "differences": rounded})
    rows: list[dict[str, Any]] = []
    for method, oracle in plain.items():
        rows += recorded[method]
        rows.append(
            {
                "method": method,
                "oracle": oracle.oracle,
                "version": "",
                "file": oracle.file,
                "compared": oracle.compared,
                "differences": {oracle.kind: _rounded(worst[oracle])},
            }
        )
    TABLE.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _rounded(difference: float) -> float:
    return float(f"{difference:.0e}")


if __name__ == "__main__":
    main()
