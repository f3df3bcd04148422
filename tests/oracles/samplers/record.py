"""Records samplers: `python -m tests.oracles.samplers.record DPM_SOLVER`.

In a venv of its own (requirements.txt) and with a checkout of LuChengTHU/dpm-solver at the commit
below; nothing of it is part of this repository.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, EDMEulerScheduler
from torch import Tensor
from torchcfm.conditional_flow_matching import (
    ConditionalFlowMatcher,
    ExactOptimalTransportConditionalFlowMatcher,
    VariancePreservingConditionalFlowMatcher,
)
from torchcfm.optimal_transport import OTPlanSampler
from torchdiffeq import odeint

from tests.oracles.recording import drawing
from tests.oracles.samplers.given import FOLDER, field

COMMIT = "52bc3fb"  # of dpm-solver
BATCH, DIM, LENGTH = 6, 2, 3

Found = dict[str, Tensor]
Predict = Callable[[Tensor, int], Tensor]


def write(
    library: str, subject: str, block: str, compared: str, given: Found, found: Found, **about: str
) -> None:
    """A record: what both are given, and what the library made of it."""
    arrays = {f"given/{name}": x.numpy() for name, x in given.items()}
    arrays |= {f"found/{name}": x.numpy() for name, x in found.items()}
    told = {"library": library, "version": about.get("commit") or version(library)}
    told |= {"block": f"algorithms/blocks/{block}.py", "compared": compared}
    file = FOLDER / f"{library}_{subject}.npz"
    np.savez_compressed(file, about=np.array(json.dumps(told)), **arrays)


def betas(steps: int) -> Any:
    """The variance that each step of a diffusion policy adds (arXiv:2208.06193, Section 3)."""
    k = np.arange(1, steps + 1)
    return 1 - np.exp(-0.1 / steps - 0.5 * (10 - 0.1) * (2 * k - 1) / steps**2)


def walk(
    scheduler: DDPMScheduler, noise: Tensor, predict: Predict, *, clamped: bool = False
) -> Tensor:
    """x_K to x_0, for what they start from and what each step but the last one adds."""
    x, *added = noise
    points = [x]
    for step in reversed(range(len(noise))):
        with drawing(*added[len(points) - 1 :][:1]):
            x = scheduler.step(predict(x, step + 1), step, x).prev_sample
        x = x.clamp(-1, 1) if clamped else x
        points.append(x)
    return torch.stack(points)


def actions() -> None:
    given: Found = {"actions": torch.rand(BATCH, DIM) * 2 - 1}
    found: Found = {}
    for steps in (1, 2, 5, 20):
        noise = given[f"noise_{steps}"] = torch.randn(steps, BATCH, DIM)
        for name, variance, clip in (
            ("posterior", "fixed_small", True),
            ("added", "fixed_large", True),
            ("point", "fixed_large", False),
        ):
            scheduler = DDPMScheduler(
                steps, trained_betas=betas(steps), variance_type=variance, clip_sample=clip
            )
            predict = lambda x, k, steps=steps: field(x, k / steps)  # noqa: E731
            found[f"{name}_{steps}"] = walk(scheduler, noise, predict, clamped=not clip)
        found[f"noisy_{steps}"] = torch.stack(
            [
                scheduler.add_noise(given["actions"], noise[k], torch.full((BATCH,), k))
                for k in range(steps)
            ]
        )
    write(
        "diffusers",
        "actions",
        "diffusion",
        "whole walks of 1 to 20 steps with each of both variances, predicted actions clipped or "
        "x_{k−1} itself (which the library leaves to its user); and noisy actions",
        given,
        found,
    )


def steps_back() -> None:
    steps = 5
    x, noise = torch.randn(2, steps, BATCH, DIM)
    scheduler = DDPMScheduler(steps, trained_betas=betas(steps), variance_type="fixed_large")
    before = []
    for k in range(steps):
        with drawing(*noise[k : k + (k > 0)]):
            before.append(scheduler.step(field(x[k], (k + 1) / steps), k, x[k]).prev_sample)
    write(
        "diffusers",
        "steps",
        "denoising",
        "a step back from each k, of the variance that k adds",
        {"x": x, "noise": noise},
        {"before": torch.stack(before)},
    )


def plans() -> None:
    given: Found = {"plans": torch.randn(BATCH, LENGTH, DIM)}
    found: Found = {}
    for steps in (1, 20, 200):
        noise = given[f"noise_{steps}"] = torch.randn(steps, BATCH, LENGTH, DIM)
        for name, clip in (("sample", False), ("epsilon", True)):
            scheduler = DDPMScheduler(
                steps,
                beta_schedule="squaredcos_cap_v2",
                variance_type="fixed_small",
                clip_sample=clip,
                prediction_type=name,
            )
            predict = lambda x, k, steps=steps: field(x, k / steps)  # noqa: E731
            found[f"{name}_{steps}"] = walk(scheduler, noise, predict)[:: -(-steps // 20)]
        found[f"signals_{steps}"] = scheduler.alphas_cumprod
        found[f"noisy_{steps}"] = scheduler.add_noise(
            given["plans"], noise[0], torch.full((BATCH,), steps // 2)
        )
    write(
        "diffusers",
        "plans",
        "plan_diffusion",
        "the cosine schedule and whole walks of 1 to 200 steps, of predicted plans and of "
        "predicted noise with plans clipped; and noisy plans (the library works out "
        "its coefficients in single precision)",
        given,
        found,
    )


def preconditioning() -> None:
    scheduler = EDMEulerScheduler(sigma_data=0.5)
    sigmas = torch.tensor([0.01, 0.05, 0.2, 0.5, 1.0, 2.0])
    x, data = torch.randn(BATCH, DIM), torch.rand(BATCH, DIM) * 2 - 1
    losses = []
    for sigma, noise, action in zip(sigmas, x, data, strict=True):
        noisy = action + sigma * noise
        model = field(
            scheduler.precondition_inputs(noisy, sigma), scheduler.precondition_noise(sigma)
        )
        denoised = scheduler.precondition_outputs(noisy, model, sigma).clamp(-1, 1)
        one, nothing = torch.ones(()), torch.zeros(())
        scale = scheduler.precondition_outputs(nothing, one, sigma)  # c_out
        losses.append(((denoised - action) / scale).square().mean())
    write(
        "diffusers",
        "edm",
        "edm",
        "the loss of its preconditioning at six levels of noise, denoised actions clipped and "
        "weighed by 1 / c_out²",
        {"sigmas": sigmas, "noise": x, "actions": data},
        {"losses": torch.stack(losses)},
    )


def ode(checkout: str) -> None:
    """Of an even number of evaluations the last two are of the first order, as in QGPO's code."""
    sys.path.insert(0, checkout)
    library = importlib.import_module("dpm_solver_pytorch")
    torch.set_default_dtype(torch.float64)
    schedule = library.NoiseScheduleVP("linear", continuous_beta_0=0.1, continuous_beta_1=20.0)
    x = torch.randn(BATCH, DIM)
    found: Found = {}
    for name, correct in (("free", None), ("bounded", lambda x0, _: x0.clamp(-1, 1))):
        solver = library.DPM_Solver(
            lambda x, t: field(x, t[:, None]), schedule, correcting_x0_fn=correct
        )
        solve = partial(solver.sample, skip_type="time_uniform", method="singlestep")
        for steps in (1, 2, 3, 8, 15):
            last = 1 if steps % 2 else 2
            middle = 1 - (1 - 1e-3) * (steps - last) / steps
            start = solve(x, steps - last, 1.0, middle, order=2) if steps > last else x
            found[f"{name}_{steps}"] = solve(start, last, middle, 1e-3, order=1)
    torch.set_default_dtype(torch.float32)
    write(
        "dpm-solver",
        "ode",
        "vp_sde",
        "DPM-Solver++ of second-order single steps, in double precision, with 1 to 15 evaluations "
        "and predicted actions free or clipped; where they are even, its last two are of the "
        "first order, as in QGPO's code",
        {"x": x},
        found,
        commit=COMMIT,
    )


