"""Records CORL's own trainers: `python -m tests.oracles.record_corl FOLDER`, a checkout of it.

It is tinkoff-ai/CORL at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from tests.oracles import recording
from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    LEARNING_RATE,
    OBS_DIM,
    TAU,
    Arrays,
    array,
    drawing,
    merge_heads,
    perceptron,
)

COMMIT = "6afec90"
WIDTH, DEPTH, DISCOUNT = 10, 3, 0.9
OURS = {
    "hidden_dims": (WIDTH,) * DEPTH,
    "discount": DISCOUNT,
    "learning_rate": LEARNING_RATE,
    "tau": TAU,
}


def script(folder: Path, name: str) -> Any:
    """CORL's file of that name, without what an update does not need."""
    absent = {name: mock.MagicMock() for name in ("d4rl", "gym", "wandb", "pyrallis")}
    spec = importlib.util.spec_from_file_location(
        f"corl_{name}", folder / "algorithms" / "offline" / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {**absent, spec.name: module}):
        spec.loader.exec_module(module)
    return module


def adam(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=LEARNING_RATE)


class Member(nn.Module):
    """One of the critics whose parameters EDAC's code keeps together."""

    def __init__(self, critics: nn.Module, index: int) -> None:
        super().__init__()
        self.kept, self.index = critics, index


def members(critics: Any) -> list[Member]:
    return [Member(critics, index) for index in range(critics.num_critics)]


class Log(nn.Module):
    """A learned number's logarithm."""

    def __init__(self, log: nn.Parameter) -> None:
        super().__init__()
        self.log = log


def layers(module: nn.Module, read: Callable[[Tensor], Tensor]) -> Arrays:
    """Linear layers in order, and what else is a parameter, by our names."""
    if isinstance(module, Log):
        return {"log": array(read(module.log)).reshape(())}
    if isinstance(module, Member):
        return {
            f"{kind}_{i}": array(read(getattr(layer, kind))[module.index])
            for i, layer in enumerate(module.kept.critic[::2])
            for kind in ("weight", "bias")
        }
    arrays = perceptron(module, read)
    if hasattr(module, "log_sigma"):
        return merge_heads(arrays, DEPTH)
    if hasattr(module, "log_std_multiplier"):
        for name in ("multiplier", "offset"):
            constant = getattr(module, f"log_std_{name}").constant
            arrays["scale" if name == "multiplier" else "shift"] = array(read(constant))
    if "_log_std" in arrays:
        arrays["log_std"] = arrays.pop("_log_std")[None]
    return arrays


def record(method: str, parts: Any, optimizers: Any, step: recording.Step, **facts: Any) -> None:
    recording.record(
        "corl",
        method,
        parts,
        optimizers,
        step,
        oracle="CORL",
        version=COMMIT,
        layers=layers,
        **facts,
    )


def data(batch: Mapping[str, Tensor]) -> list[Tensor]:
    """As CORL's replay buffer hands it out."""
    rewards, dones = batch["rewards"].unsqueeze(-1), 1 - batch["masks"].unsqueeze(-1)
    return [batch["observations"], batch["actions"], rewards, batch["next_observations"], dones]


def edac(folder: Path) -> None:
    code, critics, eta = script(folder, "edac"), 3, 0.7
    actor = code.Actor(OBS_DIM, ACTION_DIM, WIDTH)
    critic = code.VectorizedCritic(OBS_DIM, ACTION_DIM, WIDTH, critics)
    trainer = code.EDAC(actor, adam(actor), critic, adam(critic), gamma=DISCOUNT, tau=TAU, eta=eta)
    temperature = Log(nn.Parameter(torch.zeros(1)))
    trainer.log_alpha, trainer.alpha_optimizer = temperature.log, adam(temperature)

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        given = data(batch)
        order = ("temperature_gaussian", "gaussian", "next_gaussian")
        with drawing(*(noise[name] for name in order)):
            found = trainer.update(given)
        return {"actor/loss": found["actor_loss"]}

    record(
        "edac",
        {
            "params/actor": [actor],
            "params/critic": members(critic),
            "params/temperature": [temperature],
            "targets/critic": members(trainer.target_critic),
        },
        [trainer.actor_optimizer, trainer.critic_optimizer, trainer.alpha_optimizer],
        step,
        updates=3,
        noise=dict.fromkeys(("gaussian", "next_gaussian", "temperature_gaussian"), ACTION_DIM),
        config={**OURS, "critics": critics, "eta": eta},
        compared="three updates; of the losses the policy's. CORL adds 1e-6 to 1 − a² in log "
        "densities; without that, losses differ by 2e-07",
    )


