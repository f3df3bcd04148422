"""Ours, given the same as a recorded sampler, and how far apart they end up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.blocks import edm, flow, vp_sde
from algorithms.blocks.coupling import transport_noise
from algorithms.blocks.denoising import step_deviation, step_mean
from algorithms.blocks.diffusion import add_noise, walk_back
from algorithms.blocks.plan_diffusion import CosineSchedule
from tests.oracles.samplers.given import FOLDER, field

Tensors = Mapping[str, Tensor]

RECORDS = sorted(path.stem for path in FOLDER.glob("*.npz"))


@dataclass(frozen=True)
class Record:
    """What a library made of what both are given, as `record.write` wrote it."""

    about: Mapping[str, Any]
    given: Tensors
    found: Tensors


def load(name: str) -> Record:
    """The record of that name: `<library>_<subject>`."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        arrays = dict(file)
    about = json.loads(str(arrays.pop("about")))
    given, found = (
        {k.removeprefix(group): torch.from_numpy(v) for k, v in arrays.items() if group in k}
        for group in ("given/", "found/")
    )
    return Record(about, given, found)


def difference(name: str) -> float:
    """The largest absolute one between ours and the record's. NaN if ours is."""
    record = load(name)
    ours = _OURS[name](record.given)
    if ours.keys() != record.found.keys():
        raise ValueError(f"{name}: recorded is {sorted(record.found)}, ours {sorted(ours)}")
    worst = [(ours[key] - value).abs().max() for key, value in record.found.items()]
    return float(torch.stack(worst).max())


