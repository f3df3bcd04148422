"""Decision Flow's losses and gradients against loops over states and flow decisions.

The loop differentiates the value of the point reached itself (−T C(s, x + u/T) + ρ D, with |u| held
for `df-dir-angle`) wherever the algorithm works out such a derivative first.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.algorithms.flow_reference import leaves, reached_by_gradients
from tests.algorithms.reference import make_algorithm, members, random_batch, random_noise

SEEDS, BATCH, STATES, T, RHO, TRACE, PESSIMISM = 2, 5, 4, 3, 0.3, 0.6, 1.5

ALGORITHMS = [
    "df-dir",
    "df-dir-unit",
    "df-dir-angle",
    "df-div",
    "df-div-kl",
    "df-div-mean",
    "df-div-td",
    "df-div-previous-action",
    "df-div-midpoint",
    "df-div-ensemble",
    "df-div-noised",
]
OWN_SETTINGS = {
    "df-div-td": {"td_lambda": TRACE},
    "df-div-ensemble": {"critics": 4, "pessimism": PESSIMISM},
}

Modules = dict[str, list[nn.Sequential]]


class Loop:
    """One seed's flow policy iteration, state by state and decision by decision."""

    def __init__(self, algorithm_id: str, modules: Modules) -> None:
        self.algorithm_id, self.modules = algorithm_id, modules
        self.fixed_flow_critic = copy.deepcopy(modules["flow_critic"][0]).requires_grad_(False)
        self.gains: list[Tensor] = []
        self.divergences: list[Tensor] = []
        self.critic_losses: list[Tensor] = []

    def policy_loss(self) -> Tensor:
        return (-torch.stack(self.gains) + RHO * torch.stack(self.divergences)).mean()

    def value(self, state: Tensor, action: Tensor, scale: Tensor) -> Tensor:
        pessimistic = self.pessimistic(torch.cat([state, action.clamp(-1, 1)]))
        return (pessimistic - self.modules["value"][0](state))[0] / scale

    def pessimistic(self, state_and_action: Tensor) -> Tensor:
        qs = torch.stack([q(state_and_action) for q in self.modules["critic"]])
        if self.algorithm_id == "df-div-ensemble":
            deviation = ((qs - qs.mean(0)) ** 2).mean(0).sqrt()
            return qs.mean(0) - PESSIMISM * deviation
        return qs.amin(0)

    def divergence(self, velocity: Tensor, query: Tensor) -> Tensor:
        squared = (velocity - self.modules["behavior"][0](query)) ** 2
        if self.algorithm_id == "df-div-kl":
            squared = squared / (2 * self.modules["spread"][0](query).exp().detach())
        return squared.mean() if self.algorithm_id == "df-div-mean" else squared.sum()

    def gain(self, start: Tensor, velocity: Tensor, worth: Any) -> Tensor:
        """What the policy climbs in one decision; only the velocity carries a gradient."""
        if self.algorithm_id == "df-dir-unit":
            reached = (start + velocity / T).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(worth(reached), reached)
            return velocity @ (gradient / (gradient.norm() + 1e-8))
        step = velocity / T
        if self.algorithm_id == "df-dir-angle":
            step = velocity / velocity.norm() * velocity.norm().detach() / T
        return T * worth(start + step)

    def add(self, state: Tensor, x: Tensor, first: int, before: Tensor, scale: Tensor) -> None:
        """Both losses of the decisions in one state, of which the first is at x."""
        (policy,), (flow_critic,) = self.modules["policy"], self.modules["flow_critic"]
        remembered = before if self.algorithm_id == "df-div-previous-action" else before[:0]
        points, queries = {}, {}
        with torch.no_grad():
            for k in range(first, T):
                query = torch.cat([state, x, torch.tensor([k / T])])
                if self.algorithm_id == "df-div-midpoint":
                    half_way = x + policy(query) / (2 * T)
                    query = torch.cat([state, half_way, torch.tensor([(k + 0.5) / T])])
                points[k], queries[k] = x, query
                x = x + policy(query) / T
            outcome = self.value(state, x, scale)

        def flow_state(point: Tensor, k: int) -> Tensor:
            return torch.cat([state, remembered, point, torch.tensor([k / T])])

        target = outcome
        for k in reversed(range(first, T)):
            velocity = policy(queries[k])
            divergence = self.divergence(velocity, queries[k])
            if self.algorithm_id == "df-div-td" and k < T - 1:
                bootstrap = self.modules["target flow_critic"][0](flow_state(points[k + 1], k + 1))
                target = TRACE * target + (1 - TRACE) * bootstrap[0].detach()
            if self.algorithm_id.startswith("df-div"):
                target = target - RHO / T * divergence.detach()
            self.critic_losses.append((flow_critic(flow_state(points[k], k))[0] - target) ** 2)

            def worth(reached: Tensor, k: int = k) -> Tensor:
                if k == T - 1:
                    return self.value(state, reached, scale)
                return self.fixed_flow_critic(flow_state(reached, k + 1))[0]

            self.gains.append(self.gain(points[k], velocity, worth))
            self.divergences.append(divergence)


