"""What the flow critic regresses on: the flow MDP's Monte-Carlo and TD(λ) returns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms.base import Batch
from algorithms.blocks.flow import roll_out
from algorithms.decision_flow.flow_mdp import Decisions, decisions_of
from tests.algorithms.flow_reference import start_noise
from tests.algorithms.reference import closed_form, make_algorithm, random_batch
from tests.algorithms.small import ACTION_DIM, OBS_DIM

SEEDS, BATCH, T = 2, 4, 5

variants = pytest.mark.parametrize("variant", ["df-dir", "df-div"])


def _bootstrap(s: Tensor, x: Tensor, t: Tensor) -> Tensor:
    return torch.sin(s.sum(-1) + 2 * x[..., 0] - x[..., 1]) + t[..., 0]


def _decisions(algorithm: Any, batch: Batch) -> Decisions:
    """From a roll-out of a policy that drifts."""
    x0 = start_noise(SEEDS, BATCH)["x0"]
    rolled = roll_out(lambda s, x, t: s[..., :2] - x * t, batch.observations, x0, T)
    return decisions_of(rolled, batch.observations, algorithm.flow_states(batch))


def _targets(algorithm: Any, divergence: Tensor, final_value: Tensor) -> tuple[Tensor, Tensor]:
    """The targets of every decision, and C̄ there. divergence: [T, S, B]. -> [T, S, B] each."""
    decisions = _decisions(algorithm, random_batch(SEEDS, BATCH))
    nets = closed_form({}, target={"flow_critic": _bootstrap})
    flat = divergence.movedim(0, 1).flatten(1)
    rho = torch.full((SEEDS, 1), algorithm.config.rho)
    targets = algorithm.flow_targets(nets, decisions, flat, final_value, rho)
    values = _bootstrap(decisions.flow_states, decisions.points, decisions.times)
    by_step = (x.view(SEEDS, T, BATCH).movedim(1, 0) for x in (targets, values))
    return next(by_step), next(by_step)


def _outcomes() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    final_value = torch.randn(SEEDS, BATCH, generator=generator)
    return torch.rand(T, SEEDS, BATCH, generator=generator), final_value


def test_div_returns_are_the_stored_penalties_still_to_come_and_the_final_value() -> None:
    """Simulated decision by decision: reward -ρ D_k / T each, the final value at the end."""
    rho, (divergence, final_value) = 0.4, _outcomes()
    targets, _ = _targets(make_algorithm("df-div", flow_steps=T, rho=rho), divergence, final_value)
    for k in range(T):
        flow_return = torch.zeros(SEEDS, BATCH)
        for j in range(k, T):
            flow_return += -rho * divergence[j] / T
        torch.testing.assert_close(targets[k], flow_return + final_value)


def test_dir_returns_are_the_final_value_at_every_decision() -> None:
    divergence, final_value = _outcomes()
    targets, _ = _targets(make_algorithm("df-dir", flow_steps=T), divergence, final_value)
    for k in range(T):
        torch.testing.assert_close(targets[k], final_value)


@pytest.mark.parametrize("trace", [0.0, 0.3, 0.9])
def test_lambda_returns_average_the_returns_of_every_length(trace: float) -> None:
    """(1 − λ) Σ_n λ^(n−1) G^(n), the rest on the full return (Sutton and Barto, Eq. 12.3)."""
    rho, (divergence, final_value) = 0.4, _outcomes()
    algorithm = make_algorithm("df-div-td", flow_steps=T, rho=rho, td_lambda=trace)
    targets, values = _targets(algorithm, divergence, final_value)
    rewards = -rho * divergence / T
    for k in range(T):
        expected = torch.zeros(SEEDS, BATCH)
        for n in range(1, T - k + 1):
            full = n == T - k
            outcome = rewards[k : k + n].sum(0) + (final_value if full else values[k + n])
            expected += (trace ** (n - 1) if full else (1 - trace) * trace ** (n - 1)) * outcome
        torch.testing.assert_close(targets[k], expected, rtol=1e-4, atol=1e-5)


def test_td_0_is_one_reward_and_the_averaged_critics_next_value() -> None:
    rho, (divergence, final_value) = 0.4, _outcomes()
    algorithm = make_algorithm("df-div-td", flow_steps=T, rho=rho, td_lambda=0.0)
    targets, values = _targets(algorithm, divergence, final_value)
    following = torch.cat([values[1:], final_value[None]])
    torch.testing.assert_close(targets, -rho * divergence / T + following)


@variants
def test_monte_carlo_returns_ask_no_critic(variant: str) -> None:
    def broken(*_: Tensor) -> Tensor:
        raise AssertionError("a Monte-Carlo return has nothing to bootstrap from")

    algorithm: Any = make_algorithm(variant, flow_steps=T)
    nets = closed_form({}, target={"flow_critic": broken})
    decisions = _decisions(algorithm, random_batch(SEEDS, BATCH))
    zeros = torch.zeros(SEEDS, T * BATCH)
    targets = algorithm.flow_targets(
        nets, decisions, zeros, torch.full((SEEDS, BATCH), 3.0), torch.ones(SEEDS, 1)
    )
    assert (targets == 3).all()


@pytest.mark.parametrize("algorithm_id", ["df-div", "df-div-previous-action", "df-div-td"])
def test_the_previous_action_reaches_the_flow_critic_alone(algorithm_id: str) -> None:
    """At every one of its calls, decision by decision; a policy that acts is Markov."""
    seen: dict[str, list[tuple[Tensor, ...]]] = {}

    def watched(name: str, result: Any) -> Any:
        def call(*inputs: Tensor) -> Tensor:
            seen.setdefault(name, []).append(inputs)
            return result(*inputs)

        return call

    nets = closed_form(
        {
            "policy": watched("policy", lambda _s, x, _t: -x),
            "behavior": watched("behavior", lambda _s, x, _t: 0 * x),
            "flow_critic": watched("flow_critic", lambda _s, x, _t: x.sum(-1)),
            "critic": watched("critic", lambda _s, a: a.sum(-1).unsqueeze(1).expand(-1, 2, -1)),
            "value": watched("value", lambda s: s[..., 0]),
        }
    )
    remembers = algorithm_id == "df-div-previous-action"
    algorithm = make_algorithm(algorithm_id, flow_steps=T, rollout_states=3)
    batch = random_batch(SEEDS, BATCH)
    algorithm.improvement_loss(nets, batch, start_noise(SEEDS, BATCH))
    for name in ("policy", "behavior", "critic", "value"):
        assert {inputs[0].shape[-1] for inputs in seen[name]} == {OBS_DIM}
    calls = seen["flow_critic"]
    # The regression, whose slopes the policy climbs, and where there is one the bootstrap.
    assert len(calls) == (2 if algorithm_id == "df-div-td" else 1)
    for states, _, _ in calls:
        assert states.shape[-1] == OBS_DIM + ACTION_DIM * remembers
        for k in range(states.shape[1] // 3):
            few = states[:, 3 * k : 3 * k + 3]
            assert torch.equal(few[..., :OBS_DIM], batch.observations[:, :3])
            if remembers:
                assert torch.equal(few[..., OBS_DIM:], batch.previous_actions[:, :3])
