"""Decision Flow's ablations by themselves: directions, divergences, prices, scales, couplings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from algorithms import registry
from algorithms.base import Algorithm
from algorithms.blocks.coupling import transport_noise
from algorithms.blocks.critics import DataValues, data_values, iql_critic_loss
from algorithms.blocks.flow import flow_matching_loss
from algorithms.decision_flow.ablations import critic_noise
from algorithms.decision_flow.flow_mdp import Decisions, gradient_metrics
from tests.algorithms.flow_reference import leaves, start_noise
from tests.algorithms.reference import closed_form, make_algorithm, random_batch, random_noise

SEEDS, BATCH, T, DIM = 2, 4, 3, 2
ABLATION_IDS = [
    name for name, entry in registry.algorithms().items() if entry.family == registry.ABLATIONS
]


def _draw(*shape: int, stream: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(stream))


def _ascent(algorithm_id: str, gradient: Tensor, velocity: Tensor) -> Tensor:
    algorithm: Any = make_algorithm(algorithm_id)
    ascent: Tensor = algorithm.ascent(gradient, velocity)
    return ascent


def test_a_unit_direction_has_norm_one_along_the_gradient() -> None:
    gradient, velocity = 1e-3 * _draw(SEEDS, 50, DIM), _draw(SEEDS, 50, DIM, stream=1)
    direction = _ascent("df-dir-unit", gradient, velocity)
    torch.testing.assert_close(direction.norm(dim=-1), torch.ones(SEEDS, 50), rtol=1e-3, atol=0)
    cosine = torch.cosine_similarity(direction, gradient, dim=-1)
    torch.testing.assert_close(cosine, torch.ones(SEEDS, 50), rtol=1e-4, atol=0)
    assert not _ascent("df-dir-unit", 0 * gradient, velocity).any()


def test_the_angle_is_what_differentiating_through_the_unit_velocity_alone_leaves() -> None:
    """∇_u T V(x + h û), h = |u|/T held: orthogonal to û, and zero where û follows the gradient."""
    gradient, velocity = _draw(1, 50, DIM), _draw(1, 50, DIM, stream=1)
    gradient[0, 0] = 2.5 * velocity[0, 0]
    ascent = _ascent("df-dir-angle", gradient, velocity)
    u = velocity.clone().requires_grad_()
    step = u.norm(dim=-1, keepdim=True).detach() / T
    reached = step * u / u.norm(dim=-1, keepdim=True)
    (expected,) = torch.autograd.grad(T * (gradient * reached).sum(), u)
    torch.testing.assert_close(ascent, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close((ascent * velocity).sum(-1), torch.zeros(1, 50), rtol=0, atol=1e-5)
    assert ascent[0, 0].norm() < 1e-5 < ascent[0, 1:].norm(dim=-1).min()


def test_the_logged_gradients_equal_loops_over_flow_steps_and_states() -> None:
    gradient, velocity = _draw(SEEDS, T * BATCH, DIM), _draw(SEEDS, T * BATCH, DIM, stream=1)
    metrics = gradient_metrics(gradient, velocity, T)
    for s in range(SEEDS):
        steps = [gradient[s, BATCH * k : BATCH * (k + 1)] for k in range(T)]
        norm = torch.stack([g.norm() for step in steps for g in step]).mean()
        last = torch.stack([g.norm() for g in steps[-1]]).mean()
        variance = torch.stack([step.var(0, unbiased=False).sum() for step in steps]).mean()
        pairs = zip(gradient[s], velocity[s], strict=True)
        cosine = torch.stack([g @ u / (g.norm() * u.norm()) for g, u in pairs]).mean()
        torch.testing.assert_close(metrics["policy/gradient_norm"][s], norm)
        torch.testing.assert_close(metrics["policy/q_gradient_norm"][s], last)
        torch.testing.assert_close(metrics["policy/gradient_variance"][s], variance)
        torch.testing.assert_close(metrics["policy/direction_cosine"][s], cosine)


def _divergence(algorithm: Algorithm[Any], velocity: Tensor, log_variance: Tensor) -> Tensor:
    """From a behaviour flow that stands still."""
    at = torch.zeros_like(velocity)
    time = at[..., :1]
    nets = closed_form(
        {"spread": lambda *_: log_variance, "behavior": lambda _s, x, _t: torch.zeros_like(x)}
    )
    decisions = Decisions(at, at, at, time, at, time)
    difference = velocity - nets.target.behavior(at, at, time)
    divergence: Tensor = algorithm.divergence(nets, decisions, difference)
    return divergence


def test_kl_is_that_of_two_gaussian_velocities_with_the_shared_spread() -> None:
    velocity, log_variance = _draw(SEEDS, BATCH, DIM), _draw(SEEDS, BATCH, DIM, stream=1)
    algorithm = make_algorithm("df-div-kl")
    deviation = (log_variance / 2).exp()
    policy, behavior = (Independent(Normal(u, deviation), 1) for u in (velocity, 0 * velocity))
    torch.testing.assert_close(
        _divergence(algorithm, velocity, log_variance), kl_divergence(policy, behavior)
    )


@pytest.mark.parametrize(
    ("algorithm_id", "expected"), [("df-dir", 5.0), ("df-div", 5.0), ("df-div-mean", 2.5)]
)
def test_the_squared_distance_is_summed_or_averaged_over_dimensions(
    algorithm_id: str, expected: float
) -> None:
    algorithm = make_algorithm(algorithm_id)
    velocity = torch.tensor([[[1.0, -2.0]]])
    assert _divergence(algorithm, velocity, velocity).tolist() == [[expected]]


def test_the_best_spread_is_the_variance_of_what_the_behaviour_flow_leaves() -> None:
    """For a spread that is one number a dimension: stationary there, worse on either side."""
    algorithm: Any = make_algorithm("df-div-kl")
    batch, noise = random_batch(1, 64), random_noise(algorithm.noise, 1, 64)
    residual = batch.actions - noise["x0"] - 0.3
    variance = residual.square().mean(1, keepdim=True)

    def loss(log_variance: Tensor) -> Tensor:
        nets = closed_form(
            {
                "spread": lambda _s, x, _t: log_variance.expand_as(x),
                "behavior": lambda _s, x, _t: torch.full_like(x, 0.3),
            }
        )
        likelihood: Tensor = algorithm.spread_loss(nets, batch, noise)
        return likelihood

    best = variance.log().requires_grad_()
    (slope,) = torch.autograd.grad(loss(best).sum(), best)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-6)
    assert loss(best) < min(loss(best - 0.1), loss(best + 0.1))


def test_the_price_grows_with_the_critics_disagreement() -> None:
    """Twins 1 and 3, V = 0: sd √2, mean advantage 1, so ρ (1 + 2 √2)."""
    twins = torch.tensor([1.0, 3.0]).view(1, 2, 1)
    nets = closed_form(
        {
            "critic": lambda s, _a: twins.expand(len(s), 2, s.shape[1]),
            "value": lambda s: torch.zeros(s.shape[:2]),
        }
    )
    data = data_values(nets, random_batch(SEEDS, BATCH))
    constant: Any = make_algorithm("df-div")
    grown: Any = make_algorithm("df-div-critic-noise")
    torch.testing.assert_close(constant.price(data, 0.3), torch.full((2, 1), 0.3))
    expected = torch.full((2, 1), 0.3 * (1 + 2 * 2**0.5))
    torch.testing.assert_close(grown.price(data, 0.3), expected)


def test_critic_noise_is_the_twins_deviation_in_units_of_the_advantage() -> None:
    """Twins apart by 1, 0 and 1, 2: sd = gap / √2; mean advantages 0.5 and 4."""
    root = 2**0.5
    expected = torch.tensor([0.5 / root / 0.5, 1.5 / root / 4.0])
    torch.testing.assert_close(critic_noise(_two_seeds()), expected)


def _two_seeds() -> DataValues:
    """|min Q − V| = 0, 1 and 3, 5; |min Q| = 0, 1 and 1, 1."""
    s = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    return DataValues(torch.stack([torch.ones_like(s), s], 1), 2 * s)


@pytest.mark.parametrize(("kind", "expected"), [("q", [0.5, 1.0]), ("none", [1.0, 1.0])])
def test_the_other_scales_are_the_mean_size_of_q_and_one(kind: str, expected: list[float]) -> None:
    algorithm: Any = make_algorithm("df-div-scale", value_scale=kind)
    assert algorithm.value_scale(_two_seeds()).tolist() == expected
    vanishing = DataValues(torch.zeros(1, 2, 2), torch.zeros(1, 2))
    assert float(algorithm.value_scale(vanishing)) > 0


@pytest.mark.parametrize(
    ("algorithm_id", "setting"),
    [
        ("df-div", {}),
        ("df-div-scale", {"value_scale": "q"}),
        ("df-div-scale", {"value_scale": "none"}),
    ],
    ids=str,
)
def test_the_value_scale_divides_the_final_value(
    algorithm_id: str, setting: dict[str, str]
) -> None:
    """Q = 4 + 2 Σa and V = 3, on actions that end at zero."""
    batch, noise = random_batch(SEEDS, BATCH), start_noise(SEEDS, BATCH)
    nets = closed_form(
        {
            "policy": lambda _s, x, t: -x / (1 - t),  # reaches 0 in any number of steps
            "behavior": lambda _s, x, t: -x / (1 - t),
            "flow_critic": lambda _s, x, _t: torch.zeros(x.shape[:2]),
            "critic": lambda _s, a: (4 + 2 * a.sum(-1)).unsqueeze(1).expand(-1, 2, -1),
            "value": lambda s: torch.full(s.shape[:2], 3.0),
        }
    )
    algorithm = make_algorithm(algorithm_id, flow_steps=T, **setting)
    _, metrics = algorithm.improvement_loss(nets, batch, noise)
    q = 4 + 2 * batch.actions.sum(-1)
    sizes = {"advantage": q - 3, "q": q, "none": torch.ones_like(q)}
    size = sizes[setting.get("value_scale", "advantage")].abs().mean(1)
    torch.testing.assert_close(metrics["policy/final_advantage"], (4 - 3) / size)
    torch.testing.assert_close(metrics["critic/advantage_scale"], size)


@pytest.mark.parametrize(
    ("algorithm_id", "names"), [("df-div-joint", ("critic", "value")), ("df-div-kl", ("spread",))]
)
def test_what_trains_beside_the_policy_follows_its_own_loss_alone(
    algorithm_id: str, names: tuple[str, ...]
) -> None:
    """Q and V do as in IQL; the spread does not widen to make divergence cheap."""
    algorithm: Any = make_algorithm(algorithm_id, flow_steps=T, discount=0.9)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.noise, SEEDS, BATCH)
    gradients = []
    for alone in (True, False):
        trained, _, nets = leaves(algorithm, SEEDS)
        if not alone:
            loss, _ = algorithm.improvement_loss(nets, batch, noise)
        elif "spread" in names:
            loss = algorithm.spread_loss(nets, batch, noise)
        else:
            loss, _, _ = iql_critic_loss(nets, batch, discount=0.9, expectile=0.7)
        parameters = [value for name in names for value in trained[name].values()]
        gradients.append(torch.autograd.grad(loss.sum(), parameters))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("path", ["linear", "cosine", "spline"])
def test_the_behaviour_flow_is_matched_along_the_path(path: Any) -> None:
    algorithm: Any = make_algorithm("df-div-path", path=path)
    _, _, nets = leaves(algorithm, SEEDS)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.noise, SEEDS, BATCH)
    x0, time = noise["x0"], noise["time"]
    s, a = batch.observations, batch.actions
    expected = flow_matching_loss(nets.behavior, s, a, x0, time, path)
    torch.testing.assert_close(algorithm.behavior_loss(nets, batch, noise), expected)


@pytest.mark.parametrize("path", ["linear", "cosine"])
@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_the_behaviour_flow_is_matched_along_the_coupling(weight: float, path: Any) -> None:
    algorithm: Any = make_algorithm("df-div-transport", transport_weight=weight, path=path)
    _, _, nets = leaves(algorithm, SEEDS)
    batch, noise = random_batch(SEEDS, 16), random_noise(algorithm.noise, SEEDS, 16)
    s, a, x0 = batch.observations, batch.actions, noise["x0"]
    coupled = transport_noise(s, a, x0, noise["coupling"], weight)
    assert not torch.equal(coupled, x0)
    expected = flow_matching_loss(nets.behavior, s, a, coupled, noise["time"], path)
    torch.testing.assert_close(algorithm.behavior_loss(nets, batch, noise), expected)


@pytest.mark.parametrize(
    ("algorithm_id", "fields"),
    [("df-div-path", {"path"}), ("df-div-transport", {"path", "transport_weight"})],
)
def test_what_alters_the_behaviour_flow_decides_with_whom_pretraining_is_shared(
    algorithm_id: str, fields: set[str]
) -> None:
    decisive = registry.load(algorithm_id).Pretraining
    plain = registry.load("df-div").Pretraining
    assert decisive is not None
    assert plain is not None
    assert decisive.model_fields.keys() >= plain.model_fields.keys() | fields


@pytest.mark.parametrize("algorithm_id", ABLATION_IDS)
def test_an_ablation_has_the_settings_of_its_variant_and_at_most_its_own(
    algorithm_id: str,
) -> None:
    fields = registry.load(algorithm_id).Config.model_fields
    variant = registry.load(algorithm_id[:6]).Config.model_fields
    assert fields.keys() >= variant.keys()
    assert len(fields) <= len(variant) + (2 if algorithm_id == "df-div-transport" else 1)
    for name in variant:
        assert fields[name].default == variant[name].default, name
