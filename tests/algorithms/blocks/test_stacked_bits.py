"""Networks of published widths: a seed has the same bits stacked with others as alone.

The contract's `slots` says so of whole trainings of every method, with narrow networks; libraries
choose how to multiply by size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from algorithms.base import Adam
from algorithms.blocks.flow_critic import FlowCritic
from algorithms.blocks.noise_networks import LearnedWavesNetwork, ResidualNoiseNetwork, StepMLP
from algorithms.blocks.score_networks import GuidanceNetwork, ScoreUNet
from algorithms.blocks.temporal_unet import TemporalUNet, TemporalValue
from algorithms.blocks.transformer import Transformer
from algorithms.engine.optimizer import adam_step
from algorithms.networks import Params

OBS, ACT, SEEDS = 11, 3, 3
PLAN = (2, 32, OBS + ACT)  # plans of 32 steps


class Case(NamedTuple):
    network: Any
    inputs: tuple[tuple[int, ...], ...]  # their shapes, of one seed
    dropout: bool = False


def of_policy(batch: int, time: int = 1) -> tuple[tuple[int, ...], ...]:
    """State, noisy action, and the step or waves of it."""
    return (batch, OBS), (batch, ACT), (batch, time)


CASES = {
    "diffuser": Case(TemporalUNet(OBS + ACT, (32, 64, 128, 256)), (PLAN, (2, 1))),
    "dd": Case(TemporalUNet(OBS + ACT, (128, 256), 128), (PLAN, (2, 1), (2, 128))),
    "diffuser's value": Case(TemporalValue(OBS + ACT, (32, 64, 128, 256), 32), (PLAN, (2, 1))),
    "dt": Case(Transformer(128, (512, 512), 1, 0.1), ((4, 60, 128),), dropout=True),
    "tt": Case(Transformer(128, (512, 512), 4, 0.1, unseen=16), ((2, 48, 128),), dropout=True),
    "dac": Case(StepMLP(OBS, ACT, ACT, (256, 256, 256)), of_policy(64)),
    "bdpo's values": Case(
        StepMLP(OBS, ACT, 1, (256, 256), 32, (64, 32), ensemble=2, layer_norm=True), of_policy(64)
    ),
    "idql": Case(LearnedWavesNetwork(OBS, ACT, 256, 2, 0.1), of_policy(64), dropout=True),
    "srpo": Case(
        ResidualNoiseNetwork(OBS, ACT, 256, 2, 0.1, 64, 128, "mish"), of_policy(64, 64), True
    ),
    "qgpo": Case(ScoreUNet(OBS, ACT, (512, 256, 128)), of_policy(64)),
    "qgpo's guidance": Case(GuidanceNetwork(OBS, ACT, (256, 256, 256)), of_policy(64)),
    "floq": Case(
        FlowCritic(OBS, ACT, (512, 512), -3.0, 3.0, 50, 16.0),
        ((64, OBS), (64, ACT), (2, 64, 1), (2, 64, 1)),
    ),
}


def updated(
    case: Case, banks: Sequence[Params], inputs: Sequence[Tensor], seeds: list[int]
) -> list[list[Tensor]]:
    """Of each of these seeds: outputs, gradients of inputs, and weights after an update."""
    params = {k: torch.stack([banks[s][k] for s in seeds]).requires_grad_() for k in banks[0]}
    given = [x[seeds].requires_grad_() for x in inputs]
    key = {"key": torch.tensor([7, 8, 9])[seeds]} if case.dropout else {}
    out = case.network(params, *given, **key)
    slopes = torch.autograd.grad(out.square().sum(), [*given, *params.values()])
    gradients = dict(zip(params, slopes[len(given) :], strict=True))
    weights = {k: v.detach() for k, v in params.items()}
    means, squares = ({k: torch.zeros_like(v) for k, v in weights.items()} for _ in range(2))
    rates = torch.tensor([1e-2, 1000.0, 0.0])
    adam_step(Adam(1e-3, max_grad_norm=1.0), weights, gradients, means, squares, rates)
    found = [out.detach(), *slopes[: len(given)], *weights.values(), *squares.values()]
    return [[x[slot] for x in found] for slot in range(len(seeds))]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_update_of_a_stacked_seed_has_the_bits_of_one_alone(case: Case) -> None:
    generator = torch.Generator().manual_seed(0)
    banks = [case.network.init(generator) for _ in range(SEEDS)]
    inputs = [torch.randn(SEEDS, *shape, generator=generator) for shape in case.inputs]
    stacked = updated(case, banks, inputs, [0, 1, 2])
    for seed in range(SEEDS):
        (alone,) = updated(case, banks, inputs, [seed])
        for one, other in zip(alone, stacked[seed], strict=True):
            assert torch.equal(one, other)
        assert not torch.equal(stacked[seed][0], stacked[seed - 1][0])