@pytest.mark.parametrize("algorithm_id", ALGORITHMS)
def test_losses_and_gradients_equal_a_loop_over_states_and_decisions(algorithm_id: str) -> None:
    """The roll-out is fixed: gradients enter at each decision's own velocity alone."""
    settings = {"flow_steps": T, "rho": RHO, "rollout_states": STATES}
    algorithm = make_algorithm(algorithm_id, **settings, **OWN_SETTINGS.get(algorithm_id, {}))
    trained, targets, nets = leaves(algorithm, SEEDS)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.noise, SEEDS, BATCH)
    loss, metrics = algorithm.improvement_loss(nets, batch, noise)
    loss.sum().backward()

    for seed in range(SEEDS):
        modules = {
            name: members(network, {k: v[seed].detach() for k, v in trained[name].items()})
            for name, network in algorithm.networks.items()
        }
        for name, averaged in (("behavior", "behavior"), ("target flow_critic", "flow_critic")):
            params = {k: v[seed] for k, v in targets[averaged].items()}
            modules[name] = members(algorithm.networks[averaged], params)
        s, a = batch.observations[seed], batch.actions[seed]
        loop = Loop(algorithm_id, modules)
        advantages = loop.pessimistic(torch.cat([s, a], -1)) - modules["value"][0](s)
        scale = advantages.abs().mean().detach()  # of the whole batch
        for i in range(STATES):
            x, first, before = noise["x0"][seed, i], 0, batch.previous_actions[seed, i]
            if algorithm_id == "df-div-noised" and i < STATES // 2:
                first = int(noise["time"][seed, i] * T)
                x = (1 - first / T) * x + first / T * a[i]
            loop.add(s[i], x, first, before, scale)
        flow_critic_loss = torch.stack(loop.critic_losses).mean()
        (loop.policy_loss() + flow_critic_loss).backward()
        torch.testing.assert_close(
            metrics["flow_critic/loss"][seed], flow_critic_loss, rtol=1e-4, atol=1e-5
        )
        for name in ("policy", "flow_critic"):
            for i in range(3):
                ours = trained[name][f"weight_{i}"].grad[seed, 0]
                linear = [m for m in modules[name][0] if isinstance(m, nn.Linear)][i]
                torch.testing.assert_close(ours.T, linear.weight.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("algorithm_id", "trained_too"),
    [
        ("df-dir", set()),
        ("df-div", set()),
        ("df-div-kl", {"spread"}),
        ("df-div-joint", {"critic", "value"}),
        ("df-div-actor-critic", {"critic", "value"}),
        ("df-div-best-target", set()),
        ("df-div-critic-noise", set()),
        ("df-div-td", set()),
    ],
)
def test_improvement_reaches_the_policy_its_critic_and_what_learns_beside_them(
    algorithm_id: str, trained_too: set[str]
) -> None:
    """Never the behaviour flow; Q and V only where they learn jointly."""
    algorithm = make_algorithm(algorithm_id, flow_steps=3)
    trained, _, nets = leaves(algorithm, SEEDS)
    batch = random_batch(SEEDS, BATCH)
    loss, _ = algorithm.improvement_loss(nets, batch, random_noise(algorithm.noise, SEEDS, BATCH))
    loss.sum().backward()
    expected = {"policy", "flow_critic"} | trained_too
    assert reached_by_gradients(trained) == expected
    (phase,) = algorithm.stages[-1].phases
    assert set(phase.trains) == expected


@pytest.mark.parametrize("algorithm_id", ["df-dir", "df-div-midpoint"])
def test_acts_with_the_average_of_the_policy(algorithm_id: str) -> None:
    algorithm = make_algorithm(algorithm_id, flow_steps=3)
    _, targets, nets = leaves(algorithm, SEEDS)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.act_noise, SEEDS, BATCH)
    actions = algorithm.act(nets, batch.observations, noise)
    for seed in range(SEEDS):
        params = {k: v[seed] for k, v in targets["policy"].items()}
        (policy,) = members(algorithm.networks["policy"], params)
        x = noise["x0"][seed]
        for k in range(3):
            time, query = torch.full((BATCH, 1), k / 3), x
            if algorithm_id == "df-div-midpoint":
                query = x + policy(torch.cat([batch.observations[seed], x, time], -1)) / 6
                time = time + 1 / 6
            x = x + policy(torch.cat([batch.observations[seed], query, time], -1)) / 3
        torch.testing.assert_close(actions[seed], x, rtol=1e-4, atol=1e-6)
