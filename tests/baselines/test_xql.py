"""XQL against the equations of arXiv:2301.02328 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from algorithms.base import Networks
from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.xql import XQL, XQLConfig
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    polyak,
    random_batch,
    random_params,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.actors import Gaussian
from tests.baselines.bandit import GOOD, share_near, two_modes


@pytest.mark.parametrize("more", [False, True])
def test_training_equals_plain_pytorch(transitions: Transitions, more: bool) -> None:
    """V, then the policy and Q with the new V; `more`: V's loss sees other actions too."""
    updates = 6
    engine = make_engine(
        "xql",
        transitions,
        offline_steps=updates,
        learning_rate=1e-2,
        tau=0.05,
        discount=0.9,
        beta=0.5,
        max_exponent=0.2,  # beyond which some of the batch are
        temperature=2.0,
        reward_scale=30.0,  # errors on both sides of Huber's bound
        uniform_actions=more,
        value_noise=0.3 if more else 0.0,
    )
    names = ("value", "critic")
    starts = [(Gaussian(engine, s), *(learned(engine, n, s) for n in names)) for s in (0, 1)]
    seen = record(engine)
    engine.train(updates)
    clipped, far = 0, 0
    for slot, (actor, value, critic) in enumerate(starts):
        target = copy.deepcopy(critic)
        adams = {net: torch.optim.Adam(net.parameters(), lr=1e-2) for net in (value, actor, critic)}
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adams[actor], updates)

        def step(net: nn.Module, loss: Tensor, adams: dict[nn.Module, torch.optim.Adam]) -> None:
            adams[net].zero_grad()
            loss.backward()
            adams[net].step()

        for batch, noise in of_seed(seen, slot):
            s, a = batch.observations, batch.actions
            pairs = torch.cat([s, a], 1)
            if more:
                moved = torch.clip(a + torch.clip(0.3 * noise["value_noise"], -0.5, 0.5), -1, 1)
                uniform = -1 + 2 * noise["uniform"]
                pairs = torch.cat([torch.cat([s, s]), torch.cat([moved, uniform])], 1)
            with torch.no_grad():
                q = torch.minimum(*(member(pairs)[:, 0] for member in target))
            z = (q - value[0](pairs[:, :OBS_DIM])[:, 0]) / 0.5
            clipped += int((z > 0.2).sum())
            z = torch.where(z > 0.2, torch.tensor(0.2), z)
            scale = math.exp(max(z.max().item(), -1))
            step(value, ((z.exp() - z - 1) / scale).mean(), adams)

            with torch.no_grad():
                pair = torch.cat([s, a], 1)
                q = torch.minimum(*(member(pair)[:, 0] for member in target))
                weight = torch.exp(2 * (q - value[0](s)[:, 0])).clip(max=100)
                next_v = value[0](batch.next_observations)[:, 0]
                backup = batch.rewards + 0.9 * batch.masks * next_v
            step(actor, -(weight * actor(s).log_prob(a)).mean(), adams)
            cosine.step()
            error = torch.stack([member(pair)[:, 0] - backup for member in critic]).abs()
            far += int((error > 20).sum())
            huber = torch.where(error <= 20, error**2 / 2, 20 * error - 200)
            step(critic, huber.mean(1).sum(), adams)
            polyak(target, critic, 0.05)
        assert_same_weights(learned(engine, "value", slot), value)
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)
        assert_same_weights(Gaussian(engine, slot), actor)
    assert clipped
    assert far


def test_beyond_the_bound_a_value_is_not_drawn_up() -> None:
    """(Q − V) / β = 4 and 2, bounded by 3: the first has no slope; −(e^2 − 1) / (β e^3)."""
    value = torch.zeros(1, 2, requires_grad=True)
    algorithm = make_algorithm("xql", beta=0.5, max_exponent=3.0)
    algorithm.value_errors(torch.tensor([[2.0, 1.0]]), value).sum().backward()
    expected = -(math.exp(2) - 1) / (0.5 * math.exp(3))
    torch.testing.assert_close(value.grad, torch.tensor([[0.0, expected]]))


