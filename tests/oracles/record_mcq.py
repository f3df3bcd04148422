"""Records MCQ's own code: `python -m tests.oracles.record_mcq FOLDER`, a checkout of it.

It is dmksjfl/MCQ at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from tests.oracles.record_corl import Log
from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
    Step,
    array,
    drawing,
    merge_heads,
    perceptron,
    record,
    squared_errors,
)

COMMIT = "1f27c77"
WIDTH, DEPTH = 10, 3  # of policy and critics
VAE_DIMS = (8, 8)
LATENTS, SAMPLES, TD_WEIGHT = 2 * ACTION_DIM, 3, 0.6
ABOVE_ZERO = 2.0  # is added to Q


def make_trainer() -> tuple[Any, Log]:
    """The official trainer with its settings but for sizes and rates, and its temperature."""
    official = importlib.import_module("offlinerl.algo.modelfree.MCQ")
    squashed = importlib.import_module("offlinerl.utils.net.tanhpolicy").TanhNormal
    squashed.mode = None  # is assigned to, and has since become a property of PyTorch's
    squashed.__init__.__defaults__ = (0.0,)  # is added to 1 − a²
    defaults = importlib.import_module("offlinerl.config.algo.MCQ_config")
    settings = importlib.import_module("offlinerl.utils.config").parse_config(defaults)
    settings |= {
        "task": "d4rl-halfcheetah-medium-v2",
        "log_dir": ".",
        "device": "cpu",
        "batch_size": BATCH,
        "hidden_layer_size": WIDTH,
        "layer_num": DEPTH - 1,
        "vae_features": VAE_DIMS[0],
        "vae_layers": len(VAE_DIMS),
        **dict.fromkeys(("vae_lr", "actor_lr", "critic_lr"), LEARNING_RATE),
        "discount": SETTINGS["discount"],
        "soft_target_tau": TAU,
        "lam": TD_WEIGHT,
        "num": SAMPLES,
    }
    with mock.patch.multiple(
        "offlinerl.utils.env",
        get_env_shape=lambda _: (OBS_DIM, ACTION_DIM),
        get_env_action_range=lambda _: (1.0, -1.0),
    ):
        parts = official.algo_init(settings)
        trainer = official.AlgoTrainer(parts, settings)
    trainer.mean, trainer.std = 0, 1 - 1e-6  # to which 1e-6 is added
    temperature = Log(nn.Parameter(trainer.log_alpha.detach()))
    trainer.log_alpha = temperature.log
    trainer.alpha_opt = torch.optim.Adam(temperature.parameters(), lr=LEARNING_RATE)
    return trainer, temperature


def arrays_of(module: nn.Module, read: Callable[[Tensor], Tensor]) -> Arrays:
    if isinstance(module, Log):
        return {"log": array(read(module.log)).reshape(())}
    arrays = perceptron(module, read)
    return merge_heads(arrays, DEPTH) if hasattr(module, "sigma") else arrays


def draws(noise: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """As the official update asks for them; both critics' are the same."""

    def of_samples(name: str) -> Iterator[Tensor]:  # of s, then of s': [samples, B, width]
        yield from noise[name].view(BATCH, 2, SAMPLES, -1).permute(1, 2, 0, 3)

    yield noise["encoded"]
    yield noise["gaussian"]
    yield noise["next_gaussian"]
    yield torch.zeros(BATCH, LATENTS)  # of an action that is not used
    for _ in range(2):
        yield from (actions.flatten(0, 1) for actions in of_samples("policy_gaussian"))
        yield from of_samples("latent")


@contextlib.contextmanager
def postponed(optimizer: torch.optim.Optimizer, parameter: Tensor) -> Iterator[None]:
    """Its step is taken at the end, with the gradient that it was called with."""
    gradients: list[Tensor] = []

    def keep() -> None:
        assert parameter.grad is not None
        gradients.append(parameter.grad.clone())

    with mock.patch.object(optimizer, "step", keep):
        yield
    (parameter.grad,) = gradients
    optimizer.step()


