"""The critic of a flow policy's own actions, and how it acts, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from algorithms.blocks.flow_actor_critic import q_loss
from tests.algorithms.reference import closed_form, make_algorithm, random_batch, random_noise


@pytest.mark.parametrize(("aggregation", "next_q"), [("mean", 3.0), ("min", 2.0)])
def test_the_backup_aggregates_the_twins_as_asked_and_stops_at_terminals(
    aggregation: str, next_q: float
) -> None:
    """One transition goes on, one is terminal; r = 1, γ = 0.5, Q = 0."""
    batch = random_batch(1, 2)._replace(rewards=torch.ones(1, 2), masks=torch.tensor([[1.0, 0.0]]))
    nets = closed_form(
        {"critic": lambda *_: torch.zeros(1, 2, 2), "flow": lambda _s, x, _t: x},
        target={"critic": lambda *_: torch.tensor([[[2.0, 2.0], [4.0, 4.0]]])},
    )
    algorithm: Any = make_algorithm("fbrac", discount=0.5, q_aggregation=aggregation)
    loss, _ = algorithm.critic_loss(nets, batch, random_noise(algorithm.noise, 1, 2))
    assert float(loss) == pytest.approx(((1 + 0.5 * next_q) ** 2 + 1) / 2)


def test_the_next_action_is_the_clipped_end_of_the_flow_from_fresh_noise() -> None:
    """u = 2: a' = z + 2, clipped to 1 from z = 0 and left at −0.5 from z = −2.5; Q̄ = a'_1."""
    batch = random_batch(1, 2)._replace(rewards=torch.zeros(1, 2), masks=torch.ones(1, 2))
    nets = closed_form(
        {
            "critic": lambda *_: torch.zeros(1, 2, 2),
            "flow": lambda _s, x, _t: torch.full_like(x, 2.0),
        },
        target={"critic": lambda _s, a: a[..., 0].unsqueeze(1).expand(1, 2, 2)},
    )
    algorithm: Any = make_algorithm("fbrac", discount=1.0, flow_steps=4)
    noise = random_noise(algorithm.noise, 1, 2)
    noise["next_z"] = torch.tensor([[[0.0, 0.0], [-2.5, 0.0]]])
    loss, _ = algorithm.critic_loss(nets, batch, noise)
    assert float(loss) == pytest.approx((1.0**2 + 0.5**2) / 2)


def test_acts_by_integrating_the_trained_flow() -> None:
    """u(s, x, t) = x + t in two Euler steps: x_1 = 1.5 x_0, x_2 = 1.5 x_1 + 0.25."""
    nets = closed_form({"flow": lambda _s, x, t: x + t})
    algorithm: Any = make_algorithm("fbrac", flow_steps=2)
    noise = random_noise(algorithm.act_noise, 1, 3)
    actions = algorithm.act(nets, random_batch(1, 3).observations, noise)
    torch.testing.assert_close(actions, (1.5**2 * noise["z"] + 0.25).clip(-1, 1))


@pytest.mark.parametrize(("normalize", "expected"), [(False, -5.0), (True, -5.0 / 15.0)])
def test_the_q_term_by_hand(normalize: bool, expected: float) -> None:
    """Q = 20 and −10 in two states, as the mean of twins that disagree."""
    qs = torch.tensor([[[25.0, -10.0], [15.0, -10.0]]], requires_grad=True)
    batch = random_batch(1, 2)
    nets = closed_form(
        {"critic": lambda *_: torch.full((1, 2, 2), 1e6)}, frozen={"critic": lambda *_: qs}
    )
    loss = q_loss(nets, batch.observations, batch.actions, normalize=normalize)
    assert loss.tolist() == pytest.approx([expected])
    loss.sum().backward()  # the scale carries no gradient
    slope = -1 / 4 / (15.0 if normalize else 1.0)
    assert qs.grad is not None
    torch.testing.assert_close(qs.grad, torch.full((1, 2, 2), slope))
