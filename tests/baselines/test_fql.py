"""FQL against the equations of arXiv:2502.02538 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from algorithms.transitions import Transitions
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    polyak,
    q_values,
    random_batch,
    random_noise,
    record,
)
from tests.algorithms.small import make_engine


def _integrate(flow: nn.Module, s: Tensor, x: Tensor, steps: int) -> Tensor:
    for k in range(steps):
        x = x + flow(torch.cat([s, x, torch.full((len(s), 1), k / steps)], 1)) / steps
    return x.clip(-1, 1)


@pytest.mark.parametrize(
    ("aggregation", "normalize"), [("mean", False), ("min", True)], ids=["default", "adroit-like"]
)
def test_training_equals_plain_pytorch(
    aggregation: str, normalize: bool, transitions: Transitions
) -> None:
    engine = make_engine(
        "fql",
        transitions,
        alpha=3.0,
        learning_rate=3e-3,
        tau=0.05,
        discount=0.9,
        flow_steps=4,
        q_aggregation=aggregation,
        normalize_q_loss=normalize,
    )
    names = ("actor", "flow", "critic")
    starts = [[learned(engine, name, slot) for name in names] for slot in (0, 1)]
    seen = record(engine)
    engine.train(6)
    for slot, nets in enumerate(starts):
        (actor,), (flow,), critic = nets
        target_critic = copy.deepcopy(critic)
        adam = torch.optim.Adam([p for net in nets for p in net.parameters()], lr=3e-3)
        for batch, noise in of_seed(seen, slot):
            s, a, following = batch.observations, batch.actions, batch.next_observations
            with torch.no_grad():
                a_next = actor(torch.cat([following, noise["next_z"]], 1)).clip(-1, 1)
                pair = torch.cat([following, a_next], 1)
                qs = torch.stack([member(pair)[:, 0] for member in target_critic])
                q_next = qs.min(0).values if aggregation == "min" else qs.mean(0)
                backup = batch.rewards + 0.9 * batch.masks * q_next
                goal = _integrate(flow, s, noise["z"], 4)
                frozen = copy.deepcopy(critic)
            qs = q_values(critic, s, a)
            critic_loss = ((qs - backup) ** 2).mean()
            t, x0 = noise["time"], noise["x0"]
            velocity = flow(torch.cat([s, (1 - t) * x0 + t * a, t], 1))
            flow_loss = ((velocity - (a - x0)) ** 2).mean()
            pi = actor(torch.cat([s, noise["z"]], 1))
            distill_loss = ((pi - goal) ** 2).mean()
            pair = torch.cat([s, pi.clip(-1, 1)], 1)
            q = torch.stack([member(pair)[:, 0] for member in frozen]).mean(0)
            q_loss = -q.mean()
            if normalize:
                q_loss = q_loss / q.abs().mean().detach()
            adam.zero_grad()
            (critic_loss + flow_loss + 3.0 * distill_loss + q_loss).backward()
            adam.step()
            polyak(target_critic, critic, 0.05)
        for name, net in zip(names, nets, strict=True):
            assert_same_weights(learned(engine, name, slot), net)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target_critic)


@pytest.mark.parametrize(("aggregation", "next_q"), [("mean", 3.0), ("min", 2.0)])
def test_the_backup_aggregates_the_twins_as_asked(aggregation: str, next_q: float) -> None:
    """One transition goes on, one is terminal; r = 1, γ = 0.5, Q = 0."""
    batch = random_batch(1, 2)._replace(rewards=torch.ones(1, 2), masks=torch.tensor([[1.0, 0.0]]))
    nets = closed_form(
        {"critic": lambda *_: torch.zeros(1, 2, 2), "actor": lambda _s, z: z},
        target={"critic": lambda *_: torch.tensor([[[2.0, 2.0], [4.0, 4.0]]])},
    )
    algorithm = make_algorithm("fql", discount=0.5, q_aggregation=aggregation)
    loss, _ = algorithm.critic_loss(nets, batch, random_noise(algorithm.noise, 1, 2))
    assert float(loss) == pytest.approx(((1 + 0.5 * next_q) ** 2 + 1) / 2)


def test_the_next_action_is_clipped_before_the_target_critic_sees_it() -> None:
    batch = random_batch(1, 1)._replace(rewards=torch.zeros(1, 1), masks=torch.ones(1, 1))
    nets = closed_form(
        {"critic": lambda *_: torch.zeros(1, 2, 1), "actor": lambda _s, z: 50 * z.sign()},
        target={"critic": lambda _s, a: a.abs().amax(-1).unsqueeze(1).expand(1, 2, 1)},
    )
    algorithm = make_algorithm("fql", discount=1.0)
    loss, _ = algorithm.critic_loss(nets, batch, random_noise(algorithm.noise, 1, 1))
    assert float(loss) == pytest.approx(1.0)


@pytest.mark.parametrize(("normalize", "q_loss"), [(False, -5.0), (True, -5.0 / 15.0)])
def test_the_actor_loss_by_hand(normalize: bool, q_loss: float) -> None:
    """Constant flow 9 ends clipped at 1, the actor says 0.5; Q = 20 and -10 in two states."""
    batch = random_batch(1, 2)
    nets = closed_form(
        {
            "flow": lambda _s, x, _t: torch.full_like(x, 9.0),
            "actor": lambda _s, z: torch.full_like(z, 0.5),
            "critic": lambda *_: torch.tensor([[[25.0, -10.0], [15.0, -10.0]]]),
        }
    )
    algorithm = make_algorithm("fql", alpha=4.0, normalize_q_loss=normalize)
    noise = random_noise(algorithm.noise, 1, 2)
    loss, metrics = algorithm.actor_loss(nets, batch, noise)
    flow_loss = (9.0 - (batch.actions - noise["x0"])).square().mean()
    assert float(metrics["actor/distill_loss"]) == pytest.approx(0.25)
    assert float(metrics["actor/q_loss"]) == pytest.approx(q_loss)
    assert float(metrics["flow/loss"]) == pytest.approx(float(flow_loss), rel=1e-5)
    assert float(loss) == pytest.approx(float(flow_loss) + 4 * 0.25 + q_loss, rel=1e-5)


def test_acts_with_the_one_step_policy() -> None:
    nets = closed_form({"actor": lambda s, z: 2 * z + s[..., :2]})
    algorithm = make_algorithm("fql")
    observations = random_batch(1, 3).observations
    noise = random_noise(algorithm.act_noise, 1, 3)
    expected = 2 * noise["z"] + observations[..., :2]
    assert torch.equal(algorithm.act(nets, observations, noise), expected)
