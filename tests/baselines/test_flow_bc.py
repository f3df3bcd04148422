"""Flow behaviour cloning against plain PyTorch."""

from __future__ import annotations

import copy

import torch

from algorithms.transitions import Transitions
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    polyak,
    random_batch,
    random_noise,
    record,
)
from tests.algorithms.small import make_engine


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    engine = make_engine("flow-bc", transitions, ema=0.1)
    flows = [learned(engine, "flow", slot)[0] for slot in (0, 1)]
    seen = record(engine)
    engine.train(8)
    for slot, flow in enumerate(flows):
        average = copy.deepcopy(flow)
        adam = torch.optim.Adam(flow.parameters(), lr=1e-3)
        for batch, noise in of_seed(seen, slot):
            t, x0, a = noise["time"], noise["x0"], batch.actions
            velocity = flow(torch.cat([batch.observations, (1 - t) * x0 + t * a, t], 1))
            adam.zero_grad()
            torch.nn.functional.mse_loss(velocity, a - x0).backward()
            adam.step()
            polyak(average, flow, 0.1)
        assert_same_weights(learned(engine, "flow", slot)[0], flow)
        assert_same_weights(learned(engine, "flow", slot, "targets")[0], average)


def test_acts_by_integrating_the_average_from_noise_to_action() -> None:
    """u(s, x, t) = x + t in two Euler steps: x_1 = 1.5 x_0, x_2 = 1.5 x_1 + 0.25."""
    nets = closed_form(
        {"flow": lambda _s, x, _t: torch.full_like(x, 1e6)},
        target={"flow": lambda _s, x, t: x + t},
    )
    algorithm = make_algorithm("flow-bc", flow_steps=2)
    noise = random_noise(algorithm.act_noise, 1, 3)
    actions = algorithm.act(nets, random_batch(1, 3).observations, noise)
    torch.testing.assert_close(actions, 1.5**2 * noise["x0"] + 0.25)
