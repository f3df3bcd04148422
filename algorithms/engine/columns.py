"""What a stage computes over the whole data before its first update, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algorithms.base import Batch, Column, Networks, NoiseSpec
from algorithms.engine.learning_state import SeedState, stacked
from algorithms.engine.streams import draw, generator
from algorithms.transitions import Floats, Transitions

COLUMNS, BEGUN = "columns/", "columns_begun/"  # how their names in a seed's state begin
# Of the data, a seed: of each a method may look at many actions, and a CPU's cache is to hold them.
_ROWS_AT_ONCE = {"cpu": 32, "cuda": 8192}


@dataclass(frozen=True)
class WholeData:
    """All of the data, as columns are computed of them.

    Attributes:
        transitions: N of them, in time order.
        rewards: transformed, [N].
        batch: the transitions of these rows, [S, B], with these columns beside them.
        device: where columns are kept.
    """

    transitions: Transitions
    rewards: Floats
    batch: Callable[[Tensor, Mapping[str, Tensor]], Batch]
    device: torch.device


@dataclass
class _Begun:
    """A column of which the first `rows` are there."""

    values: Tensor  # [S, N] or [S, N, dim]
    rows: int = 0


class Columns:
    """The columns of the stage that trains, and as much as there is of those of the next.

    Attributes:
        values: of the stage that trains, by name: [S, N] or [S, N, dim].
    """

    def __init__(self, data: WholeData) -> None:
        self._data = data
        self.values: dict[str, Tensor] = {}
        self._begun: dict[str, _Begun] = {}

    def compute(
        self, columns: Mapping[str, Column], nets: Networks, seeds: Sequence[int], stage: int
    ) -> Iterator[float]:
        """Go on with the next stage's, yielding after every part which share of all is there.

        Each seed draws from a stream of its own for every stage, column and part. Raises ValueError
        for a column of another shape than it declares.
        """
        total, at_once = len(self._data.rewards), _ROWS_AT_ONCE[self._data.device.type]
        for place, (name, column) in enumerate(columns.items()):
            dims = (column.dim,) if column.dim else ()
            if name not in self._begun:
                shape = (len(seeds), total, *dims)
                self._begun[name] = _Begun(torch.empty(shape, device=self._data.device))
            begun = self._begun[name]
            while begun.rows < total:
                start, end = begun.rows, min(begun.rows + at_once, total)
                noise = self._draw(
                    column.noise, ((s, stage, name, start) for s in seeds), end - start
                )
                found = self._evaluate(name, column, nets, range(start, end), noise)
                begun.values[:, start:end], begun.rows = found, end
                if end == total and column.combine is not None:
                    values = begun.values.cpu().numpy()
                    combined = column.combine(values, self._data.transitions, self._data.rewards)
                    begun.values.copy_(torch.from_numpy(np.asarray(combined, np.float32)))
                yield (place + end / total) / len(columns)

    def _draw(
        self, specs: NoiseSpec, keys: Iterable[tuple[int | str, ...]], count: int
    ) -> dict[str, Tensor]:
        if not specs:
            return {}
        streams = [generator("column", *key, device=self._data.device) for key in keys]
        return draw(specs, streams, (count,))

    def _evaluate(
        self, name: str, column: Column, nets: Networks, rows: range, noise: Mapping[str, Tensor]
    ) -> Tensor:
        """What the networks say of some rows. -> [S, B] or [S, B, dim]."""
        begun = self._begun[name].values
        known = {k: b.values for k, b in self._begun.items() if k != name}
        indices = torch.arange(rows.start, rows.stop, device=self._data.device)
        with torch.no_grad():
            batch = self._data.batch(indices.expand(len(begun), -1), {**self.values, **known})
            found = column.evaluate(nets, batch, *([noise] if column.noise else []))
        expected = (len(begun), len(rows), *begun.shape[2:])
        if found.shape != expected:
            raise ValueError(
                f"the column '{name}' must be {list(expected)} of {len(rows)} transitions, found "
                f"{list(found.shape)}; if it holds several numbers of each, say so by its `dim`"
            )
        return found

    def finish(self) -> None:
        """Let the next stage's, all of them there, be those of the stage that trains."""
        self._replace({name: begun.values for name, begun in self._begun.items()})
        self._begun = {}

    def _replace(self, values: Mapping[str, Tensor]) -> None:
        """A column of a name that is there already stays where it is in memory."""
        for name, column in values.items():
            if name in self.values:
                self.values[name].copy_(column)
            else:
                self.values[name] = column
        self.values = {name: self.values[name] for name in values}

    def of_slot(self, slot: int) -> SeedState:
        """A copy of one seed's; of what is begun, the rows that are there."""
        values = {f"{COLUMNS}{name}": column[slot] for name, column in self.values.items()}
        begun = {f"{BEGUN}{name}": b.values[slot, : b.rows] for name, b in self._begun.items()}
        return {name: part.cpu().numpy().copy() for name, part in {**values, **begun}.items()}

    def load(self, states: Sequence[SeedState]) -> None:
        """Take over `of_slot()` of every seed.

        What is begun is left where seeds are not equally far: a run was killed as it saved them.
        """
        self._replace(stacked(states, COLUMNS, self._data.device))
        far = {tuple((k, len(v)) for k, v in s.items() if k.startswith(BEGUN)) for s in states}
        self._begun = {}
        if len(far) > 1:
            return
        for name, found in stacked(states, BEGUN, self._data.device).items():
            rows = found.shape[1]
            values = found.new_empty(len(found), len(self._data.rewards), *found.shape[2:])
            values[:, :rows] = found
            self._begun[name] = _Begun(values, rows)
