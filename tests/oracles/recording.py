"""What the recorders share: a fixed batch, weights and noise, and the file that keeps an update.

Needs NumPy and torch alone, as it also runs beside the libraries that are recorded.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

FOLDER = Path(__file__).parent
OBS_DIM, ACTION_DIM, BATCH = 3, 2, 16
HIDDEN = (12, 8)
SETTINGS = {"hidden_dims": HIDDEN, "discount": 0.9}  # of every method
LEARNING_RATE, TAU = 1e-2, 0.05
_LARGE, _COMPARED = 512, 4  # elements of a matrix of which few columns are kept, and how many

Arrays = dict[str, np.ndarray]
Parts = Mapping[str, Sequence[nn.Module]]
"""The library's modules, one an ensemble member, by what our checkpoints call the network."""
Layers = Callable[[nn.Module, Callable[[Tensor], Tensor]], Arrays]
"""Names and reads a module's parameters: (module, what to read of each) -> arrays."""
Step = Callable[[int, Mapping[str, Tensor], Mapping[str, Tensor]], Mapping[str, float]]
"""(number of the update, from 1; batch; noise) -> losses by our metrics' names."""


def record(
    library: str,
    method: str,
    parts: Parts,
    optimizers: Iterable[torch.optim.Optimizer],
    step: Step,
    *,
    layers: Layers | None = None,
    seed: int = 0,
    **facts: Any,
) -> None:
    """Take some updates of a library's method in PyTorch and write them down.

    Args:
        library: its name, for the file's name and the table.
        method: id of ours that it is the oracle of.
        parts: the networks.
        optimizers: of the networks, for the means of their gradients.
        step: takes one update.
        layers: makes arrays of a module, if they are not those of a multi-layer perceptron.
        seed: of all that is drawn. Where a gradient is almost zero, Adam makes a step of its
            rounding: another seed, then.
        facts: what else `write` takes.
    """
    rng = np.random.default_rng(seed)
    for modules in parts.values():
        for module in modules:
            _draw_weights(module, rng)
    of_module = layers or perceptron

    def state() -> Arrays:
        arrays = _state(parts, of_module, lambda p: p.data)
        moments = {p: s["exp_avg"] for o in optimizers for p, s in o.state.items()}
        trained = {
            name: modules
            for name, modules in parts.items()
            if name.startswith("params/") and any(p in moments for p in modules[0].parameters())
        }
        means = _state(trained, of_module, lambda p: moments[p])
        return arrays | {k.replace("params", "adam_means", 1): v for k, v in means.items()}

    write(library, method, state, step, rng, **facts)


