"""Records torchrl's losses under Adam: `python -m tests.oracles.record_torchrl`, as d3rlpy's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torchrl
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import Tensor, nn
from torchrl.data import Bounded
from torchrl.modules import MLP, ProbabilisticActor, ValueOperator
from torchrl.modules.distributions import IndependentNormal
from torchrl.objectives import IQLLoss, SoftUpdate, TD3BCLoss, ValueEstimators

from tests.oracles import recording
from tests.oracles.recording import (
    ACTION_DIM,
    HIDDEN,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
    array,
    drawing,
)

OURS = {**SETTINGS, "learning_rate": LEARNING_RATE, "tau": TAU}
SPEC = Bounded(-1, 1, (ACTION_DIM,))


class Member(nn.Module):
    """One network of those whose parameters torchrl keeps together."""

    def __init__(self, parameters: Any, index: int | None = None) -> None:
        super().__init__()
        self.kept, self.index = parameters, index


def members(parameters: Any) -> list[Member]:
    return [Member(parameters, index) for index in range(parameters.batch_size[0])]


def layers(member: nn.Module, read: Callable[[Tensor], Tensor]) -> Arrays:
    """Linear layers in order, and what else is a parameter under its name."""
    assert isinstance(member, Member)
    arrays: Arrays = {}
    for name, parameter in member.kept.flatten_keys(".").items():
        kind = name.rpartition(".")[2]
        value = read(parameter) if member.index is None else read(parameter)[member.index]
        if kind == "log_std":
            arrays[kind] = array(value)
            continue
        number = sum(key.startswith(f"{kind}_") for key in arrays)
        arrays[f"{kind}_{number}"] = array(value.T if kind == "weight" else value[None])
    return arrays


def network(inputs: int, outputs: int) -> nn.Module:
    return MLP(inputs, outputs, num_cells=HIDDEN, activation_class=nn.ReLU)


def critic() -> ValueOperator:
    return ValueOperator(network(OBS_DIM + ACTION_DIM, 1), ["observation", "action"])


def data(batch: Mapping[str, Tensor]) -> TensorDict:
    column = {name: batch[name].unsqueeze(-1) for name in ("rewards", "masks")}
    following = {
        "observation": batch["next_observations"],
        "reward": column["rewards"],
        "done": column["masks"] == 0,
        "terminated": column["masks"] == 0,
    }
    fields = {"observation": batch["observations"], "action": batch["actions"], "next": following}
    return TensorDict(fields, [len(batch["rewards"])])


class Learner:
    """A loss of torchrl's with Adam on each of its networks and averages of its targets."""

    def __init__(self, loss: Any, networks: Sequence[str]) -> None:
        self.loss = loss
        loss.make_value_estimator(ValueEstimators.TD0, gamma=SETTINGS["discount"])
        self.adams = {
            name: torch.optim.Adam(getattr(loss, name).parameters(), lr=LEARNING_RATE)
            for name in networks
        }
        self.averages = SoftUpdate(loss, tau=TAU)

    def step(self, found: Mapping[str, Tensor], losses: Mapping[str, str]) -> dict[str, float]:
        """Step each network by its loss, all of them from before it; the losses."""
        parameters = {name: list(getattr(self.loss, name).parameters()) for name in losses}
        gradients = {
            name: torch.autograd.grad(found[loss], parameters[name], retain_graph=True)
            for name, loss in losses.items()
        }
        for name, of_network in gradients.items():
            for parameter, gradient in zip(parameters[name], of_network, strict=True):
                parameter.grad = gradient
            self.adams[name].step()
        return {loss: found[loss].item() for loss in losses.values()}


def record(method: str, learner: Learner, parts: Any, step: recording.Step, **facts: Any) -> None:
    recording.record(
        "torchrl",
        method,
        parts,
        learner.adams.values(),
        step,
        version=torchrl.__version__,
        layers=layers,
        **facts,
    )


ACTOR, CRITIC, VALUE = (f"{x}_network_params" for x in ("actor", "qvalue", "value"))


def td3_bc() -> None:
    module = nn.Sequential(network(OBS_DIM, ACTION_DIM), nn.Tanh())
    actor = TensorDictModule(module, ["observation"], ["action"])
    loss = TD3BCLoss(actor, critic(), action_spec=SPEC, loss_function="l2", deactivate_vmap=True)
    learner = Learner(loss, (ACTOR, CRITIC))

    def step(count: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        given = data(batch)
        with drawing(noise["smoothing"]):
            found = learner.step(loss(given), {CRITIC: "loss_qvalue"})
        losses = {"critic/loss": found["loss_qvalue"]}
        if count % 2 == 0:
            with drawing(noise["smoothing"]):
                every = loss(given)
            both = learner.step(every, {ACTOR: "loss_actor"})["loss_actor"]
            bc_loss = every["bc_loss"].item()
            losses |= {"actor/q_loss": both - bc_loss, "actor/bc_loss": bc_loss}
            learner.averages.step()
        return losses

    record(
        "td3-bc",
        learner,
        {
            "params/actor": [Member(loss.actor_network_params)],
            "params/critic": members(loss.qvalue_network_params),
            "targets/actor": [Member(loss.target_actor_network_params)],
            "targets/critic": members(loss.target_qvalue_network_params),
        },
        step,
        updates=4,
        noise={"smoothing": ACTION_DIM},
        config=OURS,
        compared="four updates, of which two are the actor's",
    )


class Gaussian(nn.Module):
    """IQL's policy: the squashed mean, and σ of a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = network(OBS_DIM, ACTION_DIM)
        self.log_std = nn.Parameter(torch.zeros(1, ACTION_DIM))

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.tanh(self.mean(observations))
        return mean, self.log_std.clamp(-5, 2).exp().expand_as(mean)


def iql() -> None:
    updates = 3
    actor = ProbabilisticActor(
        TensorDictModule(Gaussian(), ["observation"], ["loc", "scale"]),
        in_keys=["loc", "scale"],
        spec=SPEC,
        distribution_class=IndependentNormal,
    )
    value = ValueOperator(network(OBS_DIM, 1), ["observation"])
    loss = IQLLoss(
        actor,
        critic(),
        value,
        loss_function="l2",
        temperature=3.0,
        expectile=0.7,
        deactivate_vmap=True,
    )
    learner = Learner(loss, (ACTOR, CRITIC, VALUE))
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(learner.adams[ACTOR], updates)

    def step(_: int, batch: Mapping[str, Tensor], __: Mapping[str, Tensor]) -> Any:
        losses = {ACTOR: "loss_actor", CRITIC: "loss_qvalue", VALUE: "loss_value"}
        found = learner.step(loss(data(batch)), losses)
        decay.step()
        learner.averages.step()
        return {
            "actor/loss": found["loss_actor"],
            "critic/loss": found["loss_qvalue"],
            "value/loss": found["loss_value"],
        }

    record(
        "iql",
        learner,
        {
            "params/actor": [Member(loss.actor_network_params)],
            "params/critic": members(loss.qvalue_network_params),
            "params/value": [Member(loss.value_network_params)],
            "targets/critic": members(loss.target_qvalue_network_params),
        },
        step,
        updates=updates,
        noise={},
        config=OURS,
        compared="three updates, of all networks from before each",
    )


RECORDERS: tuple[Callable[[], None], ...] = (td3_bc, iql)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for recorder in RECORDERS:
        torch.manual_seed(0)
        recorder()