@contextlib.contextmanager
def minimised() -> Iterator[list[float]]:
    """The losses of which gradients are taken, in order."""
    own: Any = Tensor.backward
    found: list[float] = []

    def kept(loss: Tensor, retain_graph: bool | None = None) -> None:
        found.append(loss.item())
        own(loss, retain_graph=retain_graph)

    with mock.patch("torch.Tensor.backward", kept):
        yield found


def idle(own: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A bound that nothing reaches."""

    def call(x: Tensor, **bounds: float) -> Tensor:
        bounded = own(x, **bounds)
        assert bounded.equal(x)
        return bounded

    return call


def stepper(trainer: Any) -> Step:
    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        given = SimpleNamespace(
            obs=batch["observations"],
            act=batch["actions"],
            rew=batch["rewards"].unsqueeze(-1),
            obs_next=batch["next_observations"],
            done=1 - batch["masks"].unsqueeze(-1),
        )
        with (
            drawing(*draws(noise)),
            mock.patch("torch.normal", lambda mean, std: mean + std * torch.randn(mean.shape)),
            mock.patch("torch.Tensor.clamp", idle(Tensor.clamp)),
            postponed(trainer.alpha_opt, trainer.log_alpha),
            squared_errors() as errors,
            minimised() as losses,
        ):
            trainer._train(given, None)
        vae_loss, _temperature_loss, *critic_losses, policy_loss = losses
        td_loss = sum(errors)
        return {
            "vae/loss": vae_loss / ACTION_DIM,
            "critic/loss": td_loss,
            "critic/policy_loss": (sum(critic_losses) - TD_WEIGHT * td_loss) / (1 - TD_WEIGHT),
            "actor/loss": policy_loss,
        }

    return step


def main() -> None:
    trainer, temperature = make_trainer()
    vae = trainer.vae
    critics = [trainer.critic1, trainer.critic2]
    targets = [trainer.critic1_target, trainer.critic2_target]
    for parameter in (*vae.encoder.parameters(), *vae.decoder.parameters()):
        parameter.register_hook(lambda gradient: gradient / ACTION_DIM)

    def prepare(_: Arrays) -> None:
        for critic in (*critics, *targets):
            critic.last.bias.data += ABOVE_ZERO

    record(
        "mcq",
        "mcq",
        {
            "params/actor": [trainer.actor],
            "params/critic": critics,
            "params/encoder": [vae.encoder],
            "params/decoder": [vae.decoder],
            "params/temperature": [temperature],
            "targets/critic": targets,
        },
        [
            trainer.actor_opt,
            trainer.critic1_opt,
            trainer.critic2_opt,
            trainer.vae_optim,
            trainer.alpha_opt,
        ],
        stepper(trainer),
        updates=3,
        noise={
            "encoded": LATENTS,
            "gaussian": ACTION_DIM,
            "next_gaussian": ACTION_DIM,
            "policy_gaussian": 2 * SAMPLES * ACTION_DIM,
            "latent": 2 * SAMPLES * LATENTS,
        },
        config={
            "hidden_dims": (WIDTH,) * DEPTH,
            "discount": SETTINGS["discount"],
            "vae_hidden_dims": VAE_DIMS,
            "learning_rate": LEARNING_RATE,
            "vae_learning_rate": LEARNING_RATE,
            "td_weight": TD_WEIGHT,
            "samples": SAMPLES,
            "tau": TAU,
        },
        prepare=prepare,
        compared="three updates, where every target is above 0; both critics are given the same "
        "sampled actions, the VAE's gradients are divided by the number of action dimensions, the "
        "temperature's step is taken at the end, and the two 1e-6 are left out that it adds to "
        "1 − a² and to the observations' divisor",
        layers=arrays_of,
        oracle="official code",
        version=COMMIT,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.path.insert(0, sys.argv[1])
    importlib.import_module("torch._dynamo")  # which asks where sklearn is
    absent = ("d4rl", "d4rl.infos", "gym", "loguru", "neorl", "ray", "sklearn", "tqdm")
    sys.modules |= {name: mock.MagicMock() for name in (*absent, "sklearn.preprocessing")}
    sys.modules |= {
        "tianshou": mock.MagicMock(),
        "tianshou.data": mock.MagicMock(
            Batch=object, to_torch=lambda x, *_, **__: x, to_torch_as=lambda x, _: x
        ),
    }
    main()
