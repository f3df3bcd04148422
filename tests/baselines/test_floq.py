"""floq against the equations of arXiv:2509.06863 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from algorithms.registry import load, resolve_config
from algorithms.transitions import Facts, Transitions
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    members,
    of_seed,
    params_of,
    polyak,
    q_values,
    random_batch,
    random_noise,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.bandit import GOOD, POOR, share_near, two_modes
from tests.baselines.flow_actor_critic import flow_errors, integrate

GAMMA, SAMPLES, STEPS, BINS = 0.9, 3, 4, 7


def _critics(engine: Any, slot: int, group: str = "params") -> nn.ModuleList:
    mlp = engine.algorithm.networks["flow_critic"].mlp
    return nn.ModuleList(members(mlp, params_of(engine, "flow_critic", slot, group)))


class _Returns:
    """The range of returns of some rewards, and what it says of z."""

    def __init__(self, rewards: np.ndarray[Any, Any], coverage: float) -> None:
        low, high = float(rewards.min()), float(rewards.max())
        self.edges = torch.linspace((low - 0.01) / 0.1, (high + 0.01) / 0.1, BINS + 1)
        self.sigma = 2.0 * float(self.edges[1] - self.edges[0])
        self.first, self.last = coverage * low / 0.1, coverage * high / 0.1

    def start(self, share: Tensor) -> Tensor:
        return (1 - share) * self.first + share * self.last

    def velocity(self, critic: nn.Module, sa: Tensor, z: Tensor, t: Tensor) -> Tensor:
        cumulative = Normal(z, self.sigma).cdf(self.edges)
        shares = cumulative.diff(dim=1) / (cumulative[:, -1:] - cumulative[:, :1])
        velocity: Tensor = critic(torch.cat([sa, shares, t.cos()], 1))
        return velocity

    def end(self, critics: nn.ModuleList, sa: Tensor, start: Tensor) -> Tensor:
        """Where z ends, of both critics. -> [2, N, 1]."""
        ends = []
        for critic in critics:
            z = start
            for k in range(STEPS):
                z = z + self.velocity(critic, sa, z, torch.full_like(z, k / STEPS)) / STEPS
            ends.append(z)
        return torch.stack(ends)


@pytest.mark.parametrize(
    ("aggregation", "normalize"), [("mean", False), ("min", True)], ids=["default", "other"]
)
def test_training_equals_plain_pytorch(
    aggregation: str, normalize: bool, transitions: Transitions
) -> None:
    engine = make_engine(
        "floq",
        transitions,
        alpha=3.0,
        learning_rate=3e-3,
        tau=0.05,
        discount=GAMMA,
        flow_steps=4,
        q_aggregation=aggregation,
        normalize_q_loss=normalize,
        critic_flow_steps=STEPS,
        noise_samples=SAMPLES,
        noise_coverage=0.3,
        bins=BINS,
        sigma=2.0,
    )
    returns = _Returns(transitions.rewards, 0.3)
    starts = [
        [learned(engine, name, slot) for name in ("actor", "flow", "critic")] for slot in (0, 1)
    ]
    flow_critics = [_critics(engine, slot) for slot in (0, 1)]
    seen = record(engine)
    engine.train(5)
    for slot in (0, 1):
        ((actor,), (flow,), critic), flow_critic = starts[slot], flow_critics[slot]
        target = copy.deepcopy(flow_critic)
        networks = [actor, flow, critic, flow_critic]
        adam = torch.optim.Adam([p for net in networks for p in net.parameters()], lr=3e-3)
        for batch, noise in of_seed(seen, slot):
            s, a = batch.observations, batch.actions
            sa = torch.cat([s, a], 1).repeat_interleave(SAMPLES, 0)
            start = returns.start(noise["start"].reshape(-1, 1))
            with torch.no_grad():
                following = batch.next_observations.repeat_interleave(SAMPLES, 0)
                next_z = noise["next_z"].reshape(-1, ACTION_DIM)
                next_a = actor(torch.cat([following, next_z], 1)).clip(-1, 1)
                next_start = returns.start(noise["next_start"].reshape(-1, 1))
                ends = returns.end(target, torch.cat([following, next_a], 1), next_start)
                next_q = ends.min(0).values if aggregation == "min" else ends.mean(0)
                next_q = next_q.reshape(-1, SAMPLES).mean(1)
                backup = batch.rewards + GAMMA * batch.masks * next_q
                value = returns.end(flow_critic, sa, start).reshape(2, -1, SAMPLES).mean((0, 2))
                goal = integrate(flow, s, noise["z"], 4)
                frozen = copy.deepcopy(critic)
            y = backup.repeat_interleave(SAMPLES).unsqueeze(1)
            t = noise["critic_time"].reshape(-1, 1)
            z_t = (1 - t) * start + t * y
            flow_critic_loss = (
                torch.stack(
                    [(returns.velocity(net, sa, z_t, t) - (y - start)) ** 2 for net in flow_critic]
                )
                .reshape(2, -1, SAMPLES)
                .sum(2)
                .mean()
            )
            distilled = ((q_values(critic, s, a) - value) ** 2).mean()
            pi = actor(torch.cat([s, noise["z"]], 1))
            q = q_values(frozen, s, pi.clip(-1, 1)).mean(0)
            q_loss = -q.mean() / (q.abs().mean().detach() if normalize else 1)
            policy_loss = flow_errors(flow, batch, noise).mean() + q_loss
            policy_loss = policy_loss + 3.0 * ((pi - goal) ** 2).mean()
            adam.zero_grad()
            (flow_critic_loss + distilled + policy_loss).backward()
            adam.step()
            polyak(target, flow_critic, 0.05)
        for name, net in zip(("actor", "flow", "critic"), starts[slot], strict=True):
            assert_same_weights(learned(engine, name, slot), net)
        assert_same_weights(_critics(engine, slot), flow_critic)
        assert_same_weights(_critics(engine, slot, "targets"), target)


def test_z_and_its_bins_have_the_range_of_the_values_of_rewards_without_end() -> None:
    """Rewards from −3 to 5, γ = 0.5: values from −6 to 10, of which z starts in a quarter."""
    config = resolve_config("floq", {"discount": 0.5, "noise_coverage": 0.25, "noise_samples": 3})
    facts = Facts(lowest_reward=-3.0, highest_reward=5.0)
    algorithm: Any = load("floq")(config, OBS_DIM, ACTION_DIM, None, facts)
    start = algorithm.starts(torch.tensor([[[0.0, 0.5, 1.0]]]))
    assert start.flatten(1).tolist() == [[-1.5, 0.5, 2.5] * 2]
    network = algorithm.networks["flow_critic"]
    assert (network.low, network.high) == pytest.approx((-6.02, 10.02))


@pytest.mark.parametrize(("aggregation", "next_q"), [("mean", 4.0), ("min", 3.0)])
def test_the_backup_is_the_mean_over_starts_and_actions_of_the_twins_as_asked(
    aggregation: str, next_q: float
) -> None:
    """z moves by the clipped action times 2 or 4; of two actions one is 1 and the other is 1/2.

    One transition goes on, one is terminal; r = 1, γ = 0.5, and z starts at 0.25 and 0.75.
    """
    algorithm: Any = make_algorithm(
        "floq", discount=0.5, noise_coverage=0.5, noise_samples=2, q_aggregation=aggregation
    )
    nets = closed_form(
        {"actor": lambda _s, z: z, "flow_critic": None},  # type: ignore[dict-item]
        target={
            "flow_critic": lambda _s, a, z, _t: (
                torch.stack([a[..., :1] * f for f in (10 / 3, 6)], 1) + 0 * z
            )
        },
    )
    batch = random_batch(1, 2)._replace(rewards=torch.ones(1, 2), masks=torch.tensor([[1.0, 0.0]]))
    noise = random_noise(algorithm.noise, 1, 2)
    noise["next_z"] = torch.tensor([7.0, 7.0, 0.5, 0.5]).expand(1, 2, 4)
    noise["next_start"] = torch.tensor([0.25, 0.75]).expand(1, 2, 2)
    found = algorithm.backup(nets, batch, noise)[0].tolist()
    assert found == pytest.approx([1 + 0.5 * next_q, 1.0])


def test_the_critics_loss_by_hand() -> None:
    """v = 1 and 3 end 1 and 3 past the starts 0 and 1; the target is 5; Q says 2 of both twins.

    Flow: (5 − 1)² + (4 − 1)² and (5 − 3)² + (4 − 3)², of which the mean is 15. Distilled: the value
    is 0.5 + 2.
    """
    algorithm: Any = make_algorithm("floq", discount=0.0, noise_coverage=1.0, noise_samples=2)

    def velocity(_s: Tensor, _a: Tensor, z: Tensor, _t: Tensor) -> Tensor:
        return 0 * z + torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)

    nets = closed_form(
        {
            "flow_critic": velocity,
            "actor": lambda _s, z: z,
            "critic": lambda s, _a: torch.full((1, 2, s.shape[1]), 2.0),
        }
    )
    batch = random_batch(1, 1)._replace(rewards=torch.full((1, 1), 5.0))
    noise = random_noise(algorithm.noise, 1, 1)
    noise["start"] = torch.tensor([[[0.0, 1.0]]])
    loss, metrics = algorithm.critic_loss(nets, batch, noise)
    assert float(metrics["flow_critic/loss"]) == pytest.approx(15.0)
    assert float(metrics["flow_critic/mean"]) == pytest.approx(2.5)
    assert float(metrics["critic/loss"]) == pytest.approx(0.25)
    assert float(loss) == pytest.approx(15.25)


def test_a_discount_of_one_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="discount"):
        resolve_config("floq", {"discount": 1.0})


def test_its_critic_tells_the_modes_apart_and_its_policy_finds_the_better_one() -> None:
    engine = make_engine(
        "floq",
        two_modes(),
        offline_steps=120,
        hidden_dims=(32, 32),
        batch_size=64,
        learning_rate=1e-2,
        discount=0.0,
        alpha=0.3,
        bins=50,
    )
    engine.train(120)
    half_way = 0.5 * float(np.linalg.norm(GOOD - POOR))
    assert (share_near(GOOD, engine, half_way) > 0.9).all()
    for slot in (0, 1):
        pairs = torch.tensor(np.hstack([np.zeros((2, 1)), [POOR, GOOD]]), dtype=torch.float32)
        for member in learned(engine, "critic", slot):
            assert member(pairs).flatten().tolist() == pytest.approx([0.0, 1.0], abs=0.1)
