"""What each sampler was compared with, as a Markdown table.

The differences are in a data file beside this one: to measure them takes code that is not installed
(tests/oracles/samplers/).
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pydantic import BaseModel, TypeAdapter, ValidationError

from harness.docs.methods import ROOT
from harness.docs.place import Place
from harness.errors import UserError


class Sampler(BaseModel):
    """A library's sampler, and how far ours is from it."""

    library: str
    version: str  # or commit
    block: str  # of ours, a file of this repository
    compared: str
    difference: float  # the largest absolute one


_SAMPLERS = TypeAdapter(list[Sampler])
_FILE = Path(__file__).with_name("samplers.json")


def samplers_table(place: Place) -> str:
    """A line for each. Raises UserError if they cannot be read."""
    try:
        samplers = _SAMPLERS.validate_json(_FILE.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"{_FILE} cannot be read: {error}") from error
    lines = [
        "| Block | Library | Version | Compared | Worst difference |",
        "| --- | --- | --- | --- | --- |",
    ]
    for sampler in samplers:
        link = f"[{PurePosixPath(sampler.block).stem}]({place.link(ROOT / sampler.block)})"
        worst = f"{sampler.difference:.0e}" if sampler.difference else "0"
        lines.append(
            f"| {link} | {sampler.library} | {sampler.version} | {sampler.compared} | {worst} |"
        )
    return "\n".join(lines)
