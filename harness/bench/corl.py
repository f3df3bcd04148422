"""CORL's own scripts, loaded from a checkout of tinkoff-ai/CORL or corl-team/CORL.

Nothing of CORL is part of this project. What its scripts import but learning does not need
(environments, logging, command line) is replaced by stand-ins, so that a script finds the given
transitions where it asks D4RL for its data.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.transitions import Transitions
from harness.bench.scripts import load_script
from harness.errors import UserError

_ABSENT = ("d4rl", "gym", "pyrallis", "wandb")
# By script: its class that learns, and that class's method for one update.
_LEARNERS = {"iql": ("ImplicitQLearning", "train"), "cql": ("ContinuousCQL", "train")}
_LEARNERS["edac"] = ("EDAC", "update")


class Environment:
    """What CORL's scripts ask of a D4RL environment before they step it.

    Attributes:
        observe: what a script makes of observations before a network sees them.
    """

    def __init__(self, transitions: Transitions) -> None:
        self._transitions = transitions
        self.observation_space = SimpleNamespace(shape=(transitions.obs_dim,), seed=_ignore)
        high = np.ones(transitions.action_dim, np.float32)
        self.action_space = SimpleNamespace(shape=high.shape, high=high, seed=_ignore)
        self.observe: Callable[[NDArray[Any]], NDArray[Any]] = lambda observations: observations

    def get_dataset(self) -> dict[str, NDArray[Any]]:
        """The transitions, under D4RL's names; a script that changes them gets copies."""
        names = ("observations", "actions", "next_observations", "terminals", "timeouts")
        arrays = {name: getattr(self._transitions, name) for name in names}
        return {**arrays, "rewards": self._transitions.rewards.copy()}

    def seed(self, seed: int) -> None:
        """Nothing is drawn here."""

    def get_normalized_score(self, episode_return: Any) -> Any:
        """Scores are computed by who evaluates."""
        return episode_return


class _Built(Exception):  # noqa: N818
    """A script is about to draw its first batch from this buffer."""


def script_of(folder: Path, name: str) -> Path:
    """One of CORL's offline scripts. Raises UserError if the folder has no such script."""
    path = folder / "algorithms" / "offline" / f"{name}.py"
    if not path.exists():
        raise UserError(f"{path} does not exist; give the folder of a checkout of CORL.")
    return path


def load_corl(folder: Path, name: str, transitions: Transitions) -> Any:
    """The module of one of CORL's offline scripts, which will learn from these transitions.

    Args:
        folder: of the checkout.
        name: of the script, without `.py`.
        transitions: what it finds as D4RL's data of any name.

    Raises UserError if the folder has no such script.
    """
    script = load_script(script_of(folder, name), f"corl_{name}", _ABSENT)
    environment = Environment(transitions)
    script.gym = SimpleNamespace(
        make=lambda _: environment,
        wrappers=SimpleNamespace(
            TransformObservation=_with_observe, TransformReward=lambda wrapped, _: wrapped
        ),
    )
    script.d4rl = SimpleNamespace(qlearning_dataset=lambda wrapped: wrapped.get_dataset())
    script.wandb = SimpleNamespace(
        init=_ignore,
        log=_ignore,
        finish=_ignore,
        mark_preempting=_ignore,
        run=SimpleNamespace(save=_ignore),
    )
    return script


def corl_updates(folder: Path, name: str, transitions: Transitions) -> Callable[[int], None]:
    """A function that takes `n` of the script's training steps, sampling included.

    Args:
        folder: of the checkout.
        name: iql, cql or edac.
        transitions: what it learns from, as they are.
    """
    script = load_corl(folder, name, transitions)
    config = script.TrainConfig(device="cpu", buffer_size=len(transitions))
    config.normalize = False  # a copy of the data, which no update sees
    config.checkpoints_path = None
    class_name, method = _LEARNERS[name]
    learners: list[Any] = []
    learner_class, buffer_class = getattr(script, class_name), script.ReplayBuffer
    setattr(script, class_name, lambda **given: learners.append(learner_class(**given)))
    sample = buffer_class.sample
    buffer_class.sample = _raise_built
    try:
        script.train(config)
    except _Built as built:
        buffer = built.args[0]
    buffer_class.sample = sample
    update = getattr(learners[0], method)

    def run(updates: int) -> None:
        for _ in range(updates):
            update(buffer.sample(config.batch_size))

    return run


def _raise_built(buffer: Any, _: int) -> None:
    raise _Built(buffer)


def _with_observe(
    environment: Environment, observe: Callable[[NDArray[Any]], NDArray[Any]]
) -> Environment:
    environment.observe = observe
    return environment


def _ignore(*_: Any, **__: Any) -> None:
    pass
