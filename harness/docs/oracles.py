"""What each method was compared with, as a Markdown table.

The differences are in a data file beside this one: to measure them takes code that is not installed
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
_FILE = Path(__file__).with_name("oracles.json")


def read_oracles() -> list[Oracle]:
    """Those of every method of this repository. Raises UserError if they cannot be read."""
    try:
        return _ORACLES.validate_json(_FILE.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"{_FILE} cannot be read: {error}") from error


def worst_differences(oracle: Oracle) -> str:
    """As `losses 3e-07, weights 0`."""
    return ", ".join(f"{kind} {f'{x:.0e}' if x else '0'}" for kind, x in oracle.differences.items())


def oracles_table(place: Place) -> str:
    """A line for each oracle of every method of this repository.

    Raises UserError: they cannot be read, or a method has none.
    """
    oracles = read_oracles()
    lines = [
        "| Method | Family | Paper | Oracle | Version | Compared | Worst difference |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for entry in filter(is_ours, registry.algorithms().values()):
        found = [oracle for oracle in oracles if oracle.method == entry.id]
        if not found:
            raise UserError(
                f"{_FILE.name} has no oracle of '{entry.id}': give it one "
                "(tests/oracles/README.md) and run `python -m tests.oracles`"
            )
        for oracle in found:
            link = f"[{oracle.oracle}]({place.link(ROOT / oracle.file)})"
            start = f"| `{entry.id}` | {entry.family} | {paper_link(entry.paper)} "
            lines.append(
                f"{start}| {link} | {oracle.version or '–'} | {oracle.compared} "
                f"| {worst_differences(oracle)} |"
            )
    return "\n".join(lines)
