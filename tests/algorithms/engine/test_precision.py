from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from algorithms.engine import precision
from algorithms.engine.precision import fastest_exact_setting, use_products

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
