from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from algorithms.engine import precision
from algorithms.engine.precision import fastest_exact_setting, loss_products, use_products
from algorithms.networks import linear
from algorithms.transitions import Transitions
from tests.algorithms.small import every_algorithm, make_engine, states_equal

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Decide anew here, and leave the process as it was found."""
    before = torch.get_float32_matmul_precision()
    fastest_exact_setting.cache_clear()
    yield
    fastest_exact_setting.cache_clear()
    torch.set_float32_matmul_precision(before)


def test_fp32_products_are_single_precision_whatever_this_cpu_offers() -> None:
    use_products("mixed", CPU)
    use_products("fp32", CPU)
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(300, 200, generator=generator) for _ in range(2))
    exact = a.double() @ b.double().T
    error = ((a @ b.T).double() - exact).abs().max() / exact.abs().max()
    assert float(error) < 1e-6


def test_a_cpu_that_rounds_to_bfloat16_gets_the_exact_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such CPUs exist (AMX); here one is imitated where the setting permits it."""
    matmul = torch.Tensor.__matmul__

    def amx(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if a.dtype == torch.float32 and torch.get_float32_matmul_precision() == "medium":
            return matmul(a.bfloat16(), b.bfloat16()).float()
        return matmul(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", amx)
    a = torch.full((1, 1), 1 + 2**-20)
    use_products("fp32", CPU)
    assert float((a @ torch.ones(1, 1)).squeeze()) == 1 + 2**-20
    use_products("mixed", CPU)
    assert float((a @ torch.ones(1, 1)).squeeze()) == 1


def test_an_exact_cpu_gets_the_fast_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    matmul = torch.Tensor.__matmul__
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda a, b: matmul(a.double(), b.double()).to(a.dtype)
    )
    assert fastest_exact_setting() == "medium"


def test_finding_out_changes_nothing() -> None:
    torch.set_float32_matmul_precision("high")
    fastest_exact_setting()
    assert torch.get_float32_matmul_precision() == "high"


def test_a_gpu_is_exact_whatever_the_cpu_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "fastest_exact_setting", lambda: "medium")
    use_products("fp32", torch.device("cuda"))
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_layer_of_a_bf16_loss_multiplies_rounded_numbers_and_adds_an_exact_bias() -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(2, 64, 64, generator=generator) for _ in range(2))
    bias = torch.full((2, 1, 64), 1 + 2**-20)
    params = {"weight_0": weight[:, None], "bias_0": bias[:, None]}
    with loss_products("bf16", CPU):
        found = linear(params, 0, x)
    product = (x.bfloat16().double() @ weight.bfloat16().double()).float()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found - bias, product, rtol=2**-7, atol=1e-3)
    assert not torch.allclose(found - bias, x @ weight, rtol=1e-4, atol=1e-4)
    with loss_products("mixed", CPU):
        torch.testing.assert_close(linear(params, 0, x) - bias, x @ weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("algorithm_id", every_algorithm())
def test_every_method_learns_nearly_the_same_from_bf16_losses_in_fp32(
    algorithm_id: str, transitions: Transitions
) -> None:
    losses = []
    for chosen in ("fp32", "bf16"):
        trained = make_engine(
            algorithm_id, transitions, offline_steps=12, precision=chosen, hidden_dims=(64, 64)
        )
        trained.train(12)
        losses.append({k: v for k, v in trained.metrics().items() if k.endswith("loss")})
    state = trained.state(0)
    assert {v.dtype for v in state.values() if v.dtype.kind == "f"} == {np.dtype(np.float32)}
    assert losses[0].keys() == losses[1].keys() != set()
    for name, exact in losses[0].items():
        np.testing.assert_allclose(losses[1][name], exact, rtol=0.1, atol=0.02, err_msg=name)
    assert any(not np.array_equal(losses[1][name], exact) for name, exact in losses[0].items())


@pytest.mark.parametrize("algorithm_id", ["iql", "df-div"])
def test_a_seed_has_the_same_bits_beside_any_neighbours_with_bf16_losses(
    algorithm_id: str, transitions: Transitions
) -> None:
    states = {}
    for seeds in ((1,), (0, 1), (1, 0, 2)):
        trained = make_engine(
            algorithm_id, transitions, seeds, precision="bf16", hidden_dims=(64, 64)
        )
        trained.train(24)
        states[seeds] = trained.state(seeds.index(1))
    assert states_equal(states[1,], states[0, 1])
    assert states_equal(states[1,], states[1, 0, 2])
