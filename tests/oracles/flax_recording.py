"""What the recorders of JAX code share: Flax's weights by our names, and draws that are given.

Needs JAX beside what `recording.py` needs.
"""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from torch import Tensor

from tests.oracles import recording
from tests.oracles.recording import Arrays

jax.config.update("jax_disable_most_optimizations", True)  # compiling takes longest

Tree = Mapping[str, Any]
Layers = Callable[[Tree], Arrays]
"""Names the parameters of a network, `[E, ...]` each."""


def record(
    library: str,
    method: str,
    trees: Callable[[], Mapping[str, Tree]],
    step: recording.Step,
    rng: np.random.Generator,
    *,
    layers: Layers,
    **facts: Any,
) -> None:
    """Take some updates of official JAX code and write them down.

    Args:
        library: the repository's name, for the file's name.
        method: id of ours that it is the oracle of.
        trees: the networks' parameters as they are, by what our checkpoints call them
            (`params/critic`), and the means of their gradients (`adam_means/critic`).
        step: takes one update.
        rng: has drawn the weights.
        layers: makes arrays of a network.
        facts: what else `recording.write` takes.
    """
    first = True

    def state() -> Arrays:
        nonlocal first
        arrays = {
            f"{name}/{key}": array
            for name, tree in trees().items()
            if not (first and name.startswith("adam_means/"))
            for key, array in layers(tree).items()
        }
        first = False
        return arrays

    recording.write(library, method, state, step, rng, oracle="official code", **facts)


def drawn(tree: Tree, rng: np.random.Generator) -> Any:
    """Weights of that shape, none of them at a special value; what is no matrix near its start."""

    def draw(path: tuple[Any, ...], leaf: Any) -> Any:
        noise = rng.standard_normal(leaf.shape).astype(np.float32)
        if path[-1].key == "kernel":
            return jnp.asarray(noise / leaf.shape[-2] ** 0.5)
        return leaf + 0.1 * noise

    return jax.tree_util.tree_map_with_path(draw, tree)


def perceptron(tree: Tree) -> Arrays:
    """Dense layers in order, and the layer norm after each; an ensemble's axis is its first."""
    arrays: Arrays = {}
    for name, layer in _layers(tree):
        number = int(re.sub(r"\D", "", name) or 0)
        if "kernel" in layer:
            kernel, bias = np.array(layer["kernel"]), np.array(layer["bias"])
            arrays[f"weight_{number}"] = kernel.reshape(-1, *kernel.shape[-2:])
            arrays[f"bias_{number}"] = bias.reshape(-1, 1, bias.shape[-1])
        else:
            for key, ours in (("scale", "scale"), ("bias", "shift")):
                array = np.array(layer[key])
                arrays[f"{ours}_{number}"] = array.reshape(-1, 1, array.shape[-1])
    return arrays


def _layers(tree: Tree) -> Iterator[tuple[str, Tree]]:
    for name, child in tree.items():
        if "bias" in child:
            yield name, child
        else:
            yield from _layers(child)


@contextlib.contextmanager
def drawing(*given: Any) -> Iterator[None]:
    """Whatever JAX is asked to draw is the next of these, and all of them are drawn.

    To be used in a function that is compiled as a whole, with the draws among its arguments: what
    is compiled within it is not, as it would keep the draws of its first call.
    """
    left = deque(given)

    def draw(_: Any, shape: tuple[int, ...] = (), *__: Any, **___: Any) -> Any:
        assert tuple(left[0].shape) == tuple(shape), (left[0].shape, shape)
        return left.popleft()

    with (
        mock.patch("jax.random.normal", draw),
        mock.patch("jax.random.uniform", draw),
        mock.patch("jax.random.randint", draw),
        jax.disable_jit(),
    ):
        yield
    assert not left, f"{len(left)} draws were not asked for"


def arrays_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: jnp.asarray(x.numpy()) for name, x in tensors.items()}
