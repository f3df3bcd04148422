"""TD3+BC against the equations of arXiv:2106.06860 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.transitions import Transitions
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    polyak,
    random_batch,
    record,
)
from tests.algorithms.small import make_engine


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """Seven updates, so the delayed actor and both targets move three times."""
    engine = make_engine("td3-bc", transitions, learning_rate=1e-2, tau=0.05, discount=0.9)
    starts = [{n: learned(engine, n, slot) for n in ("actor", "critic")} for slot in (0, 1)]
    seen = record(engine)
    engine.train(7)
    for slot, start in enumerate(starts):
        (actor,), (first, second) = start["actor"], start["critic"]
        old_actor, old_first, old_second = copy.deepcopy([actor, first, second])
        actor_adam = torch.optim.Adam(actor.parameters(), lr=1e-2)
        critic_adam = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=1e-2)
        for i, (batch, noise) in enumerate(of_seed(seen, slot)):
            s, a, following = batch.observations, batch.actions, batch.next_observations
            with torch.no_grad():
                smoothing = torch.clip(0.2 * noise["smoothing"], -0.5, 0.5)
                a_next = torch.clip(torch.tanh(old_actor(following)) + smoothing, -1, 1)
                pair = torch.cat([following, a_next], 1)
                q_next = torch.minimum(old_first(pair), old_second(pair))[:, 0]
                target = batch.rewards + 0.9 * batch.masks * q_next
            pair = torch.cat([s, a], 1)
            loss = F.mse_loss(first(pair)[:, 0], target) + F.mse_loss(second(pair)[:, 0], target)
            critic_adam.zero_grad()
            loss.backward()
            critic_adam.step()
            if i % 2 == 0:
                continue
            pi = torch.tanh(actor(s))
            q = first(torch.cat([s, pi], 1))
            lam = 2.5 / q.abs().mean().detach()
            actor_adam.zero_grad()
            (-lam * q.mean() + F.mse_loss(pi, a)).backward()
            actor_adam.step()
            for target_net, net in ((old_actor, actor), (old_first, first), (old_second, second)):
                polyak(target_net, net, 0.05)
        for name, group, expected in (
            ("actor", "params", [actor]),
            ("critic", "params", [first, second]),
            ("actor", "targets", [old_actor]),
            ("critic", "targets", [old_first, old_second]),
        ):
            actual = learned(engine, name, slot, group)
            assert_same_weights(actual, torch.nn.ModuleList(expected))


@pytest.mark.parametrize(
    ("noise", "mean", "next_action"),
    [
        (1.0, 0.0, 0.2),  # σ = 0.2
        (100.0, 0.0, 0.5),  # c = 0.5
        (-100.0, 0.0, -0.5),
        (100.0, 9.0, 1.0),  # tanh(9) = 1 plus 0.5, clipped to the action's range
    ],
)
def test_target_smoothing_is_scaled_clipped_and_stays_in_range(
    noise: float, mean: float, next_action: float
) -> None:
    """The target critic hands back the action it is asked about, the critic says 0."""
    batch = random_batch(1, 1)._replace(rewards=torch.zeros(1, 1), masks=torch.ones(1, 1))
    nets = closed_form(
        {"critic": lambda *_: torch.zeros(1, 2, 1)},
        target={
            "actor": lambda _: torch.full((1, 1, 2), mean),
            "critic": lambda _s, a: a[..., 0].unsqueeze(1).expand(1, 2, 1),
        },
    )
    algorithm = make_algorithm("td3-bc", discount=1.0)
    loss, _ = algorithm.critic_loss(nets, batch, {"smoothing": torch.full((1, 1, 2), noise)})
    assert float(loss) == pytest.approx(2 * next_action**2)


def test_the_backup_takes_the_smaller_target_and_stops_at_terminals() -> None:
    batch = random_batch(1, 2)._replace(
        rewards=torch.tensor([[1.0, 1.0]]), masks=torch.tensor([[1.0, 0.0]])
    )
    nets = closed_form(
        {"critic": lambda *_: torch.zeros(1, 2, 2), "actor": lambda s: s[..., :2]},
        target={"critic": lambda *_: torch.tensor([[[3.0, 3.0], [2.0, 2.0]]])},
    )
    noise = {"smoothing": torch.zeros(1, 2, 2)}
    loss, _ = make_algorithm("td3-bc", discount=0.5).critic_loss(nets, batch, noise)
    assert float(loss) == pytest.approx(2 * ((1 + 0.5 * 2) ** 2 + 1) / 2)


def _first_critic(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The second of the twins is far off, which the actor must not notice."""
    return lambda _s, a: torch.stack([function(a[..., 0]), function(a[..., 0]) - 1000], 1)


def test_the_actor_weighs_the_first_critic_by_alpha_over_its_mean_size() -> None:
    """Q(a) = (0.4, -0.2) over two states: λ = 2.5 / 0.3 and the Q term -λ * 0.1."""
    batch = random_batch(1, 2)
    squashed = torch.tensor([[[0.4, 0.0], [-0.2, 0.0]]])
    actor = {"actor": lambda _: torch.atanh(squashed)}
    algorithm = make_algorithm("td3-bc")
    loss, metrics = algorithm.actor_loss(
        closed_form({**actor, "critic": _first_critic(lambda a: a)}), batch, {}
    )
    bc_loss = (squashed - batch.actions).square().mean()
    assert float(metrics["actor/q_loss"]) == pytest.approx(-2.5 / 0.3 * 0.1, rel=1e-5)
    assert float(metrics["actor/bc_loss"]) == pytest.approx(float(bc_loss), rel=1e-5)
    assert float(loss) == pytest.approx(-2.5 / 0.3 * 0.1 + float(bc_loss), rel=1e-5)

    scaled = closed_form({**actor, "critic": _first_critic(lambda a: 100 * a)})
    assert float(algorithm.actor_loss(scaled, batch, {})[0]) == pytest.approx(float(loss), rel=1e-5)


def test_lambda_carries_no_gradient() -> None:
    """Q(a) = a: were λ differentiated, the Q term's gradient would vanish for a single state."""
    batch = random_batch(1, 1)
    x = torch.full((1, 1, 2), 0.3, requires_grad=True)
    nets = closed_form({"actor": lambda _: x, "critic": _first_critic(lambda a: a)})
    _, metrics = make_algorithm("td3-bc").actor_loss(nets, batch, {})
    metrics["actor/q_loss"].sum().backward()
    tanh = torch.tanh(torch.tensor(0.3))
    assert float(x.grad[0, 0, 0]) == pytest.approx(float(-2.5 / tanh * (1 - tanh**2)), rel=1e-5)
