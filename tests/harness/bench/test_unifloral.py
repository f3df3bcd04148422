"""unifloral's IQL beside ours; what needs JAX is skipped where it is not installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algorithms.transitions import Transitions
from harness.bench import unifloral
from harness.bench.contenders import unifloral_workers
from harness.bench.synthetic import synthetic_transitions
from harness.bench.unifloral import unifloral_updates
from harness.errors import UserError

# A script with the names of unifloral's, whose "update" adds a number of the data to its state.
SCRIPT = """
from collections import namedtuple
import distrax, d4rl, gym, tyro, wandb
import jax, jax.numpy as jnp

class Args:
    batch_size = 1

AgentTrainState = namedtuple("AgentTrainState", "actor dual_q dual_q_target value")
Transition = namedtuple("Transition", "obs action reward next_obs done")

class Net:
    def __init__(self, *given): pass
    def apply(self, *given): pass

TanhGaussianActor = DualQNetwork = StateValueFunction = Net

def create_train_state(args, key, network, inputs):
    return jnp.zeros(())

TAKEN = []

def make_train_step(args, actor, q, value, dataset):
    def step(state, _):
        key, agent = state
        key, drawn = jax.random.split(key)
        row = jax.random.randint(drawn, (), 0, len(dataset.obs))
        jax.debug.callback(TAKEN.append, dataset.reward[row])
        return (key, agent), {}
    return step
"""


@pytest.fixture
def few() -> Transitions:
    return synthetic_transitions(64, 3, 2)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "algorithms").mkdir()
    (tmp_path / "algorithms" / "iql.py").write_text(SCRIPT)
    return tmp_path


def test_each_of_our_stacks_has_its_twin_there() -> None:
    workers, bases = unifloral_workers(Path("there"))
    of_worker = dict(workers)
    ours = {n: words for n, words in of_worker.items() if words[0] == "engine"}
    assert len(workers) == 2 * len(ours)
    for name, (_, algorithm, seeds, _, precision, settings) in ours.items():
        kind, their_seeds, their_precision, folder = of_worker[bases[name]]
        assert (kind, their_seeds, their_precision) == ("unifloral", seeds, precision)
        assert algorithm == "iql"
        assert '"hidden_dims": [256, 256], "batch_size": 256' in settings  # as in its script
        assert Path(folder).is_absolute()


def test_a_folder_without_its_script_is_told(tmp_path: Path, few: Transitions) -> None:
    with pytest.raises(UserError, match=r"iql\.py does not exist; give the folder of a checkout"):
        unifloral_updates(tmp_path, 1, "fp32", few)


def test_a_machine_without_jax_is_told(
    checkout: Path, few: Transitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(UserError, match="unifloral needs jax, flax and optax here"):
        unifloral_updates(checkout, 1, "fp32", few)


def test_every_seed_takes_as_many_updates_as_it_is_told(checkout: Path, few: Transitions) -> None:
    jax = pytest.importorskip("jax")
    scripts = []
    load = unifloral.load_script

    def loaded(*given: Any) -> Any:
        scripts.append(load(*given))
        return scripts[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unifloral, "load_script", loaded)
        run = unifloral_updates(checkout, 3, "fp32", few)
    for updates in (1, 5):
        scripts[0].TAKEN.clear()
        run(updates)
        jax.effects_barrier()
        taken = [float(reward) for reward in scripts[0].TAKEN]
        assert len(taken) == 3 * updates
        assert set(taken) <= set(few.rewards.tolist())
        assert len(set(taken)) > 1  # seeds draw rows of their own


def test_the_density_that_stands_in_for_distrax_is_torchs() -> None:
    pytest.importorskip("jax")
    mean, std, value = np.float32([0.3, -1]), np.float32([0.5, 2]), np.float32([0.1, 4])
    expected = torch.distributions.Normal(*map(torch.from_numpy, (mean, std)))
    np.testing.assert_allclose(
        np.asarray(unifloral._Normal(mean, std).log_prob(value)),
        expected.log_prob(torch.from_numpy(value)),
        rtol=1e-5,
    )
