"""Data of the multimodal tasks: independent contexts and actions of the behaviour.

Every step is an episode of its own. They are stored a thousand to a Minari episode, whose every
step is terminal and whose next observation is the next step's context: a group in the file for each
of them would take 200 MB and two minutes for 100,000 steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from pydantic import JsonValue

from algorithms.engine.seeding import derive_seed
from algorithms.transitions import Transitions
from harness.data.minari_format import EpisodeArrays
from harness.data.recipe import Origin, Recipe
from harness.tasks.environment import make_unwrapped
from harness.tasks.multimodal_geometry import (
    MARGIN,
    ActionModes,
    observations_of,
    turned,
    turned_back,
)
from harness.tasks.spec import TaskSpec

STEPS_TOGETHER = 1000


class Multimodal(Recipe):
    """The recipe, for any number of modes and dimensions; fewer steps are the first of more."""

    makes_small = True

    def episodes(
        self, task: TaskSpec, workers: int | None, progress: Callable[[int], None]
    ) -> Iterator[EpisodeArrays]:
        """All steps, a thousand at a time; made in this process, because it takes no time."""
        modes, (steps, seed) = ActionModes.of(task), _size(task)
        stream = ("data", "multimodal", modes.modes, modes.dim, seed)
        contexts, choices, noise = (
            np.random.default_rng(derive_seed(*stream, name))
            for name in ("contexts", "modes", "noise")
        )
        observations = observations_of(contexts.uniform(0, modes.turn, steps + 1))
        centres = modes.centres[choices.integers(modes.modes, size=steps)]
        canonical = centres + modes.sigma * noise.standard_normal((steps, modes.dim))
        actions = turned(observations[:-1], canonical).clip(-1.0, 1.0).astype(np.float32)
        rewards = modes.value(turned_back(observations[:-1], actions))
        for start in range(0, steps, STEPS_TOGETHER):
            end = min(start + STEPS_TOGETHER, steps)
            yield {
                "observations": observations[start : end + 1],
                "actions": actions[start:end],
                "rewards": rewards[start:end],
                "terminations": np.ones(end - start, np.bool_),
                "truncations": np.zeros(end - start, np.bool_),
            }
            progress(end)

    def constants(self, task: TaskSpec) -> dict[str, JsonValue]:
        """The numbers that are fixed in code."""
        return {"steps_together": STEPS_TOGETHER, "margin_in_sigmas": MARGIN}

    def origin(self, task: TaskSpec) -> Origin:
        """For Minari's metadata."""
        modes, (steps, seed) = ActionModes.of(task), _size(task)
        return Origin(
            algorithm="equal mixture of Gaussians",
            text=(
                f"LOCAL, not a download: {steps} one-step episodes with {modes.modes} Gaussian "
                f"action modes in {modes.dim} dimensions, turned by the context, seed {seed}. "
                f"Stored {STEPS_TOGETHER} steps to an episode, each of them terminal; the "
                "observation after a step is the next step's context."
            ),
            environment=make_unwrapped(task.environment, task.horizon),
            requirements=("gymnasium",),
        )

    def details(self, task: TaskSpec, data: Transitions) -> str:
        """The share and the reward of every mode."""
        modes = ActionModes.of(task)
        canonical = turned_back(data.observations, data.actions)
        nearest, _ = modes.nearest(canonical)
        lines = [f"{modes.in_support(canonical).mean():.1%} of the actions are in the support"]
        for index, reward in enumerate(modes.rewards):
            rewards = data.rewards[nearest == index]
            mean = f"mean reward {rewards.mean():.3f}, " if len(rewards) else ""
            lines.append(
                f"mode {index}: {len(rewards) / len(data):.1%} of the actions, {mean}"
                f"{reward:.3f} at the centre"
            )
        return "\n".join(lines)


def _size(task: TaskSpec) -> tuple[int, int]:
    steps, seed = task.dataset.params["transitions"], task.dataset.params["seed"]
    assert isinstance(steps, int)
    assert isinstance(seed, int)
    return steps, seed


RECIPE = Multimodal()
