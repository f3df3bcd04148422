"""Which matrix-product kernels to use: the fastest that are exact to single precision."""

from __future__ import annotations

import functools

import torch

_FP32_LIKE_ERROR = 5e-6


@functools.cache
def use_exact_fast_products() -> str:
    """Set and return torch's fp32 product precision for this process.

    `medium` reaches oneDNN, on some CPUs twice as fast as the default, but it permits bfloat16
    inside and CPUs with AMX use it. So: keep `medium` only where its error is fp32-like. The test
    looks at the error alone, never at the clock, so that every process decides alike.
    """
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()
    torch.set_float32_matmul_precision("medium")
    error = ((a @ b).double() - exact).abs().max() / exact.abs().max()
    if float(error) > _FP32_LIKE_ERROR:
        torch.set_float32_matmul_precision("highest")
    return torch.get_float32_matmul_precision()
