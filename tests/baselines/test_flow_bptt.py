"""Back-propagation through the flow against a loop over states and steps, and by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.algorithms.flow_reference import (
    leaves,
    on_a_quadratic,
    reached_by_gradients,
    start_noise,
)
from tests.algorithms.reference import make_algorithm, members, random_batch, random_noise

SEEDS, BATCH, STATES, T, RHO = 2, 4, 3, 3, 0.3


def test_losses_and_gradients_equal_a_loop_over_states_and_steps() -> None:
    """The action and the penalties are differentiated through every earlier step."""
    algorithm: Any = make_algorithm("flow-bptt", flow_steps=T, rho=RHO, rollout_states=STATES)
    trained, targets, nets = leaves(algorithm, SEEDS)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.noise, SEEDS, BATCH)
    loss, metrics = algorithm.improvement_loss(nets, batch, noise)
    loss.sum().backward()
    assert reached_by_gradients(trained) == {"policy"}
    for seed in range(SEEDS):
        (policy,), (value,), critic = (
            members(algorithm.networks[n], {k: v[seed].detach() for k, v in trained[n].items()})
            for n in ("policy", "value", "critic")
        )
        averaged = {k: v[seed] for k, v in targets["behavior"].items()}
        (behavior,) = members(algorithm.networks["behavior"], averaged)

        def advantage(s: Tensor, a: Tensor, critic: Any = critic, value: Any = value) -> Tensor:
            qs = [q(torch.cat([s, a.clamp(-1, 1)], -1)) for q in critic]
            return (torch.min(*qs) - value(s))[..., 0]

        s = batch.observations[seed]
        scale = advantage(s, batch.actions[seed]).abs().mean().detach()  # of the whole batch
        losses = []
        for state, x in zip(s[:STATES], noise["x0"][seed], strict=False):
            penalty = torch.tensor(0.0)
            for k in range(T):
                query = torch.cat([state, x, torch.tensor([k / T])])
                velocity = policy(query)
                penalty = penalty + ((velocity - behavior(query)) ** 2).sum()
                x = x + velocity / T
            losses.append(-advantage(state, x) / scale + RHO * penalty / T)
        expected = torch.stack(losses).mean()
        expected.backward()
        torch.testing.assert_close(loss[seed], expected, rtol=1e-4, atol=1e-5)
        linears = [module for module in policy if isinstance(module, nn.Linear)]
        for i, linear in enumerate(linears):
            ours = trained["policy"][f"weight_{i}"].grad[seed, 0]
            torch.testing.assert_close(ours.T, linear.weight.grad, rtol=1e-3, atol=1e-5)
    assert set(metrics) == {"policy/divergence", "policy/final_advantage"}


def test_two_steps_on_a_quadratic_by_hand() -> None:
    """u = c, u_v = 0, T = 2, Q = −|a − g|², V = 0: −A + ρ |c|² with a = x_0 + c."""
    goal, c = torch.tensor([0.5, 0.0]), torch.tensor([0.2, -0.1])
    batch, noise = random_batch(SEEDS, BATCH), start_noise(SEEDS, BATCH)
    noise["x0"] = 0.1 * noise["x0"]
    nets = on_a_quadratic(
        {"policy": lambda _s, x, _t: c.expand_as(x)}, goal, lambda _s, x, _t: torch.zeros_like(x)
    )
    algorithm: Any = make_algorithm("flow-bptt", flow_steps=2, rho=0.7)
    loss, metrics = algorithm.improvement_loss(nets, batch, noise)
    scale = (batch.actions - goal).square().sum(-1).mean(1, keepdim=True)
    value = -(noise["x0"] + c - goal).square().sum(-1) / scale
    torch.testing.assert_close(metrics["policy/final_advantage"], value.mean(1))
    torch.testing.assert_close(metrics["policy/divergence"], torch.full((SEEDS,), 0.05))
    torch.testing.assert_close(loss, -value.mean(1) + 0.7 * 0.05)


def test_with_one_step_its_gradient_is_that_of_df_div() -> None:
    """T = 1 leaves nothing to back-propagate through."""
    batch = random_batch(SEEDS, BATCH)
    gradients = []
    for algorithm_id in ("flow-bptt", "df-div"):
        algorithm: Any = make_algorithm(algorithm_id, flow_steps=1, rho=RHO)
        trained, _, nets = leaves(algorithm, SEEDS)
        loss, _ = algorithm.improvement_loss(nets, batch, start_noise(SEEDS, BATCH))
        gradients.append(torch.autograd.grad(loss.sum(), list(trained["policy"].values())))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_acts_by_integrating_the_averaged_policy() -> None:
    nets = on_a_quadratic(
        {"policy": lambda _s, x, _t: torch.full_like(x, 1e6)},
        torch.zeros(2),
        lambda _s, x, _t: x,
        target={"policy": lambda _s, x, t: x + t},
    )
    algorithm: Any = make_algorithm("flow-bptt", flow_steps=2)
    noise = random_noise(algorithm.act_noise, 1, 3)
    actions = algorithm.act(nets, random_batch(1, 3).observations, noise)
    torch.testing.assert_close(actions, 1.5**2 * noise["x0"] + 0.25)