def write(
    library: str,
    method: str,
    state: Callable[[], Arrays],
    step: Step,
    rng: np.random.Generator,
    *,
    updates: int,
    noise: Mapping[str, int],
    config: Mapping[str, Any],
    compared: str,
    version: str,
    context: int = 0,
    uniform: Mapping[str, int] | None = None,
    silent: Mapping[str, int] | None = None,
    columns: Mapping[str, int] | None = None,
    equal_noise: Mapping[str, str] | None = None,
    without: Mapping[str, slice] | None = None,
    prepare: Callable[[Arrays], None] | None = None,
    oracle: str | None = None,
    constants: Mapping[str, Any] | None = None,
    chosen: Mapping[str, Sequence[float]] | None = None,
    rewards: tuple[float, float] = (0.0, 0.0),
    variant: str = "",
    given: Callable[[Arrays], None] | None = None,
    act: Callable[[], Arrays] | None = None,
    data: Arrays | None = None,
    made: Callable[[], Arrays] | None = None,
) -> None:
    """Take some updates of a library's method and write down what they began from and ended at.

    Args:
        library: its name, for the file's name and the table.
        method: id of ours that it is the oracle of.
        state: weights as they are, and after an update also the means of their gradients, by the
            names of our checkpoints.
        step: takes one update.
        rng: draws batches and noise.
        updates: how many.
        noise: width of each of our method's normal noises.
        config: our method's settings.
        compared: what is, and what is not, in words for the table.
        version: of the library.
        context: length of windows; 0: single transitions.
        uniform: width of noise that is uniform on [0, 1).
        silent: width of noise that is zero.
        columns: what our method's stages compute of the data, of which the step sees some too, and
            how many numbers of each transition; 0: one.
        equal_noise: noise that is another's.
        without: parts, along the last axis, of what it ends at that are not compared: NaN.
        prepare: changes the noise that was drawn, and weights, before the first update.
        oracle: the library's name in the table, if it is not that of the file.
        constants: of ours that are no settings, and here are others, as a width is: by their names.
        chosen: noise of width 1 that is one of these numbers.
        rewards: the lowest and the highest of the data, of methods that ask.
        variant: tells the file from that of the same method with other settings.
        given: changes the batches, and columns, that were drawn.
        act: what the trained policy does: `actions` [E, ...] of episodes, for `observations` or
            after `history/...`, by the noise `noise/...`, as our `Algorithm.act` is given them.
        data: episodes, by the names of our `Transitions.pack`; None: of nothing but zeros.
        made: what the library makes of these data: `<kind>/<name in our checkpoints>`, where the
            kind is for the table.
    """
    batch = _batch(rng, updates, context)
    drawn = _noise(rng, updates, noise, uniform or {}, silent or {})
    drawn |= {name: drawn[other] for name, other in (equal_noise or {}).items()}
    shape = batch["rewards"].shape
    computed: Arrays = {}
    for name, dim in (columns or {}).items():
        numbers = rng.uniform(0.5, 1.5, (*shape, dim) if dim else shape)
        computed[name] = numbers.astype(np.float32)
    for name, numbers in (chosen or {}).items():
        drawn[name] = rng.choice(numbers, (updates, BATCH, 1)).astype(np.float32)
    if prepare:
        prepare(drawn)
    seen = batch | computed
    if given:
        given(seen)
    arrays = _named("before", state())
    found = [step(k + 1, _of_update(seen, k), _of_update(drawn, k)) for k in range(updates)]
    arrays |= _named("after", state()) | _named("acting", act() if act else {})
    for name, part in (without or {}).items():
        arrays[f"after/{name}"][..., part] = np.nan
    for name, values in arrays.items():
        if name.startswith("after/") and values.size > _LARGE:
            values[..., _COMPARED:] = np.nan
    arrays |= _named("data", data or {}) | _named("made", made() if made else {})
    arrays |= _named("batch", batch) | _named("columns", computed) | _named("noise", drawn)
    for name in {name: None for losses in found for name in losses}:
        arrays[f"losses/{name}"] = np.array([losses.get(name, np.nan) for losses in found])
    about = {
        "oracle": oracle or library,
        "version": version,
        "compared": compared,
        "config": config,
        "constants": constants or {},
        "rewards": rewards,
    }
    file = FOLDER / f"{library}_{method}{variant and f'+{variant}'}.npz"
    np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)


def perceptron(module: nn.Module, read: Callable[[Tensor], Tensor]) -> Arrays:
    """Linear layers in order, the layer norm after each, and parameters of the module's own."""
    arrays: Arrays = {}
    linears = 0
    for child in module.modules():
        if isinstance(child, nn.Linear):
            weight, bias = read(child.weight), read(child.bias)
            arrays |= {f"weight_{linears}": array(weight.T), f"bias_{linears}": array(bias[None])}
            linears += 1
        elif isinstance(child, nn.LayerNorm):
            scale, shift = read(child.weight), read(child.bias)
            arrays |= {
                f"scale_{linears - 1}": array(scale[None]),
                f"shift_{linears - 1}": array(shift[None]),
            }
    own = module.named_parameters(recurse=False)
    return arrays | {name: array(read(p)) for name, p in own if linears}


def merge_heads(arrays: Arrays, last: int) -> Arrays:
    """A policy's two last layers, of mean and log σ, as one."""
    for kind in ("weight", "bias"):
        heads = [arrays.pop(f"{kind}_{i}") for i in (last, last + 1)]
        arrays[f"{kind}_{last}"] = np.concatenate(heads, -1)
    return arrays


def shorten(batch: Arrays, lengths: np.ndarray) -> None:
    """Windows of so many steps, [..., BATCH]: past them all but the time is 0, as in ours."""
    batch["valid"][:] = np.arange(batch["valid"].shape[-1]) < lengths[..., None]
    for name, x in batch.items():
        if name != "steps":
            x *= batch["valid"].reshape(*batch["valid"].shape, *[1] * (x.ndim - 3))


def bare_packages(folder: Path, *names: str) -> None:
    """Packages of a checkout, outer ones first, whose own `__init__.py` is not run."""
    for name in names:
        module: Any = ModuleType(name)
        module.__path__ = [str(folder.joinpath(*name.split(".")))]
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


class Given:
    """A replay buffer of one batch."""

    def __init__(self, batch: Mapping[str, Tensor]) -> None:
        self.batch = batch

    def sample(self, _: int) -> list[Tensor]:
        b = self.batch
        rewards, masks = b["rewards"].unsqueeze(-1), b["masks"].unsqueeze(-1)
        return [b["observations"], b["actions"], b["next_observations"], rewards, masks]


