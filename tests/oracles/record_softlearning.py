"""Records SAC's own code: `python -m tests.oracles.record_softlearning FOLDER`, a checkout of it.

It is rail-berkeley/softlearning at the commit below; nothing of it is part of this repository. Runs
in the venv of TensorFlow.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from torch import Tensor

from tests.oracles import recording
from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    HIDDEN,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
)

COMMIT = "13cf187"
EPSILON = 1e-12  # of TensorFlow's Adam, which adds it before the second moment's correction
# What the module of SAC imports and an update does not use.
UNUSED = ("gym", "softlearning.algorithms.rl_algorithm", "softlearning.algorithms.sql")


class Outer:
    """In place of their loop around the updates."""

    def __init__(self, **_: Any) -> None: ...


@contextlib.contextmanager
def drawing(*given: Tensor) -> Iterator[None]:
    """Whatever TensorFlow Probability draws is the next of these, and all of them are drawn."""
    left = deque(given)

    def draw(shape: Any, **_: Any) -> Any:
        assert np.prod(shape) == left[0].numel(), (shape, left[0].shape)
        return tf.reshape(left.popleft().numpy(), shape)

    with mock.patch("tensorflow_probability.python.internal.samplers.normal", draw):
        yield
    assert not left, f"{len(left)} draws were not asked for"


def layers(variables: Sequence[Any]) -> Arrays:
    """Kernels and biases in order, or a single number."""
    if len(variables) == 1:
        return {"log": variables[0].numpy()}
    kernels, biases = variables[::2], variables[1::2]
    return {f"weight_{i}": kernel.numpy() for i, kernel in enumerate(kernels)} | {
        f"bias_{i}": bias.numpy()[None] for i, bias in enumerate(biases)
    }


def stacked(name: str, members: Sequence[Sequence[Any]], scale: float = 1.0) -> Arrays:
    """What our checkpoints hold of a network, [E, ...] each, times a number."""
    found = [layers(variables) for variables in members]
    return {
        f"{name}/{key}": scale * np.stack([arrays[key] for arrays in found]) for key in found[0]
    }


def draw_weights(variables: Sequence[Any], rng: np.random.Generator) -> None:
    """None of them at a special value; what is no matrix near its start."""
    for variable in variables:
        noise = rng.standard_normal(variable.shape).astype(np.float32)
        if len(variable.shape) > 1:
            variable.assign(noise / variable.shape[0] ** 0.5)
        else:
            variable.assign_add(0.1 * noise)


def create() -> Any:
    """Their SAC, with its policy and twins."""
    module = importlib.import_module("softlearning.algorithms.sac")
    policies = importlib.import_module("softlearning.policies.gaussian_policy")
    values = importlib.import_module("softlearning.value_functions.vanilla")
    policy = policies.FeedforwardGaussianPolicy(
        hidden_layer_sizes=HIDDEN,
        action_range=np.array([[-1], [1]]),
        input_shapes=tf.TensorShape((OBS_DIM,)),
        output_shape=(ACTION_DIM,),
    )
    # Their bijectors in one chain, as TensorFlow Probability had merged them by itself: since then
    # it does not pass the arguments of bijectors on to a distribution within a distribution.
    parts = importlib.import_module("softlearning.distributions.bijectors")
    shift, scale = parts.ConditionalShift(name="shift"), parts.ConditionalScale(name="scale")
    chain = tfp.bijectors.Chain((tfp.bijectors.Tanh(), shift, scale))
    policy.action_distribution = chain(policy.base_distribution)
    shapes = (tf.TensorShape((OBS_DIM,)), tf.TensorShape((ACTION_DIM,)))
    twins, targets = (
        values.double_feedforward_Q_function(input_shapes=shapes, hidden_layer_sizes=HIDDEN)
        for _ in range(2)
    )
    adam = functools.partial(tf.optimizers.Adam, epsilon=EPSILON)
    with mock.patch("tensorflow.optimizers.Adam", adam):
        return module.SAC(
            training_environment=None,
            evaluation_environment=None,
            policy=policy,
            Qs=twins,
            Q_targets=targets,
            policy_lr=LEARNING_RATE,
            Q_lr=LEARNING_RATE,
            alpha_lr=LEARNING_RATE,
            target_entropy=-ACTION_DIM,
            discount=SETTINGS["discount"],
            tau=TAU,
        )


def sac() -> None:
    learner, rng = create(), np.random.default_rng(0)
    networks = {
        "actor": [learner._policy.trainable_variables],
        "critic": [q.trainable_variables for q in learner._Qs],
        "temperature": [[learner._log_alpha]],
    }
    targets = [q.trainable_variables for q in learner._Q_targets]
    optimizers = {
        "actor": [learner._policy_optimizer],
        "critic": learner._Q_optimizers,
        "temperature": [learner._alpha_optimizer],
    }
    for members in (*networks.values(), targets):
        for variables in members:
            draw_weights(variables, rng)

    def state() -> Arrays:
        arrays = stacked("targets/critic", targets)
        for name, members in networks.items():
            arrays |= stacked(f"params/{name}", members)
            if all(hasattr(optimizer, "_momentums") for optimizer in optimizers[name]):
                means = [optimizer._momentums for optimizer in optimizers[name]]
                arrays |= stacked(f"adam_means/{name}", means, 2.0 if name == "critic" else 1.0)
        return arrays

    def step(number: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        given = {name: tf.constant(batch[name].numpy()) for name in batch}
        column = {name: tf.reshape(given[name], (BATCH, 1)) for name in ("rewards", "masks")}
        given |= {"rewards": column["rewards"], "terminals": 1 - column["masks"]}
        names = ("next_gaussian", "gaussian", "temperature_gaussian")
        with drawing(*(noise[name] for name in names)):
            found = learner._do_training(number, given)
        # Of one of the twins, and halved; ours is of both.
        losses = {"critic/loss": 4 * found["Q_loss-mean"], "actor/loss": found["policy_loss-mean"]}
        return {name: float(loss) for name, loss in losses.items()}

    recording.write(
        "softlearning",
        "sac",
        state,
        step,
        rng,
        oracle="official code",
        version=COMMIT,
        updates=4,
        noise=dict.fromkeys(("next_gaussian", "gaussian", "temperature_gaussian"), ACTION_DIM),
        config={**SETTINGS, "learning_rate": LEARNING_RATE, "tau": TAU},
        compared=f"four updates, at an ε of {EPSILON:g} in Adam; the critics' losses and gradients "
        "doubled, as they are halved there",
    )


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(f"Give the folder of a checkout of rail-berkeley/softlearning @ {COMMIT}.")
    sys.path.insert(0, sys.argv[1])
    sys.modules |= {name: mock.MagicMock(RLAlgorithm=Outer) for name in UNUSED}
    tf.config.run_functions_eagerly(True)
    sac()


if __name__ == "__main__":
    main()
