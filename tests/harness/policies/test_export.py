"""What is exported acts as the policy does, with torch alone."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import registry
from algorithms.contract.subject import made_up_transitions
from algorithms.engine.trained import Trained
from harness.errors import UserError
from harness.policies.export import export_policy
from harness.runs.spec import EvaluationSpec
from tests.algorithms.small import OBS_DIM, every_algorithm, make_engine

STEPS = 40
CANNOT = {"qgpo": "torch cannot follow how it acts"}


def run_of(algorithm_id: str) -> Any:
    """A run of a small engine, untrained, on data that are not normal."""
    data = made_up_transitions()
    data.rows[:, :OBS_DIM] = 4 * data.rows[:, :OBS_DIM] - 2
    engine = make_engine(algorithm_id, data, offline_steps=STEPS)
    trained = Trained(
        algorithm_id,
        engine.algorithm.config,
        engine.preprocessing,
        [engine.state(0)],
        STEPS,
        offline_steps=STEPS,
    )
    spec = SimpleNamespace(algorithm=algorithm_id, evaluation=EvaluationSpec(every=1, episodes=1))
    return SimpleNamespace(spec=spec, trained=trained)


@pytest.mark.parametrize(("algorithm_id", "selection"), [("bc", None), ("iql", "noise-0")])
def test_without_noise_its_actions_are_the_policys(
    algorithm_id: str, selection: str | None, tmp_path: Path
) -> None:
    run, path = run_of(algorithm_id), tmp_path / "policy.pt"
    assert export_policy(run, path, selection) <= 1e-6
    x = np.random.default_rng(0).normal(-2, 4, (6, OBS_DIM)).astype(np.float32)
    expected = run.trained.policy(run.trained.noise([0], "test"), selection)(x[None])[0]
    found = torch.jit.load(str(path))(torch.from_numpy(x))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_its_noise_is_drawn_anew_and_as_wide_as_the_policys(tmp_path: Path) -> None:
    run, path = run_of("flow-bc"), tmp_path / "policy.pt"
    export_policy(run, path)
    written, x = torch.jit.load(str(path)), torch.zeros(4000, OBS_DIM)
    torch.manual_seed(0)
    found = written(x).numpy()
    assert not np.array_equal(found, written(x).numpy())
    policy = run.trained.policy(run.trained.noise([0], "test"))
    expected = policy(x.numpy()[None])[0]
    np.testing.assert_allclose(found.mean(0), expected.mean(0), atol=0.05)
    np.testing.assert_allclose(found.std(0), expected.std(0), atol=0.05)


def test_a_disk_that_is_full_costs_no_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "policy.pt"
    path.write_bytes(b"earlier")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        export_policy(run_of("bc"), path)
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == b"earlier"


def test_a_method_that_remembers_is_refused_with_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dt cannot be exported: it acts on the steps before"):
        export_policy(run_of("dt"), tmp_path / "policy.pt")
    assert not [*tmp_path.iterdir()]


def test_an_acting_that_reads_its_numbers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What TorchScript would write is the branch that the traced observations took."""
    run = run_of("bc")
    act = run.trained.choose

    def branching(nets: Any, x: Any, noise: Any) -> Any:
        actions = act(nets, x, noise)
        return actions if len(x[0]) == 3 else -actions

    monkeypatch.setattr(run.trained, "choose", branching)
    with pytest.raises(UserError, match="bc cannot be exported: written as TorchScript"):
        export_policy(run, tmp_path / "policy.pt")
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm_id", every_algorithm())
def test_every_method_is_exported_or_refused_with_why(algorithm_id: str, tmp_path: Path) -> None:
    run, path = run_of(algorithm_id), tmp_path / "policy.pt"
    reason = "it acts on the steps before" if run.trained.algorithm.context else None
    reason = CANNOT.get(algorithm_id, reason)
    assert algorithm_id in registry.algorithms()
    if reason is None:
        assert export_policy(run, path) <= 1e-4
        return
    with pytest.raises(UserError, match=reason):
        export_policy(run, path)
