"""Leaves the scores out of packed CSV files where returns give them back, byte for byte.

Scores are returns on another scale, with digits of their own: up to a third of a packed run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property

from harness.files import parse_object

_TABLES = ("evaluations.csv", "online.csv")
_SCORE, _RETURN = "normalized_score", "return"


def without_scores(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files of runs by `<cell>/seed-<n>/<file>`, without the scores that `with_scores` fills in."""
    left = dict(members)
    for name, scale in _tables(members):
        with suppress(ValueError):  # it is none of a run's, and is kept as it is
            emptied = _rewritten(members[name], lambda _score, _return: "")
            if _filled(emptied, scale) == members[name]:
                left[name] = emptied
    return left


def with_scores(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """What `without_scores` was given. Raises ValueError for a table that it has not made."""
    filled = {name: _filled(members[name], scale) for name, scale in _tables(members)}
    return {**members, **filled}


class _Scale:
    """`TaskSpec.normalized_score` of the run of a spec, as it was when runs were packed."""

    def __init__(self, spec: bytes) -> None:
        self._spec = spec

    @cached_property
    def _reference(self) -> tuple[float, float]:
        try:
            reference = parse_object(self._spec)["task"]["reference"]
            return float(reference["min"]), float(reference["max"])
        except (KeyError, TypeError) as error:
            raise ValueError("spec.json has no reference scores") from error

    def __call__(self, episode_return: str) -> str:
        low, high = self._reference
        return repr(100.0 * (float(episode_return) - low) / (high - low))


def _tables(members: Mapping[str, bytes]) -> Iterator[tuple[str, _Scale]]:
    for name in members:
        run, _, file = name.rpartition("/")
        if file in _TABLES and f"{run}/spec.json" in members:
            yield name, _Scale(members[f"{run}/spec.json"])


def _filled(table: bytes, scale: _Scale) -> bytes:
    return _rewritten(table, lambda score, of_return: score or scale(of_return))


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
