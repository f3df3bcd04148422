"""A trained policy as a function of raw observations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from algorithms.errors import DivergedError
from harness.errors import UserError
from harness.execution.engines import selection_of
from harness.policies.saved import SavedRun
from harness.tasks import make_environment
from harness.tasks.observations import flat_observation

if TYPE_CHECKING:
    import gymnasium as gym

    from harness.runs.spec import RunSpec

Floats = NDArray[np.float32]


class Policy:
    """Acts as a run does in its evaluation, on observations as its environment gives them.

    Observations are normalised as in training, and dict observations of mazes unpacked. A policy
    that needs the steps before remembers them: begin every episode with `reset()`, and tell it the
    reward of each step.

    Args:
        run: whose networks act.
        action_selection: such as `noise-0` or `best-of-4`; None: the run's own.
        seed: of its noise.

    Attributes:
        spec: what the run is: its task, method and settings.
        step: gradient steps that the networks have taken.
        action_selection: how it acts.
        context: how many of the latest steps it acts on; 0: on the present one alone.

    Raises UserError for an action selection that the method does not support.
    """

    def __init__(self, run: SavedRun, action_selection: str | None = None, seed: int = 0) -> None:
        self._trained = run.trained
        self.spec: RunSpec = run.spec
        self.step = run.step
        self.context = run.trained.algorithm.context
        self.action_selection = selection_of(run.spec, run.trained.algorithm, action_selection)
        self.reset(seed)

    def reset(self, seed: int | None = None) -> None:
        """Forget the steps before; with a seed, draw its noise from the start again, too."""
        if seed is not None:
            self._noise = self._trained.noise([seed], "policy")
        self._act = self._trained.policy(self._noise, self.action_selection)
        self._shape: tuple[int, ...] | None = None

    def __call__(
        self,
        observation: NDArray[Any] | Mapping[str, Any],
        reward: float | NDArray[Any] | None = None,
    ) -> Floats:
        """The action `[action_dim]`, in [-1, 1], for an observation `[obs_dim]`.

        Or actions `[N, action_dim]` for observations `[N, obs_dim]` of N episodes in lock step.

        reward: of the step before, in the environment's units, or `[N]`. Only a policy that
            remembers needs it, in every step but an episode's first.

        Raises UserError for observations of another shape, also than since the last `reset()`, for
        numbers that are not finite, for a reward that is missing, and for a policy that has
        diverged.
        """
        flat = flat_observation(self.spec.task.environment, observation)
        obs_dim = self._trained.algorithm.obs_dim
        if flat.ndim not in (1, 2) or flat.shape[-1] != obs_dim:
            raise UserError(
                f"An observation of {self.spec.task.id} has shape [{obs_dim}], and a batch "
                f"[N, {obs_dim}]; found {list(flat.shape)}."
            )
        if not np.isfinite(flat).all():
            raise UserError(
                f"An observation of {self.spec.task.id} has finite numbers; found {flat.tolist()}."
            )
        if self.context and self._shape is not None:
            self._check_step(flat.shape, reward)
        batch = flat.reshape(1, -1, obs_dim)
        earned = _earned(reward, batch.shape[1])
        self._shape = flat.shape
        try:
            actions = self._act(batch, earned)
        except DivergedError as error:
            raise UserError(
                f"The policy of {self.spec.algorithm} on {self.spec.task.id}, seed "
                f"{self.spec.seed}, cannot act: {error.reasons[0]}. Take another run's."
            ) from error
        return actions.reshape(*flat.shape[:-1], -1)

    def _check_step(self, shape: tuple[int, ...], reward: float | NDArray[Any] | None) -> None:
        """Raises UserError if a step does not go on with the episodes that are remembered."""
        name = self.spec.algorithm
        if shape != self._shape:
            raise UserError(
                f"{name} remembers observations of shape {list(self._shape or ())} and was given "
                f"{list(shape)}: call policy.reset() where episodes begin."
            )
        if reward is None:
            raise UserError(
                f"{name} acts on the steps before: tell it what the latest earned, as in "
                "policy(observation, reward), and call policy.reset() where an episode begins."
            )

    def make_environment(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """The environment of its evaluation, whose observations are flat already."""
        return make_environment(self.spec.task, render_mode)


def _earned(reward: float | NDArray[Any] | None, episodes: int) -> Floats:
    """What the step before earned, `[1, N]`. Raises UserError for what is no reward of each."""
    try:
        earned = np.asarray(0 if reward is None else reward, np.float32)
        if np.isfinite(earned).all():
            return np.broadcast_to(earned, (1, episodes))
    except (TypeError, ValueError):
        pass
    raise UserError(
        f"A reward is a finite number, or one for each of {episodes} observations; found "
        f"{reward!r}."
    )
