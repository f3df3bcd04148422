"""Minari datasets that are on this machine already, copied so that their bytes stay put.

They are looked for in the folder `HARNESS_LOCAL_DATA`, or `shared/data/minari` beside the
repository. Observations and rewards are kept as recorded; D4RL's rules, where they differ, are
applied as rows are packed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray
from pydantic import JsonValue

from harness.data import minari_format
from harness.data.local_files import local_file
from harness.data.minari_format import EpisodeArrays
from harness.data.recipe import Origin, Recipe, whole_episodes
from harness.errors import UserError
from harness.tasks.d4rl_rules import PEN_DROP, corrected_rewards, pen_dropped
from harness.tasks.environment import make_unwrapped
from harness.tasks.spec import EnvironmentSpec, TaskSpec


class MinariImport(Recipe):
    """Datasets one after the other; of a limited number of transitions each gives a share."""

    def episodes(
        self, task: TaskSpec, workers: int | None, progress: Callable[[int], None]
    ) -> Iterator[EpisodeArrays]:
        """The arrays that rows need, actions clipped to [-1, 1]."""
        files, done = _files(task), 0
        limit = task.dataset.params.get("transitions")
        share = limit // len(files) if isinstance(limit, int) else None
        for file in files:
            for episode in whole_episodes(_read(file, self.inputs), share):
                done += len(episode["actions"])
                progress(done)
                yield episode | {"actions": np.clip(episode["actions"], -1.0, 1.0)}

    def constants(self, task: TaskSpec) -> dict[str, JsonValue]:
        """The sha256 of the files that were read."""
        return {
            f"sha256 of {dataset}": hashlib.sha256(file.read_bytes()).hexdigest()
            for dataset, file in zip(_datasets(task), _files(task), strict=True)
        }

    def origin(self, task: TaskSpec) -> Origin:
        """The first dataset's environment, and every dataset's own description."""
        described = [json.loads((f.parent / "metadata.json").read_text()) for f in _files(task)]
        limit = task.dataset.params.get("transitions")
        part = f"the first {limit} transitions in whole episodes" if limit else "all"
        texts = "; ".join(
            f"{dataset}: “{metadata['description']}”"
            for dataset, metadata in zip(_datasets(task), described, strict=True)
        )
        return Origin(
            algorithm=", then ".join(metadata["algorithm_name"] for metadata in described),
            text=f"LOCAL, not a download of the public dataset: {part} of {texts}.",
            environment=_environment(described[0]["env_spec"]),
            requirements=("gymnasium", "gymnasium-robotics", "mujoco"),
        )

    def missing(self, task: TaskSpec) -> str:
        """Every dataset that is not in the folder."""
        return "\n- ".join(_absent(task))

    def seen(self, task: TaskSpec, episode: EpisodeArrays) -> EpisodeArrays:
        """With D4RL's rule for the pen, the episode ends where it drops."""
        if task.dataset.rewards != PEN_DROP:
            return episode
        dropped = np.flatnonzero(pen_dropped(episode["observations"][1:]))
        if len(dropped) == 0:
            return episode
        steps = int(dropped[0]) + 1
        cut = {name: array[:steps] for name, array in episode.items()}
        last = np.arange(steps) == steps - 1
        cut |= {"terminations": last, "truncations": np.zeros(steps, np.bool_)}
        return cut | {"observations": episode["observations"][: steps + 1]}

    def rewards(self, task: TaskSpec, columns: EpisodeArrays) -> NDArray[Any]:
        """As recorded, but for what D4RL's rules change."""
        return corrected_rewards(task.dataset.rewards, columns)


def _datasets(task: TaskSpec) -> list[str]:
    datasets = task.dataset.params["datasets"]
    assert isinstance(datasets, list)
    return [str(dataset) for dataset in datasets]


def _files(task: TaskSpec) -> list[Path]:
    return [_file(task, dataset) for dataset in _datasets(task)]


def _file(task: TaskSpec, dataset: str) -> Path:
    return local_file(
        "HARNESS_LOCAL_DATA",
        "minari",
        f"{dataset}/data/{minari_format.DATA_FILE}",
        f"The dataset {dataset} that {task.id} learns from",
    )


def _absent(task: TaskSpec) -> Iterator[str]:
    for dataset in _datasets(task):
        try:
            _file(task, dataset)
        except UserError as error:
            yield str(error)


def _environment(recorded: str) -> gym.Env[Any, Any]:
    found = EnvSpec.from_json(recorded)
    spec = EnvironmentSpec(
        id=found.id, kwargs=found.kwargs, wrappers=(), semantics="where the data were made"
    )
    assert found.max_episode_steps is not None
    return make_unwrapped(spec, found.max_episode_steps)


def _read(file: Path, names: tuple[str, ...]) -> Iterator[EpisodeArrays]:
    try:
        yield from minari_format.read(file.parent, names)
    except (OSError, KeyError) as error:
        raise UserError(f"{file} cannot be read ({error}). Copy it anew and try again.") from error


RECIPE = MinariImport()
