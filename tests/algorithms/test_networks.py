"""Banks of networks against `torch.nn` modules and `torch.distributions`."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from algorithms.networks import MLP, GaussianActor, gaussian_log_prob, gelu
from tests.algorithms.reference import members, random_params

SEEDS, BATCH = 2, 5


def _inputs(*dims: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(SEEDS, BATCH, dim, generator=generator) for dim in dims]


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(("output_dim", "ensemble"), [(1, 1), (1, 3), (4, 1), (4, 3)])
def test_a_bank_equals_its_members_applied_one_by_one(
    activation: str, layer_norm: bool, output_dim: int, ensemble: int
) -> None:
    network = MLP(5, output_dim, (8, 6), ensemble, activation, layer_norm)  # type: ignore[arg-type]
    params = random_params({"mlp": network}, SEEDS)["mlp"]
    observations, actions = _inputs(3, 2)
    output = network(params, observations, actions)

    expected = torch.stack(
        [
            torch.stack(
                [
                    member(torch.cat([observations[s], actions[s]], -1))
                    for member in members(network, {k: v[s] for k, v in params.items()})
                ]
            )
            for s in range(SEEDS)
        ]
    )  # [S, E, B, output_dim]
    expected = expected.squeeze(-1) if output_dim == 1 else expected
    expected = expected.squeeze(1) if ensemble == 1 else expected
    assert output.shape == expected.shape
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm_first", [False, True])
def test_layer_norm_follows_the_activation_unless_it_is_first(norm_first: bool) -> None:
    """Recomputed layer by layer, so that the order does not rest on a shared helper."""
    network = MLP(3, 2, (7,), activation="relu", layer_norm=True, norm_first=norm_first)
    params = random_params({"mlp": network}, SEEDS)["mlp"]
    (x,) = _inputs(3)
    p = {key: value[1, 0] for key, value in params.items()}
    hidden = x[1] @ p["weight_0"] + p["bias_0"]
    hidden = hidden if norm_first else F.relu(hidden)
    hidden = F.layer_norm(hidden, (7,), p["scale_0"][0], p["shift_0"][0], eps=1e-6)
    hidden = F.relu(hidden) if norm_first else hidden
    expected = hidden @ p["weight_1"] + p["bias_1"]
    torch.testing.assert_close(network(params, x)[1], expected, rtol=1e-4, atol=1e-6)


def test_gelu_is_the_tanh_approximation() -> None:
    x = torch.linspace(-6, 6, 1001, dtype=torch.float64)
    torch.testing.assert_close(gelu(x), F.gelu(x, approximate="tanh"), rtol=0, atol=1e-12)


def test_weights_and_biases_start_uniform_within_one_over_root_fan_in() -> None:
    network = MLP(16, 2, (64, 64), ensemble=4, layer_norm=True)
    params = network.init(torch.Generator().manual_seed(0))
    for i, fan_in in enumerate((16, 64, 64)):
        bound = 1 / math.sqrt(fan_in)
        for name in ("weight", "bias"):
            values = params[f"{name}_{i}"]
            assert values.abs().max() <= bound
            assert values.abs().max() > 0.8 * bound
        weight = params[f"weight_{i}"]
        assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert abs(float(weight.mean())) < 0.1 * bound
    assert not torch.equal(params["weight_0"][0], params["weight_0"][1])  # members differ
    for i in range(2):
        assert torch.equal(params[f"scale_{i}"], torch.ones(4, 1, 64))
        assert torch.equal(params[f"shift_{i}"], torch.zeros(4, 1, 64))


def test_the_same_generator_seed_gives_the_same_weights() -> None:
    network = MLP(3, 2, (4,))
    first, second, other = (
        network.init(torch.Generator().manual_seed(seed))["weight_0"] for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_wrong_input_width_is_named() -> None:
    network = MLP(5, 1, (4,))
    params = random_params({"mlp": network}, SEEDS)["mlp"]
    with pytest.raises(ValueError, match="expected 5 input features, found 3"):
        network(params, *_inputs(3))


def test_gaussian_actor_has_a_bounded_mean_and_one_deviation_for_all_states() -> None:
    actor = GaussianActor(3, 2, (8,))
    params = random_params({"actor": actor}, SEEDS)["actor"]
    params["log_std"] = torch.tensor([[0.3, -9.0], [5.0, -0.2]]).view(SEEDS, 1, 1, 2)
    (x,) = _inputs(3)
    mean, log_std = actor(params, 50 * x)
    assert mean.abs().max() <= 1
    for s in range(SEEDS):
        (module,) = members(MLP(3, 2, (8,)), {k: v[s] for k, v in params.items()})
        torch.testing.assert_close(mean[s], torch.tanh(module(50 * x[s])), rtol=1e-4, atol=1e-5)
    clamped = torch.tensor([[0.3, -5.0], [2.0, -0.2]])
    assert torch.equal(log_std, clamped[:, None].expand(SEEDS, BATCH, 2))


def test_log_prob_equals_torch_distributions() -> None:
    actions, mean, log_std = _inputs(4, 4, 4)
    normal = torch.distributions.Normal(mean, log_std.exp())
    expected = torch.distributions.Independent(normal, 1).log_prob(actions)
    torch.testing.assert_close(gaussian_log_prob(actions, mean, log_std), expected)


@pytest.mark.parametrize("precision", ["highest", "medium"])
@pytest.mark.parametrize(
    ("batch", "inputs", "outputs"),
    [(1, 6, 256), (2, 3, 256), (3, 23, 6), (1, 128, 6), (8, 64, 6), (10, 128, 2), (64, 128, 6)],
)
def test_a_seed_has_the_same_bits_beside_any_neighbours(
    precision: str, batch: int, inputs: int, outputs: int
) -> None:
    """Libraries choose how to multiply by the size of all, and by where in memory a part lies."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    generator = torch.Generator().manual_seed(0)
    net = MLP(inputs, outputs, ())
    banks = [net.init(generator) for _ in range(3)]
    x = torch.randn(3, batch, inputs, generator=generator)

    def gradients(seeds: list[int]) -> list[torch.Tensor]:
        params = {k: torch.stack([banks[s][k] for s in seeds]) for k in banks[0]}
        given = x[seeds].requires_grad_()
        params = {k: v.requires_grad_() for k, v in params.items()}
        out = net(params, given)
        wanted = torch.autograd.grad(out.square().sum(), [given, *params.values()])
        return [out[-1], *(g[-1] for g in wanted)]

    try:
        alone, pair, three = gradients([2]), gradients([1, 2]), gradients([0, 1, 2])
    finally:
        torch.set_float32_matmul_precision(before)
    for a, b, c in zip(alone, pair, three, strict=True):
        assert torch.equal(b, c)
        assert torch.equal(a, c)
