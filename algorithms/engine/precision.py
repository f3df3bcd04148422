"""Which matrix-product kernels to use: the fastest of the precision that a run asks for."""

from __future__ import annotations

import functools
import warnings
from contextlib import AbstractContextManager, nullcontext

import torch

from algorithms.fields import Precision

_FP32_LIKE_ERROR = 5e-6


def use_products(precision: Precision, device: torch.device) -> None:
    """Set torch's precision of fp32 matrix products for this process.

    `mixed` permits products to round their inputs (to bfloat16 on CPUs that have such units, to
    TF32 on GPUs); parameters, sums and optimiser state stay fp32. `fp32` is exact to fp32, and so
    are, with `bf16`, the products outside losses, such as those of acting.
    """
    if precision == "mixed":
        setting = "medium"
    elif device.type == "cpu":
        setting = fastest_exact_setting()
    else:  # on a GPU any other permits TF32, which the compiler would have everyone use
        setting = "highest"
        warnings.filterwarnings("ignore", "TensorFloat32 tensor cores", UserWarning)
    torch.set_float32_matmul_precision(setting)


def loss_products(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """In which losses are taken: with `bf16` their products round to bfloat16, both ways.

    That is torch's automatic mixed precision. A layer's bias is added in fp32, and so are what
    follows and the loss; between products without one, as in attention, numbers stay bfloat16.
    Parameters, their gradients and optimiser state are fp32.
    """
    if precision != "bf16":
        return nullcontext()
    # Torch asks of code that a CUDA graph captures that casts are not cached.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


@functools.cache
def fastest_exact_setting() -> str:
    """Torch's fastest setting whose products have an fp32-like error on this CPU.

    `medium` reaches oneDNN, on some CPUs twice as fast as the default, but it permits bfloat16
    inside and CPUs with AMX use it. So: keep `medium` only where its error is fp32-like. The test
    looks at the error alone, never at the clock, so that every process decides alike.
    """
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    error = ((a @ b).double() - exact).abs().max() / exact.abs().max()
    torch.set_float32_matmul_precision(before)
    return "medium" if float(error) <= _FP32_LIKE_ERROR else "highest"
