"""What each method was compared with, as a Markdown table.

The differences are in a data file beside the page: to measure them takes code that is not installed
(tests/oracles/).
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from algorithms import registry
from harness.docs.methods import ROOT, is_ours, paper_link
from harness.docs.place import Place
from harness.errors import UserError


class Oracle(BaseModel):
    """An independent implementation of a method, and how far ours is from it."""

    method: str
    oracle: str
    version: str  # or commit; empty: it is the test itself
    file: str  # of this repository, where the comparison is
    compared: str
    differences: dict[str, float]  # the largest absolute one, by what was compared


_ORACLES = TypeAdapter(list[Oracle])


def oracles_table(place: Place, file: str) -> str:
    """A line for each oracle of every method of this repository.

    Args:
        place: where the text is to stand.
        file: JSON, a list of `Oracle`; beside the page.

    Raises:
        UserError: the file cannot be read, or a method has no oracle.
    """
    oracles = _read(place.page.with_name(file))
    lines = [
        "| Method | Family | Paper | Oracle | Version | Compared | Worst difference |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for entry in filter(is_ours, registry.algorithms().values()):
        found = [oracle for oracle in oracles if oracle.method == entry.id]
        if not found:
            raise UserError(
                f"{file} has no oracle of '{entry.id}': give it one (tests/oracles/README.md) and "
                "run `python -m tests.oracles`"
            )
        for oracle in found:
            link = f"[{oracle.oracle}]({place.link(ROOT / oracle.file)})"
            worst = ", ".join(f"{kind} {_short(x)}" for kind, x in oracle.differences.items())
            start = f"| `{entry.id}` | {entry.family} | {paper_link(entry.paper)} "
            lines.append(
                f"{start}| {link} | {oracle.version or '–'} | {oracle.compared} | {worst} |"
            )
    return "\n".join(lines)


def _short(difference: float) -> str:
    return f"{difference:.0e}" if difference else "0"


def _read(path: Path) -> list[Oracle]:
    try:
        return _ORACLES.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
