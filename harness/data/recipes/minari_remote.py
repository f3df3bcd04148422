"""Public Minari datasets, from the user's own Minari root or as `data fetch` downloaded them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from harness.data.minari_format import DATA_FILE, EpisodeArrays
from harness.data.recipe import whole_episodes
from harness.data.recipes.minari_import import MinariImport, datasets_of
from harness.data.sources import minari_download
from harness.data.sources.download_lock import SourceFile
from harness.data.sources.minari_metadata import metadata_of
from harness.data.sources.minari_roots import (
    PublicDataset,
    check_version,
    download_root,
    find,
    user_root,
)
from harness.errors import UserError
from harness.tasks.reward_sign import recorded_sign, signed_hand, with_d4rl_sign
from harness.tasks.spec import TaskSpec

_SIGN_ROWS = 200_000  # which are enough to tell the sign


class MinariRemote(MinariImport):
    """Datasets of D4RL's tasks; where rewards carry a distance of either sign, they get D4RL's."""

    remedy: ClassVar[str] = "Delete its dataset's folder and fetch it again."

    def kind(self, task: TaskSpec) -> str:
        """Whether they are public."""
        whose = "public Minari data" if task.dataset.source == "minari-remote" else "Minari data"
        return f"{whose}, imported"

    def file(self, task: TaskSpec, dataset: str) -> Path:
        """A dataset's data file. Raises UserError if it is not on this machine."""
        return _found(task, dataset).data_file

    def fetch(self, task: TaskSpec, progress: Callable[[str, int, int], None]) -> list[str]:
        """Download the datasets that are not here."""
        command = _command(task)
        return [
            note
            for dataset in datasets_of(task)
            for note in minari_download.fetch(command, dataset, progress)
        ]

    def sources(self, task: TaskSpec) -> list[SourceFile]:
        """Every dataset's data file. Raises UserError for one that the remote does not have."""
        return [self._source(task, dataset_id) for dataset_id in datasets_of(task)]

    def _source(self, task: TaskSpec, dataset_id: str) -> SourceFile:
        dataset = _found(task, dataset_id)
        if damage := dataset.damage():
            raise UserError(f"{damage}. {self.remedy}")
        described = metadata_of(dataset.data_file)
        check_version(dataset_id, described.dataset_id, described.minari_version)
        origin = f"found in {dataset.root}, revision {dataset.revision}"
        return SourceFile(f"{dataset_id}/{DATA_FILE}", dataset.data_file, origin)

    def constants(self, task: TaskSpec) -> dict[str, JsonValue]:
        """The revision of what was read, and the sign that rewards were recorded with."""
        found = super().constants(task)
        for dataset in datasets_of(task):
            found[f"revision of {dataset}"] = _found(task, dataset).revision
        if hand := signed_hand(task):
            sign = recorded_sign(hand, self._first_columns(task))
            found["palm's distance in recorded rewards"] = sign or "neither added nor subtracted"
        return found

    def rewards(self, task: TaskSpec, columns: EpisodeArrays) -> NDArray[Any]:
        """As recorded; Adroit's with D4RL's sign. Raises UserError if the sign cannot be told."""
        hand = signed_hand(task)
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


def _found(task: TaskSpec, dataset_id: str) -> PublicDataset:
    dataset = find(dataset_id)
    if dataset is None:
        get = f"Get it with: {_command(task)}"
        if task.dataset.source == "minari":
            get = f"Record it with Minari; if it is public, {get[0].lower()}{get[1:]}"
        raise UserError(
            f"The dataset {dataset_id} that {task.id} learns from is neither in {user_root()} nor "
            f"in {download_root()}. {get}"
        )
    return dataset


def _command(task: TaskSpec) -> str:
    return f"python -m harness data fetch {task.dataset.id}"


RECIPE = MinariRemote()
