"""How layers begin, against what the rules promise."""

from __future__ import annotations

import math

import pytest
import torch

from algorithms.initialisation import GLOROT, ORTHOGONAL, PYTORCH, Initialisation
from algorithms.networks import MLP


def _layers(rule: Initialisation, stream: int = 0) -> dict[str, torch.Tensor]:
    network = MLP(20, 10, (50, 30), ensemble=2, initialisation=rule)
    return network.init(torch.Generator().manual_seed(stream))


def test_pytorchs_rule_bounds_weights_and_biases_by_the_inputs() -> None:
    params = _layers(PYTORCH)
    for layer, fan_in in enumerate((20, 50, 30)):
        for name in ("weight", "bias"):
            largest = float(params[f"{name}_{layer}"].abs().max())
            assert 0.8 / math.sqrt(fan_in) < largest <= 1 / math.sqrt(fan_in)


def test_glorots_rule_has_its_variance_and_no_bias() -> None:
    params = _layers(GLOROT)
    for layer, (fan_in, fan_out) in enumerate(((20, 50), (50, 30), (30, 10))):
        variance = float(params[f"weight_{layer}"].var())
        assert variance == pytest.approx(2 / (fan_in + fan_out), rel=0.15)
        assert not params[f"bias_{layer}"].any()


def test_orthogonal_weights_keep_lengths_up_to_the_gain() -> None:
    params = _layers(ORTHOGONAL)
    wide, narrow = params["weight_0"], params["weight_1"]  # [2, 20, 50], [2, 50, 30]
    eye = 2 * torch.eye(20).expand(2, -1, -1)
    torch.testing.assert_close(wide @ wide.mT, eye, atol=1e-5, rtol=0)
    eye = 2 * torch.eye(30).expand(2, -1, -1)
    torch.testing.assert_close(narrow.mT @ narrow, eye, atol=1e-5, rtol=0)
    assert not torch.equal(wide[0], wide[1])


def test_orthogonal_weights_prefer_no_direction() -> None:
    """The sign of a QR factor is arbitrary; uncorrected, first entries would be of one sign."""
    rule = Initialisation("orthogonal", bias=0.0)
    generator = torch.Generator().manual_seed(1)
    weight, _ = rule.layer(400, 3, 3, generator, last=False)
    assert abs(float((weight[:, 0, 0] > 0).float().mean()) - 0.5) < 0.08


def test_the_last_layer_may_be_smaller() -> None:
    small = _layers(Initialisation(bias=0.1, last=3e-3))
    assert (small["bias_0"] == 0.1).all()
    for name in ("weight_2", "bias_2"):
        assert 1e-3 < float(small[name].abs().max()) <= 3e-3
    scaled = _layers(Initialisation("orthogonal", gain=2.0, bias=0.0, last=0.01))["weight_2"]
    torch.testing.assert_close(
        scaled.mT @ scaled, 1e-4 * torch.eye(10).expand(2, -1, -1), atol=1e-8, rtol=1e-4
    )