def _of_policy(steps: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return lambda _, x, k: field(x, k / steps)


def _actions(given: Tensors) -> Tensors:
    found = {}
    actions = given["actions"].unsqueeze(0)
    for steps in (1, 2, 5, 20):
        noise = given[f"noise_{steps}"]
        chain = torch.cat(list(noise), -1).unsqueeze(0)
        for name, variance, clip in (
            ("posterior", "posterior", "action"),
            ("added", "added", "action"),
            ("point", "added", "point"),
        ):
            end, decisions = walk_back(
                _of_policy(steps),
                actions,
                chain,
                steps,
                variance=variance,  # type: ignore[arg-type]
                clip=clip,  # type: ignore[arg-type]
            )
            points = [*(decision.x for decision in decisions), end]
            found[f"{name}_{steps}"] = torch.cat(points)
        moments = (torch.arange(steps) + 0.5).view(-1, 1, 1) / steps
        every = torch.ones_like(noise[..., :1])
        found[f"noisy_{steps}"], _ = add_noise(actions * every, noise, moments * every, steps)
    return found


def _steps(given: Tensors) -> Tensors:
    x, noise = given["x"], given["noise"]
    steps = len(x)
    k = torch.arange(1.0, steps + 1).view(-1, 1, 1)
    mean = step_mean(field(x, k / steps), x, k, steps)
    return {"before": mean + step_deviation(k, steps) * noise}


def _plans(given: Tensors) -> Tensors:
    found = {}
    for steps in (1, 20, 200):
        schedule = CosineSchedule(steps)
        noise = given[f"noise_{steps}"].unsqueeze(1)
        for name in ("sample", "epsilon"):
            x = noise[0]
            points = [x]
            for k in range(steps, 0, -1):
                plan = field(x, k / steps)
                if name == "epsilon":
                    plan = schedule.predicted(x, plan, k).clamp(-1, 1)
                fresh = noise[steps + 1 - k] if k > 1 else torch.zeros_like(x)
                x = schedule.previous(x, plan, fresh, k)
                points.append(x)
            found[f"{name}_{steps}"] = torch.cat(points)[:: -(-steps // 20)]
        found[f"signals_{steps}"] = torch.tensor(schedule.signals[1:])
        step = torch.full((1, noise.shape[2], 1), 1.0 + steps // 2)
        found[f"noisy_{steps}"] = schedule.add_noise(given["plans"][None], noise[0], step)[0]
    return found


def _edm(given: Tensors) -> Tensors:
    """Each level of noise as a seed, picked by its share of the distribution."""
    actions, noise = (given[name].unsqueeze(1) for name in ("actions", "noise"))
    shares = given["sigmas"].double().square() / (given["sigmas"].double().square() + 0.25)
    first, last = (s**2 / (s**2 + 0.25) for s in (0.002, 80.0))
    uniform = ((shares - first) / (last - first)).view(-1, 1, 1)
    model = lambda _, x, time: field(x, time)  # noqa: E731
    return {"losses": edm.denoising_loss(model, actions, actions, noise, uniform)}


def _ode(given: Tensors) -> Tensors:
    x = given["x"].unsqueeze(0)
    epsilon = lambda _, x, time: field(x, time)  # noqa: E731
    return {
        f"{name}_{steps}": vp_sde.sample(epsilon, x, x, steps, bounded=name == "bounded")[0]
        for name in ("free", "bounded")
        for steps in (1, 2, 3, 8, 15)
    }


def _paths(given: Tensors) -> Tensors:
    x0, actions, time = (given[name].unsqueeze(0) for name in ("x0", "actions", "time"))
    found = {}
    paths: tuple[flow.PathName, ...] = ("linear", "cosine")
    for path in paths:
        points, rates = flow.path_point(path, x0, actions, time.unsqueeze(-1))
        found |= {f"{path}_points": points[0], f"{path}_rates": rates[0]}
    return found


_DRAWS = 4000


def _shares(x0: Tensor, actions: Tensor, states: Tensor, weight: float) -> Tensor:
    """How often each noise is drawn for each action, of all. [B, d] each -> [B, B]."""
    copies = [x.expand(_DRAWS, -1, -1) for x in (states, actions, x0)]
    evenly = ((torch.arange(_DRAWS) + 0.5) / _DRAWS).view(-1, 1, 1).expand(-1, len(x0), 1)
    drawn = transport_noise(*copies, evenly, weight)
    taken = (drawn.unsqueeze(1) == x0[None, :, None]).all(-1)  # [draws, noise, action]
    return taken.double().mean(0) / len(x0)


def _coupling(given: Tensors) -> Tensors:
    """Of the library's pairs, the time is given and the action is known by where both lead."""
    x0, actions, states, far, near = (
        given[name] for name in ("x0", "actions", "states", "far", "near")
    )
    found = {f"plan_{w}": _shares(x0, actions, states, w) for w in (0, 1)}
    found["exact"] = _shares(far, near, states, 0.0)
    recorded, time = load("torchcfm_coupling").found, given["time"].unsqueeze(-1)
    ends = recorded["points"] + (1 - time) * recorded["rates"]
    row = torch.cdist(ends, near).argmin(1)
    half = torch.full((1, len(far), 1), 0.5)
    coupled = transport_noise(states[None], near[None], far[None], half, 0.0)[0]
    found["points"], found["rates"] = flow.path_point("linear", coupled[row], near[row], time)
    return found


def _flows(given: Tensors) -> Tensors:
    x, times = given["x"].unsqueeze(0), given["times"].view(1, -1, 1)
    velocity = lambda _, x, t: field(x, t)  # noqa: E731
    solvers: tuple[flow.Solver, ...] = ("euler", "midpoint")
    found = {}
    for steps in (1, 4, 10):
        for solver in solvers:
            rolled = flow.roll_out(velocity, x, x, steps, solver)
            found[f"{solver}_{steps}"] = rolled.points[:, 0]
        found[f"completed_{steps}"] = flow.complete(velocity, x, x, times, steps)[0]
    return found


_OURS: Mapping[str, Callable[[Tensors], Tensors]] = {
    "diffusers_actions": _actions,
    "diffusers_edm": _edm,
    "diffusers_plans": _plans,
    "diffusers_steps": _steps,
    "dpm-solver_ode": _ode,
    "torchcfm_coupling": _coupling,
    "torchcfm_paths": _paths,
    "torchdiffeq_flows": _flows,
}
