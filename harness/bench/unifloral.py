"""unifloral's IQL in JAX, loaded from a checkout of EmptyJackson/unifloral.

Nothing of unifloral is part of this project, and JAX and what else its script imports are not
installed with it. What learning does not need (environments, logging, command line) is replaced by
stand-ins, and of `distrax` the one density that its policy has.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from algorithms.fields import Precision
from algorithms.transitions import Transitions
from harness.bench.scripts import load_script
from harness.errors import UserError

_ABSENT = ("d4rl", "gym", "tyro", "wandb", "distrax")


def unifloral_updates(
    folder: Path, seeds: int, precision: Precision, transitions: Transitions
) -> Callable[[int], None]:
    """A function that takes `n` training steps of IQL, sampling included, of seeds stacked by vmap.

    Args:
        folder: of the checkout.
        seeds: how many.
        precision: of matrix products; `mixed` leaves it to JAX, which rounds to TF32 on a GPU.
        transitions: what it learns from, as they are, on the device.

    Raises UserError if the folder has no such script, or JAX is not installed.
    """
    path = folder / "algorithms" / "iql.py"
    if not path.exists():
        raise UserError(f"{path} does not exist; give the folder of a checkout of unifloral.")
    jax = _jax(precision)
    script = load_script(path, "unifloral_iql", _ABSENT)
    script.distrax = SimpleNamespace(Normal=_Normal)
    start, step = _iql(jax, script, transitions)

    # The script scans a fixed number of steps and keeps their losses. This loop keeps none, and
    # compiles once for any number.
    def loop(states: Any, updates: Any) -> Any:
        one = jax.vmap(lambda state: step(state, None)[0])
        return jax.lax.fori_loop(0, updates, lambda _, state: one(state), states)

    train = jax.jit(loop)
    states = jax.vmap(start)(jax.random.split(jax.random.PRNGKey(0), seeds))

    def run(updates: int) -> None:
        nonlocal states
        states = jax.block_until_ready(train(states, updates))

    return run


def _jax(precision: Precision) -> Any:
    """JAX, set to a precision. Raises UserError if it is not installed."""
    try:
        import jax
    except ImportError as error:
        raise UserError(f"unifloral needs jax, flax and optax here: {error}.") from error
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # others are on the GPU, too
    if precision == "fp32":
        jax.config.update("jax_default_matmul_precision", "highest")
    return jax


def _iql(
    jax: Any, script: Any, transitions: Transitions
) -> tuple[Callable[[Any], tuple[Any, Any]], Callable[[Any, None], Any]]:
    """How a seed's training begins, from a key, and its next step, by the script's own parts."""
    args = script.Args()
    names = ("observations", "actions", "rewards", "next_observations", "terminals")
    arrays = [jax.numpy.asarray(getattr(transitions, name), "float32") for name in names]
    data = script.Transition(*arrays)
    mean, std = data.obs.mean(axis=0), data.obs.std(axis=0)
    actor = script.TanhGaussianActor(transitions.action_dim, mean, std)
    critic = script.DualQNetwork(mean, std)
    value = script.StateValueFunction(mean, std)
    observation, action = data.obs[0], data.action[0]

    def start(key: Any) -> tuple[Any, Any]:
        key, for_actor, for_critic, for_value = jax.random.split(key, 4)
        made = script.create_train_state
        return key, script.AgentTrainState(
            actor=made(args, for_actor, actor, [observation]),
            dual_q=made(args, for_critic, critic, [observation, action]),
            dual_q_target=made(args, for_critic, critic, [observation, action]),
            value=made(args, for_value, value, [observation]),
        )

    return start, script.make_train_step(args, actor.apply, critic.apply, value.apply, data)


def jax_memory_mb() -> float:
    """The most that JAX took of its device's memory; 0 where it does not say."""
    import jax

    taken = jax.devices()[0].memory_stats() or {}
    return float(taken.get("peak_bytes_in_use", 0)) / 2**20


class _Normal:
    """A normal density with independent components."""

    def __init__(self, mean: Any, std: Any) -> None:
        self._mean, self._std = mean, std

    def log_prob(self, value: Any) -> Any:
        """Of every component."""
        import jax.numpy as jnp

        standardised = (value - self._mean) / self._std
        return -0.5 * standardised**2 - jnp.log(self._std) - 0.5 * math.log(2 * math.pi)
