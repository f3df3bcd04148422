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

TWO_SETTINGS = {"df-div-transport", "df-div-ensemble", "df-div-best-target"}


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


def test_an_ensembles_lower_bound_stands_wherever_the_smaller_twin_did() -> None:
    """Q = 1, 1, 4 is 2 − 0.5 √2; V = 1 learns it, A and κ are what it is above that."""
    algorithm: Any = make_algorithm("df-div-ensemble", pessimism=0.5, critics=3, flow_steps=T)
    ensemble = torch.tensor([1.0, 1.0, 4.0]).view(1, 3, 1)
    bound = 2 - 0.5 * 2**0.5
    nets = closed_form(
        {
            "critic": lambda s, _a: ensemble.expand(len(s), 3, s.shape[1]),
            "value": lambda s: torch.ones(s.shape[:2]),
            "behavior": lambda _s, x, _t: x,
            "policy": lambda _s, x, _t: x,
            "flow_critic": lambda _s, x, _t: torch.zeros(x.shape[:2]),
        }
    )
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.noise, SEEDS, BATCH)
    everywhere = torch.ones(SEEDS)
    for loss in (algorithm.warm_start_loss, algorithm.pretrain_loss, algorithm.online_loss):
        _, metrics = loss(nets, batch, noise)
        expected = 0.7 * (bound - 1) ** 2 * everywhere
        torch.testing.assert_close(metrics["value/loss"], expected)
    _, metrics = algorithm.improvement_loss(nets, batch, noise)
    torch.testing.assert_close(metrics["critic/advantage_scale"], (bound - 1) * everywhere)
    torch.testing.assert_close(metrics["policy/final_advantage"], everywhere)
    ranks = algorithm.action_value(nets, batch.observations, batch.actions)
    torch.testing.assert_close(ranks, torch.full((SEEDS, BATCH), bound))


def test_every_member_of_an_ensemble_fits_what_each_twin_would() -> None:
    algorithm = make_algorithm("df-div-ensemble", critics=5)
    _, _, nets = leaves(algorithm, SEEDS)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.noise, SEEDS, BATCH)
    _, metrics = algorithm.pretrain_loss(nets, batch, noise)
    q = nets.critic(batch.observations, batch.actions)
    assert q.shape == (SEEDS, 5, BATCH)
    backup = batch.rewards + 0.99 * batch.masks * nets.value(batch.next_observations)
    expected = sum((q[:, i] - backup).square().mean(-1) for i in range(5))
    torch.testing.assert_close(metrics["critic/loss"], expected)


def test_half_of_the_roll_outs_start_anywhere_on_the_datas_path_and_go_on_from_there() -> None:
    """T = 4 and a velocity of −1: x_k stands until step k, then falls by 1/4 a step."""
    algorithm: Any = make_algorithm("df-div-noised", flow_steps=4)
    batch, noise = random_batch(SEEDS, 8), random_noise(algorithm.noise, SEEDS, 8)
    noise["time"][..., 0] = torch.tensor([0.0, 0.26, 0.5, 0.99, 0.99, 0.99, 0.99, 0.99])
    rolled = algorithm.training_roll_out(lambda _s, x, _t: -torch.ones_like(x), batch, noise)
    for i, k in enumerate([0, 1, 2, 3, 0, 0, 0, 0]):
        start = (1 - k / 4) * noise["x0"][:, i] + k / 4 * batch.actions[:, i]
        for step in range(5):
            torch.testing.assert_close(rolled.points[step][:, i], start - max(step - k, 0) / 4)


@pytest.mark.parametrize("flow_steps", [1, 3, 7, 10, 50])
def test_the_steps_that_roll_outs_start_at_are_uniform(flow_steps: int) -> None:
    """Every k as often as any other, and each decision from k on counts, none before."""
    algorithm: Any = make_algorithm("df-div-noised", flow_steps=flow_steps)
    each, states = 4, 8 * flow_steps
    time = (torch.arange(states).float() + 0.5) / (states // 2) % 1
    noise = {"x0": torch.zeros(1, states, DIM), "time": time.view(1, -1, 1)}
    steps = algorithm.start_steps(noise, states)[0].long()
    assert torch.bincount(steps[: states // 2]).tolist() == [each] * flow_steps
    assert not steps[states // 2 :].any()
    batch = random_batch(1, states)
    rolled = algorithm.training_roll_out(lambda _s, x, _t: torch.ones_like(x), batch, noise)
    moves = (rolled.points[1:] != rolled.points[:-1]).any(-1)[:, 0]  # [T, B]
    expected = torch.arange(flow_steps).unsqueeze(-1) >= steps
    assert torch.equal(moves, expected)
    values = torch.arange(flow_steps * states).float()
    mean = algorithm.decision_mean(values.unsqueeze(0), noise)
    torch.testing.assert_close(mean, values[expected.flatten()].mean().view(1))


def test_roll_outs_that_all_start_from_noise_are_those_of_the_variant() -> None:
    batch, losses = random_batch(SEEDS, BATCH), []
    for algorithm_id in ("df-div", "df-div-noised"):
        algorithm = make_algorithm(algorithm_id, flow_steps=T)
        _, _, nets = leaves(algorithm, SEEDS)
        noise = random_noise(algorithm.noise, SEEDS, BATCH)
        losses.append(algorithm.improvement_loss(nets, batch, {**noise, "time": noise["time"] * 0}))
    torch.testing.assert_close(*losses)


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
    [
        ("df-div-path", {"path"}),
        ("df-div-transport", {"path", "transport_weight"}),
        ("df-div-ensemble", {"critics", "pessimism"}),
    ],
)
def test_what_alters_pretraining_decides_with_whom_it_is_shared(
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
    own = 2 if algorithm_id in TWO_SETTINGS else 1
    assert len(fields) <= len(variant) + own
    for name in variant:
        assert fields[name].default == variant[name].default, name
