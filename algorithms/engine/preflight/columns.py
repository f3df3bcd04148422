"""Tries what stages compute over the whole data."""

from __future__ import annotations

import functools
from collections.abc import Container
from typing import Any

import torch
from torch import Tensor

from algorithms.base import Algorithm, Column, Networks
from algorithms.engine.preflight.attempt import ROUNDING, attempt, here_note, kind, same
from algorithms.engine.preflight.inputs import DeclaredNoise, Inputs, Sizes
from algorithms.engine.preflight.watch import call
from algorithms.engine.streams import draw, generator
from algorithms.errors import AlgorithmError, definition


class _Computed(dict[str, Tensor]):
    """Columns by name, which know what to say of one that is not there yet."""

    def __missing__(self, name: str) -> Tensor:
        raise AlgorithmError(
            f"batch.columns['{name}'] is not there yet: a column sees those before it in its stage "
            f"and those of the stage before (here {', '.join(self) or 'none'})"
        )


def evaluate_column(
    method: Algorithm[Any], column: Column, nets: Networks, inputs: Inputs, known: Container[str]
) -> Tensor:
    """A column of some transitions, which are not in windows. -> [S, B] or [S, B, dim].

    known: names of the columns that are there by then.
    """
    batch = inputs.copied().batch
    if method.context:
        batch = batch.map(lambda field: field[:, :, 0])
    seen = _Computed({name: value for name, value in batch.columns.items() if name in known})
    batch = batch._replace(columns=seen)
    seeds, transitions = batch.rewards.shape
    # From the last on, so that a seed has the same with another one before all.
    streams = [generator("preflight", "column", n) for n in reversed(range(seeds))]
    noise = DeclaredNoise(draw(column.noise, streams, (transitions,)), "the noise of its Column")
    with torch.no_grad():
        return column.evaluate(nets, batch, *([noise] if column.noise else []))


def check_columns(method: Algorithm[Any], number: int, inputs: Inputs, sizes: Sizes) -> None:
    """Raises AlgorithmError for a stage's column that cannot be computed as it is declared."""
    before = method.stages[number - 1].columns if number else {}
    known = {*before}
    for name, column in method.stages[number].columns.items():
        _check(method, name, column, inputs, sizes, known)
        known.add(name)


def _check(
    method: Algorithm[Any],
    name: str,
    column: Column,
    inputs: Inputs,
    sizes: Sizes,
    known: Container[str],
) -> None:
    """Raises AlgorithmError for one of another shape than declared, or whose seeds mix."""
    where = functools.partial(definition, column.evaluate, type(method))
    note = here_note(sizes)

    def evaluated(given: Inputs) -> Any:
        arguments = (evaluate_column, method, column, given.nets(method), given, known)
        return attempt(type(method), where, call, *arguments, note=note)

    alone, beside = evaluated(inputs.after(1)), evaluated(inputs)
    dims = (column.dim,) if column.dim else ()
    expected = (sizes.seeds, sizes.transitions, *dims)
    if not isinstance(alone, Tensor) or alone.shape != expected:
        several = "" if dims else "; if it holds several numbers of each transition, say so by dim"
        raise AlgorithmError(
            f"the column '{name}' must be {sizes.shape(expected)}, found {kind(alone, sizes)}"
            f"{several}",
            where(),
        )
    if beside.shape[1:] != expected[1:] or not same(alone, beside[1:], ROUNDING):
        raise AlgorithmError(
            f"seeds mix: the column '{name}' of one seed changes with the other seeds", where()
        )
