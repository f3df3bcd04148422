"""Public Minari datasets, from the user's own Minari root or as `data fetch` downloaded them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from harness.data.minari_format import EpisodeArrays
from harness.data.minari_roots import PublicDataset, check_version, download_root, find, user_root
from harness.data.recipe import whole_episodes
from harness.data.recipes.minari_import import MinariImport, datasets_of, metadata_of
from harness.data.store import make_command
from harness.errors import UserError
from harness.tasks.reward_sign import D4RL_SIGN, recorded_sign, with_d4rl_sign
from harness.tasks.spec import TaskSpec

_SIGN_ROWS = 200_000  # which are enough to tell the sign


class MinariRemote(MinariImport):
    """Datasets of D4RL's tasks; where rewards carry a distance of either sign, they get D4RL's."""

    kind: ClassVar[str] = "public Minari data, imported"
    remedy: ClassVar[str] = "Delete its dataset's folder and fetch it again."

    def files(self, task: TaskSpec) -> list[Path]:
        """The data file of each dataset. Raises UserError for one that is not on this machine."""
        return [dataset.data_file for dataset in _public(task)]

    def episodes(
        self, task: TaskSpec, workers: int | None, progress: Callable[[int], None]
    ) -> Iterator[EpisodeArrays]:
        """As imported, once the files are known to be the remote's and for the installed Minari."""
        for dataset in _public(task):
            if damage := dataset.damage():
                raise UserError(f"{damage}. {self.remedy}")
            check_version(dataset.id, metadata_of(dataset.data_file))
        yield from super().episodes(task, workers, progress)

    def constants(self, task: TaskSpec) -> dict[str, JsonValue]:
        """sha256 and revision of what was read, and the sign that rewards were recorded with."""
        found = super().constants(task)
        found |= {f"revision of {dataset.id}": dataset.revision for dataset in _public(task)}
        if hand := _hand(task):
            sign = recorded_sign(hand, self._first_columns(task))
            found["palm's distance in recorded rewards"] = sign or "neither added nor subtracted"
        return found

    def rewards(self, task: TaskSpec, columns: EpisodeArrays) -> NDArray[Any]:
        """As recorded; Adroit's with D4RL's sign. Raises UserError if the sign cannot be told."""
        hand = _hand(task)
        if hand is None:
            return super().rewards(task, columns)
        rewards = with_d4rl_sign(hand, columns)
        if rewards is None:
            raise UserError(
                f"{task.dataset.id}: its rewards neither add nor subtract the palm's distance, so "
                f"they are not those of a {hand} task as D4RL or gymnasium-robotics pays them."
            )
        return rewards

    def _first_columns(self, task: TaskSpec) -> EpisodeArrays:
        episodes = (episode for file in self.files(task) for episode in self._read(file))
        columns = [self.columns(episode) for episode in whole_episodes(episodes, _SIGN_ROWS)]
        return {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}


def _public(task: TaskSpec) -> list[PublicDataset]:
    found = {dataset_id: find(dataset_id) for dataset_id in datasets_of(task)}
    if missing := [dataset_id for dataset_id, dataset in found.items() if dataset is None]:
        raise UserError(
            f"{' and '.join(missing)}, which {task.id} learns from, is neither in {user_root()} "
            f"nor in {download_root()}. Download it with: {make_command(task)}"
        )
    return [dataset for dataset in found.values() if dataset is not None]


def _hand(task: TaskSpec) -> str | None:
    """Whose distance the task's rewards are corrected by, if any."""
    return next((hand for hand, rule in D4RL_SIGN.items() if rule == task.dataset.rewards), None)


RECIPE = MinariRemote()
