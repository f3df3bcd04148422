"""One episode of one environment, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from algorithms.engine.seeding import derive_seed
from algorithms.errors import sentence_of
from harness.errors import EnvironmentFailedError, lacks_memory
from harness.tasks.maze_floor import MazeFloor

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Episode:
    """One evaluation episode.

    Attributes:
        seed: of the run that was evaluated.
        episode: index within the seed's evaluation.
        episode_return: sum of all rewards, the last step's included.
        length: in steps.
        terminated: whether the MDP ended it; False at a time limit.
        success: 1 if the environment reported success at any step, else 0; nan if it never says.
        measures: what the environment says of the whole episode in its last step, by name.
        path: the first episodes' positions in a maze, [steps + 1, 2]; empty anywhere else.
    """

    seed: int
    episode: int
    episode_return: float
    length: int
    terminated: bool
    success: float
    measures: Mapping[str, float] = field(default_factory=dict)
    path: Sequence[tuple[float, float]] = ()


class Rollout:
    """One environment's first episode after the reset of its `purpose`, seed and number.

    The way over a `floor` is kept. Without `checks_observations` its caller looks at those of many
    at once, which takes as long as at one.

    Attributes:
        observation: what the next action is for.
        reward: of the latest step.
        terminated: whether the MDP has ended the episode.
        done: whether it is over.
    """

    def __init__(
        self,
        environment: gym.Env[Any, Any],
        purpose: str,
        seed: int,
        episode: int,
        floor: MazeFloor | None = None,
        *,
        checks_observations: bool = True,
    ) -> None:
        self._environment = environment
        self._purpose = purpose
        self._key = (seed, episode)
        self._checks_observations = checks_observations
        self._return = 0.0
        self._length = 0
        self.reward = 0.0
        self.terminated = False
        self._success = math.nan
        self._measures: dict[str, float] = {}
        self.done = False
        reset_seed = derive_seed(purpose, seed, episode) % 2**31
        try:
            observation, _ = environment.reset(seed=reset_seed)
            self.observation: Floats = np.asarray(observation, np.float32)
        except Exception as error:
            self._fail("the reset before", sentence_of(error), error)
        if checks_observations:
            self._refuse_not_finite("the reset before", self.observation)
        self._floor = floor
        self._path: list[tuple[float, float]] = []
        self._keep_place()

    def step(self, action: Floats) -> None:
        if not np.isfinite(action).all():
            seed, episode = self._key
            raise RuntimeError(
                f"the policy of seed {seed} returned an action that is not finite in step "
                f"{self._length} of episode {episode}: {action.tolist()}"
            )
        try:
            observation, reward, terminated, truncated, info = self._environment.step(action)
            paid = float(np.asarray(reward).item())
            seen: Floats = np.asarray(observation, np.float32)
        except Exception as error:
            self._fail(f"step {self._length} of", sentence_of(error), error)
        if not math.isfinite(paid):
            self._fail(f"step {self._length} of", f"its reward is {paid}")
        if self._checks_observations:
            self._refuse_not_finite(f"step {self._length} of", seen)
        self.reward, self.observation = paid, seen
        self._keep_place()
        self._return += self.reward
        self._length += 1
        self.terminated = bool(terminated)
        self.done = bool(terminated or truncated)
        if "success" in info:
            self._success = float(np.any(info["success"]) or self._success == 1.0)
        if self.done:
            self._measures = {k: float(v) for k, v in info.get("measures", {}).items()}

    def refuse_not_finite(self) -> None:
        """Raises EnvironmentFailedError if the latest observation is not finite."""
        where = f"step {self._length - 1} of" if self._length else "the reset before"
        self._refuse_not_finite(where, self.observation)

    def _refuse_not_finite(self, where: str, observation: Floats) -> None:
        if not np.isfinite(observation).all():
            at = np.flatnonzero(~np.isfinite(observation))[0]
            found = f"number {at} of its observation is {observation.flat[at]}"
            self._fail(where, found)

    def _fail(self, where: str, what: str, error: Exception | None = None) -> NoReturn:
        if error is not None and lacks_memory(error):
            raise error
        seed, episode = self._key
        raise EnvironmentFailedError(
            f"the environment failed in {where} {self._purpose} episode {episode} of seed {seed}: "
            f"{what}. What was saved before is intact: mend the environment, then run again.",
            seed,
        ) from error

    def result(self) -> Episode:
        return Episode(
            *self._key,
            self._return,
            self._length,
            self.terminated,
            self._success,
            self._measures,
            tuple(self._path),
        )

    def _keep_place(self) -> None:
        if self._floor is not None:
            x, y = self._floor.places(self.observation).tolist()
            self._path.append((x, y))
