"""From D4RL's rows to episodes.

The steps taken are those of D4RL's `qlearning_dataset` (d4rl/__init__.py @ 89141a6), from which
published results learnt:

* A step's successor is the next row's observation. A step that a timeout ends has none and is left
  out, and so is the file's last row. `next_observations` would allow for keeping it in locomotion
  files only; then a task would not be the published one, nor these files and Adroit's alike.
* A terminal step stays. Nothing bootstraps from its successor, which is its `next_observations`
  where the file has them, else its own observation once more (D4RL: the next episode's first).

Known faults of the files, each counted in the manifest:

* Ends of replay data are not always marked (D4RL issue 162), so that D4RL learns steps between
  unrelated states. Where `next_observations` do not go on in the next row, a timeout is taken.
* Files without `timeouts` (D4RL issues 40 and 176) are cut at the horizon, as D4RL does.
* maze2d's drive never ends: `timeouts` mark its controller's goals (D4RL issue 85), and the row
  after one can repeat the observation before (generate_maze2d_datasets.py). Both stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from harness.data.minari_format import EpisodeArrays
from harness.data.recipes.d4rl_steps import Flags, Steps

_SAME = 1e-6  # greatest norm of the difference between two records of one observation


@dataclass(frozen=True)
class Episodes:
    """How rows make episodes, one entry an episode.

    Attributes:
        steps: the rows.
        ends: one past each episode's last row; the next one starts there.
        terminal: whether the last row is a terminal step, which stays; any other is left out.
        unmarked: number of ends that the file does not mark.
    """

    steps: Steps
    ends: NDArray[np.int64]
    terminal: Flags
    unmarked: int

    @property
    def starts(self) -> NDArray[np.int64]:
        return np.concatenate([[0], self.ends[:-1]])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps that are taken of each episode, which may be none."""
        return self.ends - self.starts - ~self.terminal

    def __iter__(self) -> Iterator[EpisodeArrays]:
        """The episodes that steps are taken of, as Minari has them."""
        for index in np.flatnonzero(self.lengths):
            yield self._arrays(
                int(self.starts[index]), int(self.ends[index]), bool(self.terminal[index])
            )

    def _arrays(self, start: int, end: int, terminal: bool) -> EpisodeArrays:
        steps = self.steps
        observations = steps.observations[start:end]
        if terminal:
            known = steps.next_observations
            successor = (steps.observations if known is None else known)[end - 1 : end]
            observations = np.concatenate([observations, successor])
        else:
            end -= 1
        last = np.arange(start, end) == end - 1
        return {
            "observations": observations,
            "actions": steps.actions[start:end],
            "rewards": steps.rewards[start:end],
            "terminations": last & terminal,
            "truncations": last & (not terminal),
        }

    def facts(self) -> dict[str, JsonValue]:
        """What the file holds and what was done about it, for the manifest."""
        steps, later = self.steps, self.starts[1:]
        returns = np.add.reduceat(steps.rewards.astype(np.float64), self.starts)
        repeated = (steps.observations[later] == steps.observations[later - 1]).all(axis=1)
        no_successor = steps.next_observations is None
        return {
            "steps in the file": len(steps),
            "episodes in the file": len(self.ends),
            "mean return in the file": round(float(returns.mean()), 6),
            "terminal steps": int(self.terminal.sum()),
            "terminal steps without successor": int(self.terminal.sum()) if no_successor else 0,
            "timeouts": "absent, taken at the horizon" if steps.timeouts is None else "recorded",
            "ends not marked": self.unmarked,
            "steps left out": len(steps) - int(self.lengths.sum()),
            "episodes that begin with the observation before": int(repeated.sum()),
        }


def stitch(steps: Steps, horizon: int) -> Episodes:
    """The episodes of a file's rows; `horizon` is for files that do not record timeouts."""
    timeouts = (
        _at_the_horizon(steps.terminals, horizon) if steps.timeouts is None else steps.timeouts
    )
    unmarked = _breaks(steps) & ~(steps.terminals | timeouts)
    cut = timeouts | unmarked
    cut[-1] = True
    ends = np.flatnonzero(cut | steps.terminals) + 1
    return Episodes(
        steps=steps,
        ends=ends,
        terminal=steps.terminals[ends - 1] & ~cut[ends - 1],
        unmarked=int(unmarked.sum()),
    )


def _at_the_horizon(terminals: Flags, horizon: int) -> Flags:
    """Whether a row is the last of so many since an end."""
    rows = np.arange(len(terminals))
    begins = np.concatenate([[True], terminals[:-1]])
    since = rows - np.maximum.accumulate(np.where(begins, rows, 0))
    return np.asarray(since % horizon == horizon - 1)


def _breaks(steps: Steps) -> Flags:
    """Whether a row's recorded successor is not the next row's observation."""
    breaks = np.zeros(len(steps), np.bool_)
    if steps.next_observations is not None:
        jumps = steps.observations[1:] - steps.next_observations[:-1]
        breaks[:-1] = np.linalg.norm(jumps, axis=1) > _SAME
    return breaks
