"""What every algorithm in the registry promises: `algorithms/contract`, run on each of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithms.contract import CHECKS, COMPILED, Check, Subject, run_check
from algorithms.contract.learning import imitation
from algorithms.engine.learning_state import SeedState
from algorithms.transitions import Transitions
from tests.algorithms.engine.test_preflight import RIGHT
from tests.algorithms.small import (
    ACTION_DIM,
    OBS_DIM,
    compared_methods,
    every_algorithm,
    make_engine,
    states_equal,
)

REPOSITORY = Path(__file__).resolve().parents[2]
ONLINE_ONLY = {"sac"}
# What holds a method to the data, where its own setting leaves that to a million steps.
HELD: dict[str, dict[str, Any]] = {
    "rebrac": {"actor_penalty": 1.0},
    "plas": {"max_latent": 0.5},
    "tt": {"dropout": 0.0},  # of 16 hidden units a tenth is much
    "qdt": {"value_share": 0.1},
    "diffusion-ql": {"eta": 0.3},
    "edp": {"alpha": 0.1, "batch_size": 128, "diffusion_steps": 7},
    # Of 80 updates the behaviour, which alone holds it, is to have most, and of more transitions.
    "sfbc": {"behavior_share": 0.9, "batch_size": 128, "diffusion_steps": 7},
    "qgpo": {"behavior_share": 0.9, "batch_size": 128, "diffusion_steps": 7},
    "srpo": {"pretrain_share": 0.5, "batch_size": 128, "dropout": 0.0},
    "dac": {"eta": 20.0},
    "bdpo": {
        "eta": 20.0,
        "pretrain_share": 0.75,
        "policy_hidden_dims": (32,),
        "behavior_learning_rate": 2e-2,
        "behavior_ema": 0.2,
    },
}
PESSIMISTS = {"sac-n", "edac", "mcq"}  # their policy sees the data through the critics alone
# How to act where the own way draws from a Gaussian that so few updates leave wide, or chooses by
# a critic that they leave wrong.
OTHERWISE = {"crr": "noise-0", "dac": "noise-1", "bdpo": "noise-1"}


@pytest.fixture(scope="module", params=every_algorithm())
def subject(request: pytest.FixtureRequest) -> Subject:
    """A method, whose training all checks share."""
    return Subject(request.param, HELD.get(request.param, {}))


@pytest.mark.parametrize(
    "check", [c for c in CHECKS if c is not COMPILED], ids=lambda check: check.id
)
def test_keeps(subject: Subject, check: Check) -> None:
    found = run_check(check, subject)
    meant = RIGHT.get(subject.algorithm_id, set()) if check.id == "first-try" else set()
    assert [finding for finding in found if finding.sentence not in meant] == []


def test_learns_a_tiny_dataset(subject: Subject) -> None:
    """It acts as the data do, far better than any constant action would."""
    if subject.algorithm_id in ONLINE_ONLY:
        pytest.skip("nothing holds it to the data; its own tests say what it learns online")
    if subject.algorithm_id in PESSIMISTS:
        pytest.skip("that takes more updates; its own tests say what it learns in them")
    if subject.algorithm_id not in compared_methods():
        pytest.skip("an ablation, whose learning is tested where its choice is")
    assert imitation(subject, OTHERWISE.get(subject.algorithm_id)) == []


@pytest.mark.slow
@pytest.mark.parametrize("algorithm_id", ["awac", "fql"])
def test_compiled_updates_equal_eager_ones(algorithm_id: str) -> None:
    """One method of each kind of loss: phases of their own, and all networks in one."""
    assert run_check(COMPILED, Subject(algorithm_id)) == []


@pytest.mark.slow
def test_compiled_same_seed_same_bits_in_a_second_process_and_any_slot(
    transitions: Transitions, tmp_path: Path
) -> None:
    """Compiled, alone (padded) and as the second of three: the seed they share has equal bits."""
    program = (
        "import sys, numpy as np\n"
        "from algorithms.transitions import Transitions\n"
        "from tests.algorithms.test_contract import compiled_state\n"
        f"data = Transitions(np.load(sys.argv[1]), {OBS_DIM}, {ACTION_DIM})\n"
        "np.savez(sys.argv[2], **compiled_state(data, (3, 4)))\n"
    )
    rows, saved = tmp_path / "rows.npy", tmp_path / "state.npz"
    np.save(rows, transitions.rows)
    alone = compiled_state(transitions, (3,))
    second = [sys.executable, "-c", program, rows, saved]
    with subprocess.Popen(second, cwd=REPOSITORY) as process:
        assert states_equal(alone, compiled_state(transitions, (7, 3, 5)))
    assert process.returncode == 0
    with np.load(saved) as there:
        assert states_equal(alone, dict(there))


def compiled_state(transitions: Transitions, seeds: tuple[int, ...]) -> SeedState:
    """Of seed 3, after compiled updates of two phases."""
    engine = make_engine(
        "td3-bc",
        transitions,
        seeds,
        compile=True,
        hidden_dims=(8,),
        policy_every=1,  # one kind of update to compile
    )
    assert engine.compiled
    engine.train(40)
    return engine.state(seeds.index(3))