def paths() -> None:
    x0, data, time = torch.randn(BATCH, DIM), torch.randn(BATCH, DIM), torch.rand(BATCH)
    found: Found = {}
    for name, matcher in (
        ("linear", ConditionalFlowMatcher(sigma=0.0)),
        ("cosine", VariancePreservingConditionalFlowMatcher(sigma=0.0)),
    ):
        _, points, rates = matcher.sample_location_and_conditional_flow(x0, data, t=time)
        found |= {f"{name}_points": points, f"{name}_rates": rates}
    write(
        "torchcfm",
        "paths",
        "flow",
        "points and velocities of the linear and the cosine path",
        {"x0": x0, "actions": data, "time": time},
        found,
    )


def coupling() -> None:
    """Exact where the data leave no doubt; else Sinkhorn's plan of the same entropy and iterations.

    Of data and noise in this order, as the library ends an iteration with what it begins with.
    """
    far = 4 * torch.tensor([[i % 3, i // 3] for i in range(BATCH)]) + 0.1 * torch.randn(BATCH, DIM)
    near = far.roll(2, 0) + 0.1 * torch.randn(BATCH, DIM)
    x0, data, states = torch.randn(3, BATCH, DIM)
    exact = ExactOptimalTransportConditionalFlowMatcher(sigma=0.0)
    np.random.seed(0)  # what the library draws from
    time, points, rates = exact.sample_location_and_conditional_flow(far, near)
    found: Found = {"exact": torch.tensor(exact.ot_sampler.get_map(far, near))}
    found |= {"points": points, "rates": rates}
    for weight in (0, 1):
        noisy, clean = (torch.cat([x, weight * states], 1).double() for x in (x0, data))
        entropy = 0.05 * torch.cdist(noisy, clean).square().mean()
        sampler = OTPlanSampler(method="sinkhorn", reg=float(entropy))
        sampler.ot_fn = partial(sampler.ot_fn, numItermax=20, warn=False)
        found[f"plan_{weight}"] = torch.tensor(sampler.get_map(clean, noisy).T)
    write(
        "torchcfm",
        "coupling",
        "coupling",
        "pairs of the exact plan with their points and velocities, where clusters leave one plan "
        "alone; and the shares in 4000 draws of Sinkhorn's plan after 20 iterations, with states "
        "and without",
        {"far": far, "near": near, "time": time, "x0": x0, "actions": data, "states": states},
        found,
    )


def flows() -> None:
    x, times = torch.randn(BATCH, DIM), torch.rand(BATCH) * 0.9
    velocity = lambda t, x: field(x, t)  # noqa: E731
    found: Found = {}
    for steps in (1, 4, 10):
        for solver in ("euler", "midpoint"):
            grid = torch.linspace(0, 1, steps + 1)
            found[f"{solver}_{steps}"] = odeint(velocity, x, grid, method=solver)
        rest = partial(odeint, method="euler", options={"step_size": 1 / steps})
        found[f"completed_{steps}"] = torch.stack(
            [
                rest(velocity, row, torch.tensor([time, 1.0]))[-1]
                for row, time in zip(x, times.tolist(), strict=True)
            ]
        )
    write(
        "torchdiffeq",
        "flows",
        "flow",
        "every point of Euler's and of the midpoint method's steps, and Euler's from each point's "
        "own time on",
        {"x": x, "times": times},
        found,
    )


def main(records: Iterable[Callable[[], None]]) -> None:
    torch.set_num_threads(1)
    for record in records:
        torch.manual_seed(0)
        record()


if __name__ == "__main__":
    main((actions, steps_back, plans, preconditioning, paths, coupling, flows))
    main((partial(ode, sys.argv[1]),))
