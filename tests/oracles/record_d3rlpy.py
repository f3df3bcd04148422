"""Records d3rlpy's updates: `python -m tests.oracles.record_d3rlpy`, in a venv of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import d3rlpy
import torch
from d3rlpy import algos
from d3rlpy.models.encoders import VectorEncoderFactory
from d3rlpy.torch_utility import TorchMiniBatch
from torch import Tensor

from tests.oracles import recording
from tests.oracles.recording import (
    ACTION_DIM,
    HIDDEN,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    drawing,
)

ENCODER = VectorEncoderFactory(hidden_units=list(HIDDEN))


def create(config: Any) -> Any:
    """The library's implementation of a config, with its networks."""
    algorithm = config.create(device="cpu:0")
    algorithm.create_impl((OBS_DIM,), ACTION_DIM)
    return algorithm.impl


def mini_batch(batch: Mapping[str, Tensor]) -> TorchMiniBatch:
    column = {name: batch[name].unsqueeze(-1) for name in ("rewards", "masks", "returns")}
    return TorchMiniBatch(
        observations=batch["observations"],
        actions=batch["actions"],
        rewards=column["rewards"],
        next_observations=batch["next_observations"],
        next_actions=batch["next_actions"],
        returns_to_go=column["returns"],
        terminals=1 - column["masks"],
        intervals=torch.ones_like(column["rewards"]),
        device="cpu:0",
    )


def record(method: str, impl: Any, parts: Any, step: recording.Step, **facts: Any) -> None:
    """As `recording.record`, with every optimiser of the implementation."""
    fields = [getattr(impl.modules, f.name) for f in dataclasses.fields(impl.modules)]
    optimizers = [field.optim for field in fields if hasattr(field, "optim")]
    recording.record("d3rlpy", method, parts, optimizers, step, version=d3rlpy.__version__, **facts)


def actor_critic(impl: Any, *, targets: tuple[str, ...] = ("critic",)) -> dict[str, Any]:
    m = impl.modules
    parts = {"params/actor": [m.policy], "params/critic": m.q_funcs}
    if "actor" in targets:
        parts["targets/actor"] = [m.targ_policy]
    return {**parts, "targets/critic": m.targ_q_funcs}


def td3_bc() -> None:
    impl = create(
        algos.TD3PlusBCConfig(
            actor_learning_rate=LEARNING_RATE,
            critic_learning_rate=LEARNING_RATE,
            actor_encoder_factory=ENCODER,
            critic_encoder_factory=ENCODER,
            gamma=SETTINGS["discount"],
            tau=TAU,
        )
    )

    def step(count: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        with drawing(noise["smoothing"]):
            found = impl.inner_update(mini_batch(batch), count)
        losses = {"critic/loss": found["critic_loss"]}
        if "actor_loss" in found:
            q_loss = found["actor_loss"] - found["bc_loss"]
            losses |= {"actor/q_loss": q_loss, "actor/bc_loss": found["bc_loss"]}
        return losses

    record(
        "td3-bc",
        impl,
        actor_critic(impl, targets=("actor", "critic")),
        step,
        updates=4,
        noise={"smoothing": ACTION_DIM},
        config={**SETTINGS, "learning_rate": LEARNING_RATE, "tau": TAU},
        compared="four updates, of which two are the actor's (d3rlpy's first is update 0, ours 2)",
    )


RECORDERS: tuple[Callable[[], None], ...] = (td3_bc,)

if __name__ == "__main__":
    torch.set_num_threads(1)
    for recorder in RECORDERS:
        recorder()
