"""D4RL's own files, as its `qlearning_dataset` has them; `d4rl_episodes` says how.

Observations and rewards are kept as recorded. Where a task's rewards ask for D4RL's sign of the
palm's distance, the sign is told from the data as rows are packed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from harness.data.minari_format import EpisodeArrays
from harness.data.recipe import Origin, Recipe, whole_episodes
from harness.data.recipes.d4rl_episodes import Episodes, stitch
from harness.data.recipes.d4rl_steps import read_steps
from harness.data.sources import d4rl as d4rl_source
from harness.data.sources.download_lock import SourceFile
from harness.errors import UserError
from harness.tasks.d4rl_rules import corrected_rewards
from harness.tasks.environment import make, make_unwrapped
from harness.tasks.ids import RewardRule
from harness.tasks.reward_sign import recorded_sign, signed_hand, with_d4rl_sign
from harness.tasks.spec import TaskSpec

_SIGN_EPISODES = 1000  # that tell the sign


class D4rlHdf5(Recipe):
    """All episodes of one file, or as many of the first as fit into the transitions asked for."""

    def sources(self, task: TaskSpec) -> list[SourceFile]:
        """The file."""
        return [d4rl_source.source(task)]

    def episodes(
        self, task: TaskSpec, workers: int | None, progress: Callable[[int], None]
    ) -> Iterator[EpisodeArrays]:
        """As recorded. Raises UserError for a damaged file, or one of something else."""
        limit, done = task.dataset.params.get("transitions"), 0
        for episode in whole_episodes(_stitched(task), limit if isinstance(limit, int) else None):
            done += len(episode["actions"])
            progress(done)
            yield episode

    def constants(self, task: TaskSpec) -> dict[str, JsonValue]:
        """What the file holds, and what was done about its faults."""
        episodes = _stitched(task)
        facts = episodes.facts()
        if hand := signed_hand(task):
            sign = recorded_sign(hand, _columns(islice(episodes, _SIGN_EPISODES)))
            facts["the palm's distance in rewards is"] = sign or "neither added nor subtracted"
        return facts

    def origin(self, task: TaskSpec) -> Origin:
        """The evaluation environment, seen flat: D4RL's own cannot be installed any more."""
        params, limit = task.dataset.params, task.dataset.params.get("transitions")
        part = f"the first {limit} transitions in whole episodes" if limit else "all"
        environment = make_unwrapped(task.environment, task.horizon)
        flat = make(task.environment, task.horizon).observation_space
        environment.observation_space = gym.spaces.Box(-np.inf, np.inf, flat.shape, np.float32)
        return Origin(
            algorithm="as D4RL describes it",
            text=f"D4RL's file {params['file']} (revision {params['revision']}), {part}, its "
            "steps as D4RL's qlearning_dataset takes them. Recorded in D4RL's own environment, of "
            "which the one named here is the nearest that can be installed",
            environment=environment,
            requirements=("gymnasium", "gymnasium-robotics", "mujoco"),
        )

    def rewards(self, task: TaskSpec, columns: EpisodeArrays) -> NDArray[Any]:
        """As recorded, or with D4RL's sign. Raises UserError if the sign cannot be told."""
        hand = signed_hand(task)
        if hand is None:
            return corrected_rewards(task.dataset.rewards, columns)
        rewards = with_d4rl_sign(hand, columns)
        if rewards is None:
            raise UserError(
                f"{task.dataset.id}: whether rewards add or subtract the palm's distance cannot be "
                f"told from {len(columns['rewards']):,} transitions. Take more of them, or check "
                "that the file is D4RL's."
            )
        return rewards

    def missing(self, task: TaskSpec) -> list[str]:
        """The file, if it is not there."""
        absent = d4rl_source.absent(task)
        return [absent] if absent else []

    def fetch(self, task: TaskSpec, progress: Callable[[str, int, int], None]) -> list[str]:
        """Download the file unless it is there."""
        return d4rl_source.fetch(task, progress)


def _stitched(task: TaskSpec) -> Episodes:
    path = d4rl_source.file_of(task)
    steps = read_steps(path)
    if task.dataset.rewards == RewardRule.STEP_LATE and steps.terminals.any():
        # D4RL's generation script writes reached goals there; its public files do not have any.
        raise UserError(
            f"{path} has terminal steps, which D4RL's maze2d files do not: it is another file."
        )
    episodes = stitch(steps, task.horizon)
    if 2 * episodes.unmarked > len(steps):
        raise UserError(
            f"{path} is not one of D4RL's files: {episodes.unmarked:,} of its {len(steps):,} steps "
            "have a successor that is not the next row's observation."
        )
    if not episodes.lengths.any():
        raise UserError(f"{path} is not one of D4RL's files: none of its steps has a successor.")
    return episodes


def _columns(episodes: Iterator[EpisodeArrays]) -> EpisodeArrays:
    """Episodes' steps one after the other, named as `Transitions.pack` names them."""
    columns: dict[str, list[NDArray[Any]]] = {}
    for episode in episodes:
        pieces = {
            "observations": episode["observations"][:-1],
            "next_observations": episode["observations"][1:],
            "rewards": episode["rewards"],
            "terminals": episode["terminations"],
            "timeouts": episode["truncations"],
        }
        for name, piece in pieces.items():
            columns.setdefault(name, []).append(piece)
    return {name: np.concatenate(pieces) for name, pieces in columns.items()}


RECIPE = D4rlHdf5()
