"""The critic of the improved policy: its losses, and whose value it is in the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.blocks.critics import expectile_loss
from algorithms.transitions import Transitions
from tests.algorithms.flow_reference import leaves
from tests.algorithms.reference import learned, make_algorithm, members, random_batch, random_noise
from tests.algorithms.small import make_engine

SEEDS, BATCH, T, RHO, ONLINE_RHO, DISCOUNT = 2, 5, 3, 0.7, 0.2, 0.9


@pytest.mark.parametrize(
    ("loss_name", "rho"), [("improvement_loss", RHO), ("online_loss", ONLINE_RHO)]
)
def test_q_backs_up_the_policys_own_actions_less_their_price(loss_name: str, rho: float) -> None:
    """A loop over next states: r + γ [min Q̄(s', a') − κ ρ mean_k |u_θ − u_v|²], by the averages."""
    algorithm: Any = make_algorithm(
        "df-div-actor-critic", flow_steps=T, rho=RHO, online_rho=ONLINE_RHO, discount=DISCOUNT
    )
    trained, targets, nets = leaves(algorithm, SEEDS)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.noise, SEEDS, BATCH)
    loss, metrics = getattr(algorithm, loss_name)(nets, batch, noise)
    loss.sum().backward()

    for seed in range(SEEDS):
        modules, averages = (
            {
                n: members(algorithm.networks[n], {k: v[seed].detach() for k, v in ps.items()})
                for n, ps in group.items()
            }
            for group in (trained, targets)
        )
        (policy,), (behavior,) = averages["policy"], averages["behavior"]
        (value,) = modules["value"]
        s, a = batch.observations[seed], batch.actions[seed]
        pairs = torch.cat([s, a], -1)
        qs = torch.cat([q(pairs) for q in modules["critic"]], -1)
        advantages = qs.amin(-1) - value(s)[:, 0]
        kappa = advantages.abs().mean().item()
        backups = []
        for i in range(BATCH):
            state, x = batch.next_observations[seed, i], noise["x0"][seed, i]
            price = 0.0
            for k in range(T):
                at = torch.cat([state, x, torch.tensor([k / T])])
                price += kappa * rho / T * (policy(at) - behavior(at)).square().sum().item()
                x = (x + policy(at) / T).detach()
            end = torch.cat([state, x.clamp(-1, 1)])
            q = min(twin(end).item() for twin in averages["critic"])
            reward, mask = batch.rewards[seed, i], batch.masks[seed, i]
            backups.append(reward + DISCOUNT * mask * (q - price))
        critic_loss = (qs - torch.stack(backups)[:, None]).square().mean(0).sum()
        target_q = torch.cat([q(pairs) for q in averages["critic"]], -1).amin(-1)
        value_loss = expectile_loss(target_q.detach() - value(s)[:, 0], 0.7).mean()
        (critic_loss + value_loss).backward()
        torch.testing.assert_close(metrics["critic/loss"][seed], critic_loss)
        torch.testing.assert_close(metrics["critic/advantage_scale"][seed].item(), kappa)
        for name in ("critic", "value"):
            for member, module in enumerate(modules[name]):
                gradient = trained[name]["weight_0"].grad
                assert gradient is not None
                torch.testing.assert_close(
                    gradient[seed, member].T, module[0].weight.grad, rtol=1e-3, atol=1e-6
                )


def two_steps(episodes: int = 256) -> Transitions:
    """From state (1, 0, 0) to (0, 1, 0), where a reward of the first action's size is to be had."""
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (2 * episodes, 2))
    second = np.arange(2 * episodes) % 2 == 1
    observations = np.stack([~second, second, 0 * second], -1).astype(float)
    return Transitions.pack(
        observations=observations,
        actions=actions,
        rewards=np.where(second, actions[:, 0], 0.0),
        next_observations=np.roll(observations, -1, 0),
        terminals=second,
        timeouts=np.zeros_like(second),
    )


def test_q_of_the_first_step_becomes_what_the_improved_policy_gets_in_the_second() -> None:
    """Less the price of its flow there; until it improves, that is what IQL makes of the data."""
    engine = make_engine(
        "df-div-actor-critic",
        two_steps(),
        (0,),
        offline_steps=320,
        pretrain_share=0.5,
        flow_steps=3,
        rho=0.3,
        discount=DISCOUNT,
        normalize_observations=False,
        batch_size=64,
        hidden_dims=(32, 32),
        pretrain_learning_rate=5e-3,
        policy_learning_rate=5e-3,
        behavior_ema=0.05,
        policy_ema=0.05,
        tau=0.05,
    )
    engine.train(160)
    assert first_step(engine) < 0.4
    engine.train(160)
    reward, divergence = second_step(engine)
    price = 0.3 * engine.metrics()["critic/advantage_scale"][0] * divergence
    assert reward > 0.8
    assert price > 0.07  # so that leaving it out would be seen
    assert first_step(engine) == pytest.approx(DISCOUNT * (reward - price), abs=0.06)


def first_step(engine: Any) -> float:
    """The smaller twin's mean over actions in the first state."""
    actions = torch.linspace(-1, 1, 64).unsqueeze(-1).expand(-1, 2)
    pairs = torch.cat([torch.tensor([1.0, 0.0, 0.0]).expand(64, -1), actions], -1)
    twins: Tensor = torch.cat([q(pairs) for q in learned(engine, "critic", 0)], -1)
    return twins.amin(-1).mean().item()


def second_step(engine: Any) -> tuple[float, float]:
    """Reward of the averaged policy's actions in the second state, and mean_k D_k on the way."""
    (policy,), (behavior,) = (
        learned(engine, name, 0, "targets") for name in ("policy", "behavior")
    )
    state = torch.tensor([0.0, 1.0, 0.0]).expand(256, -1)
    x, divergence = torch.randn(256, 2, generator=torch.Generator().manual_seed(0)), 0.0
    with torch.no_grad():
        for k in range(3):
            at = torch.cat([state, x, torch.full((256, 1), k / 3)], -1)
            divergence += (policy(at) - behavior(at)).square().sum(-1).mean().item() / 3
            x = x + policy(at) / 3
    return x[:, 0].clamp(-1, 1).mean().item(), divergence
