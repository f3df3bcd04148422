"""Leaves the scores out of packed CSV files where returns give them back, byte for byte.

Scores are returns on another scale, with digits of their own: up to a third of a packed run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import cached_property

from harness.files import parse_object

_TABLES = ("/evaluations.csv", "/online.csv")
_SCORE, _RETURN = "normalized_score", "return"


def without_scores(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """The tables that `with_scores` gives back, by `<cell>/seed-<n>/<file>`, without their scores.

    Any other file of the runs, and a table whose scores are not those of its returns, is none.
    """
    found = {}
    for name in members:
        spec = _spec(name)
        if name.endswith(_TABLES) and spec in members:
            with suppress(ValueError):  # it is no table of a run's
                emptied = _rewritten(members[name], lambda _score, _return: "")
                if _filled(emptied, members[spec]) == members[name] != emptied:
                    found[name] = emptied
    return found


def with_scores(members: Mapping[str, bytes], names: Collection[str]) -> dict[str, bytes]:
    """The tables of these names as `without_scores` had them.

    Raises ValueError for one that it has not made, or whose run has no spec.
    """
    if absent := sorted({*names, *map(_spec, names)} - members.keys()):
        raise ValueError(f"it lacks {', '.join(absent[:4])}")
    return {name: _filled(members[name], members[_spec(name)]) for name in names}


class _Scale:
    """`TaskSpec.normalized_score` of the run of a spec, as it was when runs were packed."""

    def __init__(self, spec: bytes) -> None:
        self._spec = spec

    @cached_property
    def _reference(self) -> tuple[float, float]:
        try:
            reference = parse_object(self._spec)["task"]["reference"]
            low, high = float(reference["min"]), float(reference["max"])
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError("spec.json has no reference scores") from error
        if low == high:
            raise ValueError("spec.json has equal reference scores")
        return low, high

    def __call__(self, episode_return: str) -> str:
        low, high = self._reference
        return repr(100.0 * (float(episode_return) - low) / (high - low))


def _spec(name: str) -> str:
    """What says of which task the run is that has the table."""
    return f"{name.rpartition('/')[0]}/spec.json"


def _filled(table: bytes, spec: bytes) -> bytes:
    scale = _Scale(spec)
    return _rewritten(table, lambda _score, of_return: scale(of_return))


def _rewritten(table: bytes, score_of: Callable[[str, str], str]) -> bytes:
    """The table with other scores, each made of what stood there and of the episode's return."""
    header, *rows = table.decode().split("\n")
    names = header.split(",")
    if not {_SCORE, _RETURN} <= {*names}:
        return table
    score, of_return = names.index(_SCORE), names.index(_RETURN)
    lines = [header]
    for row in rows:
        cells = row.split(",")
        if len(cells) == len(names):
            cells[score] = score_of(cells[score], cells[of_return])
        lines.append(",".join(cells))
    return "\n".join(lines).encode()