def cql(folder: Path) -> None:
    code, samples, gap = script(folder, "cql"), 4, 0.5
    actor = code.TanhGaussianPolicy(OBS_DIM, ACTION_DIM, 1.0)
    actor.base_network = narrow(OBS_DIM, 2 * ACTION_DIM)
    critics = [code.FullyConnectedQFunction(OBS_DIM, ACTION_DIM) for _ in range(2)]
    for critic in critics:
        critic.network = narrow(OBS_DIM + ACTION_DIM, 1)
    optimizers = [adam(critic) for critic in critics]
    trainer = code.ContinuousCQL(
        critics[0],
        optimizers[0],
        critics[1],
        optimizers[1],
        actor,
        adam(actor),
        target_entropy=-ACTION_DIM,
        discount=DISCOUNT,
        policy_lr=LEARNING_RATE,
        qf_lr=LEARNING_RATE,
        soft_target_update_rate=TAU,
        bc_steps=0,
        cql_n_actions=samples,
        cql_lagrange=True,
        cql_target_action_gap=gap,
        cql_alpha=5.0,
    )

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        several = {
            name: noise[name].reshape(BATCH, samples, ACTION_DIM)
            for name in ("uniform", "current", "following")
        }
        several["uniform"] = 2 * several["uniform"] - 1
        with drawing(noise["gaussian"], noise["next_gaussian"], *several.values()):
            found = trainer.train(data(batch))
        return {
            "actor/loss": found["policy_loss"],
            "critic/loss": found["qf1_loss"] + found["qf2_loss"],
            "critic/gap": (found["cql_qf1_diff"] + found["cql_qf2_diff"]) / 2,
            "critic/multiplier": found["alpha_prime"],
        }

    several = samples * ACTION_DIM
    record(
        "cql",
        {
            "params/actor": [actor],
            "params/critic": critics,
            "params/temperature": [Log(trainer.log_alpha.constant)],
            "params/multiplier": [Log(trainer.log_alpha_prime.constant)],
            "targets/critic": [trainer.target_critic_1, trainer.target_critic_2],
        },
        [
            *optimizers,
            trainer.actor_optimizer,
            trainer.alpha_optimizer,
            trainer.alpha_prime_optimizer,
        ],
        step,
        updates=3,
        noise={
            "gaussian": ACTION_DIM,
            "next_gaussian": ACTION_DIM,
            "current": several,
            "following": several,
        },
        uniform={"uniform": several},
        config={
            **OURS,
            "policy_learning_rate": LEARNING_RATE,
            "alpha": 5.0,
            "samples": samples,
            "target_gap": gap,
        },
        compared="three updates, with a multiplier of α",
    )


def awac(folder: Path) -> None:
    code = script(folder, "awac")
    actor = code.Actor(OBS_DIM, ACTION_DIM, WIDTH)
    actor._mlp = nn.Sequential(actor._mlp, nn.Tanh())
    critics = [code.Critic(OBS_DIM, ACTION_DIM, WIDTH) for _ in range(2)]
    optimizers = [adam(critic) for critic in critics]
    trainer = code.AdvantageWeightedActorCritic(
        actor,
        adam(actor),
        critics[0],
        optimizers[0],
        critics[1],
        optimizers[1],
        gamma=DISCOUNT,
        tau=TAU,
        awac_lambda=0.3333,
    )

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        with drawing(noise["next_gaussian"], noise["gaussian"]):
            found = trainer.update(data(batch))
        return {"critic/loss": found["critic_loss"], "actor/loss": found["actor_loss"]}

    record(
        "awac",
        {
            "params/actor": [actor],
            "params/critic": critics,
            "targets/critic": [trainer._target_critic_1, trainer._target_critic_2],
        },
        [*optimizers, trainer._actor_optimizer],
        step,
        updates=3,
        noise={"next_gaussian": ACTION_DIM, "gaussian": ACTION_DIM},
        config=OURS,
        compared="three updates; its policy's mean is given our tanh",
    )


def narrow(inputs: int, outputs: int) -> nn.Sequential:
    """In place of CORL's networks of 256 units."""
    dims = (inputs, *(WIDTH,) * DEPTH)
    hidden = [(nn.Linear(*dims[i : i + 2]), nn.ReLU()) for i in range(DEPTH)]
    return nn.Sequential(*(layer for pair in hidden for layer in pair), nn.Linear(WIDTH, outputs))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for recorder in (edac, cql, awac):
        torch.manual_seed(0)
        recorder(Path(sys.argv[1]))
