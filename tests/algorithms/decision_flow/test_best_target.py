"""The best of N behaviour samples as targets of flow matching, beside the value's gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms.transitions import Transitions
from tests.algorithms.flow_reference import QuadraticQ, leaves, reached_by_gradients
from tests.algorithms.reference import make_algorithm, members, random_batch, random_noise
from tests.algorithms.small import make_engine

SEEDS, BATCH, STATES, T, N, WEIGHT = 2, 6, 4, 3, 3, 2.5


def test_what_it_adds_to_df_divs_loss_is_matching_the_best_of_n_by_a_loop() -> None:
    """Candidates start at N other states' noise, the matching at the state's own."""
    settings = {"flow_steps": T, "rollout_states": STATES}
    plain = make_algorithm("df-div", **settings)
    algorithm = make_algorithm("df-div-best-target", candidates=N, best_weight=WEIGHT, **settings)
    assert algorithm.noise == plain.noise  # so that they share pretraining
    batch, noise = random_batch(SEEDS, BATCH), random_noise(plain.noise, SEEDS, BATCH)
    gradients, losses = [], []
    for method in (plain, algorithm):
        trained, targets, nets = leaves(method, SEEDS)
        loss, metrics = method.improvement_loss(nets, batch, noise)
        loss.sum().backward()
        assert reached_by_gradients(trained) == {"policy", "flow_critic"}
        gradients.append(trained["policy"]["weight_0"].grad)
        losses.append(loss.detach())
    ours, theirs = gradients
    assert ours is not None
    assert theirs is not None

    for seed in range(SEEDS):
        modules = {
            name: members(algorithm.networks[name], {k: v[seed].detach() for k, v in ps.items()})
            for name, ps in trained.items()
        }
        (behavior,) = members(
            algorithm.networks["behavior"], {k: v[seed] for k, v in targets["behavior"].items()}
        )
        (policy,), errors = modules["policy"], []
        for i in range(STATES):
            state, candidates = batch.observations[seed, i], []
            for j in range(1, N + 1):
                x = noise["x0"][seed, (i + j) % BATCH]
                for k in range(T):
                    x = x + behavior(torch.cat([state, x, torch.tensor([k / T])])).detach() / T
                action = x.clamp(-1, 1)
                pair = torch.cat([state, action])
                candidates.append((min(q(pair).item() for q in modules["critic"]), action))
            best = max(candidates, key=lambda candidate: candidate[0])[1]
            x0, t = noise["x0"][seed, i], noise["time"][seed, i]
            velocity = policy(torch.cat([state, (1 - t) * x0 + t * best, t]))
            errors.append((velocity - (best - x0)).square().sum())
        matching = torch.stack(errors).mean()
        (WEIGHT * matching).backward()
        torch.testing.assert_close(metrics["policy/matching_loss"][seed], matching)
        torch.testing.assert_close(losses[1][seed] - losses[0][seed], WEIGHT * matching.detach())
        torch.testing.assert_close(
            (theirs - ours)[seed, 0].T, policy[0].weight.grad, rtol=1e-3, atol=1e-5
        )


def two_modes(count: int = 512) -> Transitions:
    """Single steps: actions around (0.6, 0.6) or around (−0.6, −0.6), whatever the state is."""
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((count, 3))
    side = rng.choice([-1.0, 1.0], (count, 1))
    actions = 0.6 * side + 0.1 * rng.standard_normal((count, 2))
    return Transitions.pack(
        observations=observations,
        actions=actions.clip(-1, 1),
        rewards=np.zeros(count),
        next_observations=observations,
        terminals=np.ones(count, bool),
        timeouts=np.zeros(count, bool),
    )


@pytest.mark.parametrize("weight", [0.0, 30.0])
def test_it_leaves_a_mode_that_the_gradient_alone_cannot(weight: float) -> None:
    """ρ = 10 holds df-div (weight 0) to its mode; the best of four is mostly in the other."""
    data = two_modes()
    engine = make_engine(
        "df-div-best-target",
        data,
        offline_steps=600,
        known_q=QuadraticQ((0.6, 0.6)),
        candidates=4,
        best_weight=weight,
        rho=10.0,
        discount=0.0,
        hidden_dims=(32, 32),
        batch_size=64,
        rollout_states=32,
        flow_steps=4,
        pretrain_share=2 / 3,
        pretrain_learning_rate=1e-2,
        policy_learning_rate=5e-3,
        behavior_ema=0.02,
        policy_ema=0.05,
    )
    engine.train(600)
    actions = engine.policy("test")(np.stack([data.observations[:256]] * 2))
    worse = (np.abs(actions + 0.6).max(-1) < 0.3).mean(-1)
    assert (worse < 0.05).all() if weight else (worse > 0.25).all()
