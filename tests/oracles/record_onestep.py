"""Records One-step RL's own code: `python -m tests.oracles.record_onestep FOLDER`, a checkout.

It is davidbrandfonbrener/onestep-rl at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
    Step,
    drawing,
    record,
)

COMMIT = "9999443"
WIDTH, DEPTH = 10, 2
EVALUATION, EVERY, IMPROVEMENT = 4, 2, 3  # updates; of Q for one of the behaviour
ALPHA, SAMPLES = 0.7, 10  # of the divergence
WIDER = 1.0  # is added to the behaviour's log σ, before the bounds


def make_learners() -> tuple[Any, Any, Any, dict[str, float]]:
    """Of Q, of the behaviour and of the policy; and the losses, as logged."""
    values, policies = (importlib.import_module(f"{name}_learner") for name in ("q", "policy"))
    sizes = {
        "state_dim": OBS_DIM,
        "action_dim": ACTION_DIM,
        "width": WIDTH,
        "depth": DEPTH,
        "lr": LEARNING_RATE,
        "batch_size": BATCH,
    }
    learners = (
        values.SarsaLearner(
            **sizes, discount=SETTINGS["discount"], target_update_freq=EVERY, tau=TAU
        ),
        policies.BCLearner(**sizes, dist_type="normal", logger_type="beta"),
        policies.ReverseKLRegLearner(ALPHA, SAMPLES, **sizes, dist_type="trunc"),
    )
    losses: dict[str, float] = {}
    for learner in learners:
        learner.set_logger(SimpleNamespace(update=losses.__setitem__))
    return *learners, losses


def replay(batch: Mapping[str, Tensor]) -> Any:
    """The official transitions, of this batch."""
    transitions = importlib.import_module("replay_buffer").Transition(
        batch["observations"],
        batch["actions"],
        batch["rewards"].unsqueeze(-1),
        batch["next_observations"],
        batch["next_actions"],
        1 - batch["masks"].unsqueeze(-1),
        batched=True,
    )
    return SimpleNamespace(sample=lambda _: transitions)


def stepper(
    q: Any, beta: Any, pi: Any, losses: Mapping[str, float], start: Callable[[], None]
) -> Step:
    """start: begins the policy's training."""
    # At ±1 standard deviation the samples' mean is the divergence itself, and so are its gradients.
    sides = torch.tensor([1.0, -1.0]).repeat(SAMPLES // 2).view(-1, 1, 1)
    around = sides.expand(-1, BATCH, ACTION_DIM)

    def step(k: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        given = replay(batch)
        if k > EVALUATION:
            if k == EVALUATION + 1:
                start()
            with drawing(noise["gaussian"], around):
                pi.train_step(given, q, None, beta)
            return {"actor/q": losses["pi/qval"], "actor/kl": losses["pi/kl"]}
        q.train_step(given, pi, beta)
        found = {"critic/loss": losses["q/loss"]}
        if k % EVERY == 0:
            with drawing(torch.zeros(BATCH, ACTION_DIM)):  # of actions that are only logged
                beta.train_step(given, None, None, None)
            found["behavior/loss"] = losses["beta/loss"]
        return found

    return step


def main() -> None:
    q, beta, pi, losses = make_learners()
    actors, optimizers = [pi.pinet], [q.optimizer, beta.optimizer]

    def start() -> None:
        pi.load_from_pilearner(beta)
        actors[:] = [pi.pinet]
        optimizers.append(pi.optimizer)

    def prepare(_: Arrays) -> None:
        beta.pinet.net.net[-1].bias.data[ACTION_DIM:] += WIDER

    record(
        "onestep",
        "onestep",
        {
            "params/critic": [q.qnet],
            "params/behavior": [beta.pinet],
            "params/actor": actors,
            "targets/critic": [q.target_qnet],
        },
        optimizers,
        stepper(q, beta, pi, losses, start),
        updates=EVALUATION + IMPROVEMENT,
        noise={"gaussian": ACTION_DIM},
        config={
            "hidden_dims": (WIDTH,) * DEPTH,
            "discount": SETTINGS["discount"],
            "learning_rate": LEARNING_RATE,
            "alpha": ALPHA,
            "tau": TAU,
            "target_every": EVERY,
            "policy_share": IMPROVEMENT / (EVALUATION + IMPROVEMENT),
        },
        prepare=prepare,
        compared="four updates of Q, with one of the behaviour after every second, then three of "
        "the policy; the ten samples of its divergence are at ±1 standard deviation, where their "
        "mean is exact",
        oracle="official code",
        version=COMMIT,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.path.insert(0, sys.argv[1])
    main()
