"""Decision Flow's losses and gradients against loops over states and flow decisions."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from algorithms.base import Algorithm, Networks
from algorithms.critics import iql_critic_loss
from algorithms.flow import flow_matching_loss
from algorithms.networks import Params
from tests.algorithms.reference import (
    make_algorithm,
    members,
    random_batch,
    random_noise,
    random_params,
)

SEEDS, BATCH = 2, 4

variants = pytest.mark.parametrize("variant", ["df-dir", "df-div"])


def _improvement_of_one_seed(
    variant: str,
    modules: dict[str, list[torch.nn.Sequential]],
    s: Tensor,
    x0: Tensor,
    scale: Tensor,
) -> tuple[Tensor, Tensor]:
    """Policy and flow critic loss, state by state and decision by decision (ρ = 0.3, T = 3)."""
    steps, rho = 3, 0.3
    (policy,), (behavior,), (flow_critic,), (value,) = (
        modules[name] for name in ("policy", "behavior", "flow_critic", "value")
    )
    frozen_flow_critic = copy.deepcopy(flow_critic).requires_grad_(False)

    def advantage(state: Tensor, action: Tensor) -> Tensor:
        qs = [q(torch.cat([state, action.clamp(-1, 1)])) for q in modules["critic"]]
        return (torch.min(*qs) - value(state))[0] / scale

    policy_losses, critic_losses = [], []
    for state, start in zip(s, x0, strict=True):
        points, x = [], start
        with torch.no_grad():
            for k in range(steps):
                points.append(x)
                x = x + policy(torch.cat([state, x, torch.tensor([k / steps])])) / steps
            outcome = advantage(state, x)
        penalty_to_go = torch.tensor(0.0)
        for k in reversed(range(steps)):
            flow_state = torch.cat([state, points[k], torch.tensor([k / steps])])
            velocity = policy(flow_state)
            divergence = ((velocity - behavior(flow_state)) ** 2).sum()
            if variant == "df-div":
                penalty_to_go = penalty_to_go + divergence.detach()
            target = outcome - rho / steps * penalty_to_go
            critic_losses.append((flow_critic(flow_state)[0] - target) ** 2)
            reached = points[k] + velocity / steps
            if variant == "df-dir":
                reached = reached.detach().requires_grad_()
            if k == steps - 1:
                worth = advantage(state, reached)
            else:
                following = torch.cat([state, reached, torch.tensor([(k + 1) / steps])])
                worth = frozen_flow_critic(following)[0]
            if variant == "df-dir":
                (gradient,) = torch.autograd.grad(worth, reached)
                gain = velocity @ (gradient / (gradient.norm() + 1e-8))
            else:
                gain = steps * worth
            policy_losses.append(-gain + rho * divergence)
    return torch.stack(policy_losses).mean(), torch.stack(critic_losses).mean()


@variants
def test_losses_and_gradients_equal_a_loop_over_states_and_decisions(variant: str) -> None:
    """The roll-out is fixed: gradients enter at each decision's own velocity alone."""
    algorithm = make_algorithm(variant, flow_steps=3, rho=0.3, rollout_states=3)
    trained, targets, nets = _leaves(algorithm)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.noise, SEEDS, BATCH)
    loss, metrics = algorithm.improvement_loss(nets, batch, noise)
    loss.sum().backward()

    for seed in range(SEEDS):
        modules = {
            name: members(network, {k: v[seed].detach() for k, v in trained[name].items()})
            for name, network in algorithm.networks.items()
        }
        target_behavior = {k: v[seed] for k, v in targets["behavior"].items()}
        modules["behavior"] = members(algorithm.networks["behavior"], target_behavior)
        s, a = batch.observations[seed], batch.actions[seed]
        qs = torch.stack([q(torch.cat([s, a], -1)) for q in modules["critic"]]).amin(0)
        scale = (qs - modules["value"][0](s)).abs().mean().detach()  # of the whole batch
        policy_loss, flow_critic_loss = _improvement_of_one_seed(
            variant, modules, s[:3], noise["x0"][seed, :3], scale
        )
        (policy_loss + flow_critic_loss).backward()
        torch.testing.assert_close(metrics["policy/loss"][seed], policy_loss, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            metrics["flow_critic/loss"][seed], flow_critic_loss, rtol=1e-4, atol=1e-5
        )
        for name in ("policy", "flow_critic"):
            for i in range(3):
                ours = trained[name][f"weight_{i}"].grad[seed, 0]
                linear = [m for m in modules[name][0] if isinstance(m, torch.nn.Linear)][i]
                torch.testing.assert_close(ours.T, linear.weight.grad, rtol=1e-3, atol=1e-5)


@variants
def test_improvement_leaves_critic_value_behaviour_and_the_roll_out_alone(variant: str) -> None:
    """Even a roll-out whose policy could carry a gradient carries none."""
    algorithm = make_algorithm(variant, flow_steps=3)
    trained, _, nets = _leaves(algorithm)
    batch = random_batch(SEEDS, BATCH)
    loss, _ = algorithm.improvement_loss(nets, batch, random_noise(algorithm.noise, SEEDS, BATCH))
    loss.sum().backward()
    reached = {name for name, ps in trained.items() if any(p.grad is not None for p in ps.values())}
    assert reached == {"policy", "flow_critic"}


def test_pretraining_sums_flow_matching_and_iql() -> None:
    algorithm = make_algorithm("df-div", discount=0.9, expectile=0.8)
    _, _, nets = _leaves(algorithm)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.noise, SEEDS, BATCH)
    loss, metrics = algorithm.pretrain_loss(nets, batch, noise)
    flow_loss = flow_matching_loss(
        nets.behavior, batch.observations, batch.actions, noise["x0"], noise["time"]
    )
    iql_loss, _, _ = iql_critic_loss(nets, batch, discount=0.9, expectile=0.8)
    torch.testing.assert_close(loss, flow_loss + iql_loss)
    torch.testing.assert_close(metrics["behavior/loss"], flow_loss)


def test_acts_with_the_average_of_the_policy() -> None:
    algorithm = make_algorithm("df-dir", flow_steps=3)
    _, targets, nets = _leaves(algorithm)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.act_noise, SEEDS, BATCH)
    actions = algorithm.act(nets, batch.observations, noise)
    for seed in range(SEEDS):
        params = {k: v[seed] for k, v in targets["policy"].items()}
        (policy,) = members(algorithm.networks["policy"], params)
        x = noise["x0"][seed]
        for k in range(3):
            time = torch.full((BATCH, 1), k / 3)
            x = x + policy(torch.cat([batch.observations[seed], x, time], -1)) / 3
        torch.testing.assert_close(actions[seed], x, rtol=1e-4, atol=1e-6)


def _leaves(algorithm: Algorithm) -> tuple[dict[str, Params], dict[str, Params], Networks]:
    """Trained parameters that take gradients (as does the roll-out's policy), targets, networks."""
    trained = random_params(algorithm.networks, SEEDS)
    frozen = {name: {k: v.clone() for k, v in ps.items()} for name, ps in trained.items()}
    trained["frozen policy"] = frozen["policy"]
    for params in trained.values():
        for value in params.values():
            value.requires_grad_()
    targets = random_params(algorithm.networks, SEEDS, stream=1)
    return trained, targets, Networks(algorithm.networks, trained, frozen, targets)
