"""Records QGPO's own code: `python -m tests.oracles.record_qgpo FOLDER`, a checkout of it.

It is thu-ml/CEP-energy-guided-diffusion at the commit below; nothing of it is part of this
repository.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    HIDDEN,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    Arrays,
    Step,
    drawing,
    perceptron,
    record,
    squared_errors,
)
from tests.oracles.score_nets import (
    WIDTHS,
    as_ours,
    narrow_blocks,
    of_action_first,
    score_arrays,
)

COMMIT = "4cc0622"
UPDATES = 2  # in each of the three stages
FEW, SUPPORT, STEPS = 8, 3, 5  # states that the critics learn from, and actions in each
SMALL = 0.01
BETA, BACKUP_BETA, GUIDANCE_SCALE = 1.5, 0.7, 0.5
EPISODES, SPREAD = 6, 4.0


def narrow_mlp(official: Any) -> Any:
    own = official.mlp

    def mlp(dims: Sequence[int], *arguments: Any, **settings: Any) -> nn.Module:
        return own([dims[0], *HIDDEN, dims[-1]], *arguments, **settings)

    return mock.patch.object(official, "mlp", mlp)


def arrays_of(module: nn.Module, read: Callable[[Tensor], Tensor]) -> Arrays:
    """By our names; the official critics and guidance are given (a, s) and (a, t, s)."""
    network: Any = module
    if hasattr(module, "last"):
        return score_arrays(network, read)
    if not hasattr(module, "qt"):
        return of_action_first(perceptron(module, read))
    time = perceptron(network.embed, read)
    return {
        **of_action_first(perceptron(network.qt, read)),
        **{f"{kind}_time": time[f"{kind}_0"] for kind in ("weight", "bias")},
    }


def make_model() -> Any:
    """The official network of the noise, with critics and guidance, of fewer units."""
    official = importlib.import_module("diffusion_SDE.model")
    official.schedule.marginal_prob_std.__defaults__ = ("cpu",)
    args = SimpleNamespace(device="cpu", alpha=BETA, q_alpha=BACKUP_BETA, method="CEP")
    scales = official.schedule.marginal_prob_std
    with narrow_blocks(official), narrow_mlp(official):
        model = official.ScoreNet(OBS_DIM + ACTION_DIM, ACTION_DIM, scales, args=args)
    critics = model.q[0]
    for network in (model, critics.qt):
        as_ours(network)
    critics.discount, critics.guidance_scale = SETTINGS["discount"], 0.0
    for optimizer in (critics.q_optimizer, critics.qt_optimizer):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE
    return model


def stepper(model: Any, behavior_optimizer: torch.optim.Optimizer) -> Step:
    denoising = importlib.import_module("diffusion_SDE.loss").loss_fn
    critics = model.q[0]

    def clone(batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> float:
        model.condition = batch["observations"]
        with drawing(noise["time"][:, 0], noise["epsilon"]):
            loss: Tensor = denoising(model, batch["actions"], model.marginal_prob_std)
        behavior_optimizer.zero_grad()
        loss.backward()
        behavior_optimizer.step()
        return loss.item()

    def step(k: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        if k <= UPDATES:
            return {"behavior/loss": clone(batch, noise)}
        epsilon = noise["support_epsilon"].reshape(-1, ACTION_DIM)[: FEW * SUPPORT]
        names = {"s": "observations", "a": "actions", "s_": "next_observations"}
        data = {theirs: batch[ours][:FEW] for theirs, ours in names.items()} | {
            "r": batch["rewards"][:FEW, None],
            "d": 1 - batch["masks"][:FEW, None],
        }
        for theirs, ours in {"fake_a": "support", "fake_a_": "next_support"}.items():
            data[theirs] = batch[ours][:FEW].reshape(FEW, SUPPORT, ACTION_DIM)
        losses: dict[str, float] = {}
        if k <= 2 * UPDATES:
            with squared_errors() as errors:
                critics.update_q0(data)
            losses["critic/loss"] = sum(errors) / 2
        with drawing(noise["time"][:FEW, 0], epsilon.reshape(FEW, SUPPORT, ACTION_DIM)):
            losses["guidance/loss"] = float(critics.update_qt(data))
        return losses

    return step


def main() -> None:
    model = make_model()
    critics = model.q[0]
    behavior_optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def prepare(_: Arrays) -> None:
        """Samples of a network that learned nothing are about 1, and not about 1 / α at t = 1."""
        model.last.weight.data *= SMALL
        model.last.bias.data *= SMALL

    def spread(seen: Arrays) -> None:
        """Far enough apart that no gradient is so small that Adam's step follows its rounding."""
        for name in ("support", "next_support"):
            seen[name][:] = SPREAD * (seen[name] - 1)

    def act() -> Arrays:
        rng = np.random.default_rng(1)
        observations = rng.normal(size=(EPISODES, OBS_DIM)).astype(np.float32)
        start = SMALL * torch.from_numpy(rng.normal(size=(EPISODES, ACTION_DIM)).astype(np.float32))
        critics.guidance_scale = GUIDANCE_SCALE
        with drawing(start):
            actions = model.sample(observations, sample_per_state=1, diffusion_steps=STEPS)[:, 0]
        return {
            "observations": observations,
            "noise/start": start.detach().numpy(),
            "actions": actions,
        }

    record(
        "qgpo",
        "qgpo",
        {
            "params/behavior": [model],
            "params/critic": [critics.q0.q1, critics.q0.q2],
            "params/guidance": [critics.qt],
            "targets/critic": [critics.q0_target.q1, critics.q0_target.q2],
        },
        [behavior_optimizer, critics.q_optimizer, critics.qt_optimizer],
        stepper(model, behavior_optimizer),
        updates=3 * UPDATES,
        noise={
            "epsilon": ACTION_DIM,
            "support_epsilon": -(-FEW * SUPPORT // BATCH) * ACTION_DIM,
        },
        uniform={"time": 1},
        columns=dict.fromkeys(("support", "next_support"), SUPPORT * ACTION_DIM),
        config={
            **SETTINGS,
            "guidance_dims": HIDDEN,
            "behavior_dims": WIDTHS,
            "batch_size": BATCH,
            "critic_batch_size": FEW,
            "behavior_share": 1 / 3,
            "critic_share": 0.5,
            "learning_rate": LEARNING_RATE,
            "support_actions": SUPPORT,
            "beta": BETA,
            "backup_beta": BACKUP_BETA,
            "guidance_scale": GUIDANCE_SCALE,
            "diffusion_steps": STEPS,
        },
        compared="two updates in each stage, of given support actions, and the guided actions of "
        "the trained policy; the time's frequencies are ours",
        prepare=prepare,
        given=spread,
        act=act,
        without={"params/guidance/bias_2": slice(None)},  # no loss sees it
        layers=arrays_of,
        oracle="official code",
        version=COMMIT,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.path.insert(0, str(Path(sys.argv[1]) / "Offline_RL_2D"))
    main()