def test_the_actor_loss_by_hand_with_its_weights_bounded() -> None:
    """Q̄ = min(V + 0.5, V + 9) weighs exp(2 · 0.5); V + 10 weighs 50 and no more."""
    batch = random_batch(1, 2)
    mean, log_std = batch.actions - 0.3, torch.full((1, 2, 2), math.log(0.5))
    nets = closed_form(
        {
            "actor": lambda _: (mean, log_std),
            "value": lambda _: torch.ones(1, 2),
            "critic": lambda *_: torch.zeros(1, 2, 2),
        },
        target={"critic": lambda *_: 1 + torch.tensor([[[0.5, 10.0], [9.0, 11.0]]])},
    )
    algorithm = make_algorithm("xql", temperature=2.0, max_weight=50.0)
    _, metrics = algorithm.actor_loss(nets, batch, {})
    assert float(metrics["actor/weight"]) == pytest.approx((math.exp(1) + 50) / 2)
    log_prob = 2 * (-0.5 * (0.3 / 0.5) ** 2 - math.log(0.5) - 0.5 * math.log(2 * math.pi))
    expected = -(math.exp(1) + 50) / 2 * log_prob
    assert float(metrics["actor/loss"]) == pytest.approx(expected, rel=1e-5)


def test_dropout_is_the_actors_and_in_its_loss_alone() -> None:
    algorithm, batch = make_algorithm("xql", dropout=0.5), random_batch(2, 16)
    params = random_params(algorithm.networks, 2)
    nets = Networks(algorithm.networks, params, params, params)
    one, other = (
        algorithm.actor_loss(nets, batch, {"dropout": torch.tensor([key, key])})[0]
        for key in (1, 2)
    )
    assert (one != other).all()
    action = algorithm.act(nets, batch.observations, {"gaussian": torch.zeros(2, 16, ACTION_DIM)})
    assert torch.equal(action, nets.actor(batch.observations)[0])


def test_networks_start_orthogonal_as_jaxrls(transitions: Transitions) -> None:
    """With gain √2 in every layer, the last too, and biases 0."""
    engine = make_engine("xql", transitions)
    for network in (*learned(engine, "critic", 0), *learned(engine, "value", 0)):
        *_, hidden, last = (layer for layer in network if isinstance(layer, nn.Linear))
        torch.testing.assert_close(hidden.weight @ hidden.weight.T, 2 * torch.eye(16))
        assert float(last.weight.detach().norm()) == pytest.approx(math.sqrt(2), rel=1e-5)
        assert not hidden.bias.any()
        assert not last.bias.any()


@pytest.mark.parametrize("beta", [0.2, 5.0])
def test_v_learns_the_soft_maximum_of_what_the_data_s_actions_pay(beta: float) -> None:
    """Half pay 0 and half 1: β log ((1 + e^(1/β)) / 2)."""
    engine = make_engine(
        "xql",
        two_modes(),
        offline_steps=250,
        learning_rate=1e-2,
        tau=0.05,
        beta=beta,
        batch_size=64,
    )
    engine.train(250)
    soft = beta * math.log((1 + math.exp(1 / beta)) / 2)
    assert engine.metrics()["value/mean"] == pytest.approx(soft, abs=0.05)


@pytest.mark.parametrize(("temperature", "share"), [(10.0, 1.0), (0.01, 0.0)])
def test_leaves_the_mode_that_pays_less_where_advantages_weigh(
    temperature: float, share: float
) -> None:
    """Where they do not, it clones both, and its mean lies between them."""
    engine = make_engine(
        "xql",
        two_modes(),
        offline_steps=250,
        learning_rate=1e-2,
        tau=0.05,
        temperature=temperature,
    )
    engine.train(250)
    assert (share_near(GOOD, engine, 0.3) == share).all()


def test_the_preflight_has_no_remarks() -> None:
    for config in (XQLConfig(), XQLConfig(uniform_actions=True, value_noise=0.1, dropout=0.1)):
        assert check(XQL, config, OBS_DIM, ACTION_DIM) == []