@contextlib.contextmanager
def drawing(*given: Tensor) -> Iterator[None]:
    """Whatever PyTorch is asked to draw is the next of these, and all of them are drawn."""
    left = deque(given)

    def draw(*size: Any, **_: Any) -> Tensor:
        shape = tuple(size[0]) if isinstance(size[0], Sequence) else size
        assert tuple(left[0].shape) == tuple(shape), (left[0].shape, shape)
        return left.popleft()

    with (
        mock.patch("torch.rand", draw),
        mock.patch("torch.randn", draw),
        mock.patch("torch.randn_like", lambda x, **_: draw(*x.shape)),
        mock.patch("torch.distributions.normal._standard_normal", draw),
        mock.patch("torch.Tensor.uniform_", lambda x, *_: x.copy_(draw(*x.shape))),
    ):
        yield
    assert not left, f"{len(left)} draws were not asked for"


@contextlib.contextmanager
def squared_errors() -> Iterator[list[float]]:
    """What every call of PyTorch's `mse_loss` returned, as it is called."""
    own, found = F.mse_loss, list[float]()

    def kept(*arguments: Tensor, **settings: Any) -> Tensor:
        loss = own(*arguments, **settings)
        found.append(loss.item())
        return loss

    with mock.patch("torch.nn.functional.mse_loss", kept):
        yield found


def frequencies(count: int) -> Tensor:
    """Of our Fourier features: quantiles of |N(0, 30²)|, which official codes draw once."""
    ranks = [(i + 0.5) / count for i in range(count)]
    return torch.tensor([30 * NormalDist().inv_cdf(0.5 + rank / 2) for rank in ranks])


def array(x: Tensor) -> np.ndarray:
    return x.detach().numpy().copy()


def _named(group: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    return {f"{group}/{name}": array for name, array in arrays.items()}


def _of_update(arrays: Mapping[str, np.ndarray], k: int) -> dict[str, Tensor]:
    return {name: torch.tensor(array[k]) for name, array in arrays.items()}


def _state(
    parts: Parts,
    layers: Layers,
    read: Callable[[Tensor], Tensor],
) -> Arrays:
    """What our checkpoints hold of these networks: `params/critic/weight_0`, [E, ...] each."""
    arrays: Arrays = {}
    for name, modules in parts.items():
        members = [layers(module, read) for module in modules]
        arrays |= {f"{name}/{key}": np.stack([m[key] for m in members]) for key in members[0]}
    return arrays


def _draw_weights(module: nn.Module, rng: np.random.Generator) -> None:
    """None of them at a special value; norms near 1 and 0, and what is no matrix near its start.

    Large matrices, of layers whose width no setting changes, in coarse steps: those compress.
    """
    for parameter in module.parameters():
        noise = torch.from_numpy(rng.standard_normal(parameter.shape).astype(np.float32))
        if parameter.ndim > 1 and parameter.shape[-2] > 1:
            if parameter.numel() > _LARGE:
                noise = (4 * noise).round() / 4
            parameter.data = noise / parameter.shape[-1] ** 0.5
        else:
            parameter.data += 0.1 * noise


def _noise(
    rng: np.random.Generator,
    updates: int,
    normal: Mapping[str, int],
    uniform: Mapping[str, int],
    silent: Mapping[str, int],
) -> Arrays:
    """Of every update, given the widths."""
    kinds = ((normal, rng.standard_normal), (uniform, rng.random), (silent, np.zeros))
    return {
        name: draw((updates, BATCH, width)).astype(np.float32)
        for widths, draw in kinds
        for name, width in widths.items()
    }


def _batch(rng: np.random.Generator, updates: int, context: int) -> Arrays:
    """Of every update; every third transition is terminal, and all of them go on in the data."""
    shape = (updates, BATCH, context) if context else (updates, BATCH)
    rows = np.arange(BATCH).reshape(-1, *[1] * bool(context))
    batch = {
        "observations": rng.standard_normal((*shape, OBS_DIM)),
        "actions": rng.uniform(-0.95, 0.95, (*shape, ACTION_DIM)),
        "rewards": rng.standard_normal(shape),
        "next_observations": rng.standard_normal((*shape, OBS_DIM)),
        "next_actions": rng.uniform(-0.95, 0.95, (*shape, ACTION_DIM)),
        "masks": np.broadcast_to(rows % 3 != 2, shape),
        "returns": rng.standard_normal(shape),
        "has_next": np.ones(shape),
        "valid": np.ones(shape),
    }
    arrays = {name: np.ascontiguousarray(x, np.float32) for name, x in batch.items()}
    time = np.arange(context) if context else 0
    return arrays | {"steps": np.ascontiguousarray(np.broadcast_to(rows + time, shape), np.int64)}
