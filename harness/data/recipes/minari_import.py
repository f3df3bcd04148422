"""Minari datasets that are on this machine already, copied so that their bytes stay put.

They are looked for in the folder `HARNESS_LOCAL_DATA`, or in `local/minari` of the data root.
Observations and rewards are kept as recorded; D4RL's rules, where they differ, are applied as rows
are packed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from harness.data import minari_format
from harness.data.checks.incoming import checked
from harness.data.local_files import DATASETS
from harness.data.minari_format import EpisodeArrays
from harness.data.recipe import Origin, Recipe, whole_episodes
from harness.data.sources.download_lock import SourceFile
from harness.data.sources.minari_metadata import METADATA_FILE, RecordedIn, metadata_of
from harness.errors import UserError
from harness.tasks.adroit import HANDS
from harness.tasks.d4rl_rules import corrected_rewards, pen_dropped
from harness.tasks.environment import make_unwrapped
from harness.tasks.gym_mujoco import BODIES
from harness.tasks.ids import RewardRule
from harness.tasks.mazes import MAZES
from harness.tasks.spec import EnvironmentSpec, TaskSpec

# The environments that recordings may name to have them made, and the arguments they may give.
_OURS = {
    *(f"{body.title}-v5" for body in BODIES.values()),
    *(f"AdroitHand{hand.title}-v1" for hand in HANDS.values()),
    *(f"PointMaze_{m.registered}{kind}-v3" for m in MAZES.values() for kind in ("", "Dense")),
}
_ARGUMENTS = {"maze_map", "reward_type", "continuing_task", "reset_target"}


class MinariImport(Recipe):
    """Datasets one after the other; of a limited number of transitions each gives a share.

    Attributes:
        remedy: what to do about a damaged file.
        kept: arrays that are stored beside the inputs, for what checks the dataset.
    """

    remedy: ClassVar[str] = "Copy it anew and try again."
    kept: ClassVar[tuple[str, ...]] = ()

    def kind(self, task: TaskSpec) -> str:
        """What the datasets are, for Minari's metadata."""
        return "LOCAL, not a download of the public dataset"

    def file(self, task: TaskSpec, dataset: str) -> Path:
        """A dataset's data file. Raises UserError if it is not on this machine."""
        return DATASETS.file(f"{dataset}/data/{minari_format.DATA_FILE}", f"The dataset {dataset}")

    def files(self, task: TaskSpec) -> list[Path]:
        """All of them."""
        return [self.file(task, dataset) for dataset in datasets_of(task)]

    def sources(self, task: TaskSpec) -> list[SourceFile]:
        """Every dataset's data file."""
        return [
            SourceFile(f"{dataset}/{file.name}", file, f"found in {file.parent}")
            for dataset, file in zip(datasets_of(task), self.files(task), strict=True)
        ]

    def episodes(
        self, task: TaskSpec, workers: int | None, progress: Callable[[int], None]
    ) -> Iterator[EpisodeArrays]:
        """The arrays that rows or checks need, as recorded."""
        files, done = self.files(task), 0
        limit = task.dataset.params.get("transitions")
        share = limit // len(files) if isinstance(limit, int) else None
        for file in files:
            for episode in whole_episodes(self._read(file), share):
                done += len(episode["actions"])
                progress(done)
                yield episode

    def origin(self, task: TaskSpec) -> Origin:
        """The first dataset's environment, and every dataset's own description."""
        files = self.files(task)
        described = [metadata_of(file) for file in files]
        limit = task.dataset.params.get("transitions")
        part = f"the first {limit} transitions in whole episodes" if limit else "all"
        texts = "; ".join(
            f"{dataset}: “{metadata.description or 'not described'}”"
            for dataset, metadata in zip(datasets_of(task), described, strict=True)
        )
        return Origin(
            algorithm=", then ".join(
                metadata.algorithm_name or "not named" for metadata in described
            ),
            text=f"{self.kind(task)}: {part} of {texts}.{_unmade(task, described[0].env_spec)}",
            environment=_environment(task, files[0], described[0].env_spec),
            requirements=("gymnasium", "gymnasium-robotics", "mujoco"),
        )

    def missing(self, task: TaskSpec) -> list[str]:
        """Every dataset that is not on this machine."""
        absent = []
        for dataset in datasets_of(task):
            try:
                self.file(task, dataset)
            except UserError as error:
                absent.append(str(error))
        return absent

    def seen(self, task: TaskSpec, episode: EpisodeArrays) -> EpisodeArrays:
        """With D4RL's rule for the pen, the episode ends where it drops."""
        if task.dataset.rewards != RewardRule.PEN_DROP:
            return episode
        dropped = np.flatnonzero(pen_dropped(episode["observations"][1:]))
        if len(dropped) == 0:
            return episode
        steps = int(dropped[0]) + 1
        cut = {name: array[:steps] for name, array in episode.items()}
        last = np.arange(steps) == steps - 1
        cut |= {"terminations": last, "truncations": np.zeros(steps, np.bool_)}
        return cut | {"observations": episode["observations"][: steps + 1]}

    def _read(self, file: Path) -> Iterator[EpisodeArrays]:
        try:
            names = (*self.inputs, *self.kept)
            yield from checked(str(file), minari_format.read(file.parent, names))
        except (OSError, KeyError) as error:
            raise UserError(f"{file} cannot be read ({error}). {self.remedy}") from error

    def rewards(self, task: TaskSpec, columns: EpisodeArrays) -> NDArray[Any]:
        """As recorded, but for what D4RL's rules change."""
        return corrected_rewards(task.dataset.rewards, columns)


def datasets_of(task: TaskSpec) -> list[str]:
    """Ids of the Minari datasets that the task's dataset is made of."""
    datasets = task.dataset.params["datasets"]
    assert isinstance(datasets, list)
    return [str(dataset) for dataset in datasets]


def _environment(task: TaskSpec, file: Path, recorded: RecordedIn | None) -> gym.Env[Any, Any]:
    """What the data were recorded in if it is one of ours, else what the task is scored in.

    A file never decides what is imported: `module:Name-v0` in its metadata is text.
    """
    if recorded is None or recorded.id not in _OURS:
        return make_unwrapped(task.environment, task.horizon)
    # Not gymnasium's EnvSpec.from_json, which rejects what older releases wrote.
    arguments = {k: v for k, v in recorded.arguments.items() if k in _ARGUMENTS}
    spec = EnvironmentSpec(id=recorded.id, kwargs=arguments, wrappers=(), semantics=())
    try:
        return make_unwrapped(spec, recorded.max_episode_steps or task.horizon)
    except Exception as error:  # an environment may raise anything for arguments that are not its
        raise UserError(
            f"{file.parent / METADATA_FILE}: {recorded.id} cannot be made with the arguments of "
            f"its 'env_spec', {arguments} ({error}). Correct them there."
        ) from error


def _unmade(task: TaskSpec, recorded: RecordedIn | None) -> str:
    """That the environment named is not the one recorded, if it is not."""
    found = (recorded and recorded.id) or "an environment without a name"
    if found in _OURS or found == task.environment.id.rpartition(":")[2]:
        return ""
    return f" Recorded in {found}; the environment named here is the one {task.id} is scored in."


RECIPE = MinariImport()
