"""Mixed-quality data rolled out from policy files."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from harness import data
from harness.data import datasets
from harness.data.recipes import policy_rollout
from harness.data.recipes.policy_files import load_policy
from harness.errors import UserError
from harness.tasks import TaskSpec, get_task
from tests.conftest import POLICIES, needs

REFERENCE = POLICIES.parent / "policy.py"  # a reader of the files by others
LAYERS = (45, 8, 24)
META = {
    "activation": "tanh",
    "squash": "none",
    "obs_eps": 1e-8,
    "obs_clip": None,
    "time_feature": False,
    "n_layers": 2,
    "out_affine": True,
}


def write_policy(path: Path, **meta: object) -> None:
    """A small random policy for the pen."""
    rng = np.random.default_rng(0)
    arrays = {
        "obs_shift": np.zeros(45),
        "obs_scale": np.ones(45),
        "out_shift": np.zeros(24),
        "out_scale": np.ones(24),
        "log_std": np.full(24, -2.0),
    }
    for i, (wide, high) in enumerate(itertools.pairwise(LAYERS)):
        arrays |= {f"W{i}": 0.2 * rng.standard_normal((high, wide)), f"b{i}": np.zeros(high)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, meta=np.array(json.dumps(META | meta)), **arrays)


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    """The file that the pen's recipe rolls out."""
    monkeypatch.setenv("HARNESS_POLICIES", str(tmp_path / "policies"))
    path = tmp_path / "policies" / "dapg-pen.npz"
    write_policy(path)
    return path


def pen(transitions: int) -> TaskSpec:
    return get_task("local/pen/mixed", {"transitions": transitions})


@pytest.mark.parametrize("byte", [8, 10])  # of the zip's entries: they say how they are packed
def test_a_damaged_policy_is_a_sentence(policy: Path, byte: int) -> None:
    content = bytearray(policy.read_bytes())
    place = content.find(b"PK\x01\x02")
    content[place + byte] ^= 1 << 4 if byte == 10 else 1
    policy.write_bytes(content)
    with pytest.raises(UserError, match=r"dapg-pen\.npz is no policy file of the format"):
        load_policy(policy)


@pytest.mark.parametrize(
    ("meta", "wanted"),
    [
        ({}, [np.exp(-3.0), np.exp(4.0)]),
        ({"log_std_clip": [-2, 2]}, [np.exp(-2.0), np.exp(2.0)]),
        ({"std_floor": 0.5}, [np.log1p(np.exp(-3.0)) + 0.5, np.log1p(np.exp(4.0)) + 0.5]),
    ],
    ids=["exp", "clipped", "softplus"],
)
def test_a_heads_standard_deviation_is_what_its_file_says(
    tmp_path: Path, meta: dict[str, object], wanted: list[float]
) -> None:
    """Its outputs are −3 and 4, by hand."""
    plain = {"activation": "relu", "squash": "tanh", "n_layers": 1, "out_affine": False}
    arrays = {"W0": np.zeros((2, 1)), "b0": np.zeros(2)}
    arrays |= {"W_log_std": np.array([[1.0], [2.0]]), "b_log_std": np.array([-4.0, 2.0])}
    text = json.dumps(plain | {"time_feature": False} | meta)
    np.savez(tmp_path / "policy.npz", meta=np.array(text), **arrays)
    _, std = load_policy(tmp_path / "policy.npz").gaussian(np.ones(1))
    np.testing.assert_allclose(std, wanted)


def test_workers_do_not_change_a_byte(policy: Path) -> None:
    found = set()
    for workers in (1, 2):
        file = datasets.make_dataset(pen(1500), force=True, workers=workers).data
        found.add(hashlib.sha256((file / "main_data.hdf5").read_bytes()).hexdigest())
    assert len(found) == 1


def test_rows_are_whole_episodes_and_a_small_dataset_begins_a_larger_one(policy: Path) -> None:
    small, large = (data.prepare(pen(n), workers=1).transitions for n in (300, 600))
    assert len(small) <= 300 < len(small) + 100  # no room for one more
    np.testing.assert_array_equal(small.rows, large.rows[: len(small)])
    ends = large.episode_ends() - 1
    assert ends[-1] == len(large) - 1
    assert (large.terminals[ends] + large.timeouts[ends] == 1).all()
    fallen = large.next_observations[:, 26] < 0.075
    np.testing.assert_array_equal(fallen, large.terminals == 1)


def test_each_third_has_its_own_noise(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, head = pen(3000), load_policy(policy)
    rows = data.prepare(task, workers=1).transitions
    ends = rows.episode_ends()
    kinds = np.repeat(np.arange(len(ends)) % 3, np.diff(ends, prepend=0))
    means = np.array([head.gaussian(x)[0] for x in rows.observations.astype(np.float64)])
    inside = np.abs(means) < 0.2  # where clipping takes little
    residuals = [np.where(inside, rows.actions - means, np.nan)[kinds == k] for k in range(3)]
    own = np.exp(-2.0)
    assert np.nanstd(residuals[0]) == pytest.approx(own, rel=0.02)
    # N(0, 0.6² + own²) clipped at about ±1 has this standard deviation, by simulation.
    noise = np.hypot(0.6, own) * np.random.default_rng(0).standard_normal(100_000)
    assert np.nanstd(residuals[1]) == pytest.approx(np.clip(noise, -1, 1).std(), rel=0.03)
    replaced = np.nanmax(np.abs(residuals[2]), axis=1) > 5 * own
    assert replaced.mean() == pytest.approx(0.25, abs=0.06)


def test_the_policy_is_part_of_what_the_manifest_says(policy: Path) -> None:
    manifest = data.prepare(pen(300), workers=1).manifest["dataset"]
    sha256 = hashlib.sha256(policy.read_bytes()).hexdigest()
    assert [*manifest["sources"].values()] == [sha256]
    assert manifest["dataset"]["params"] == {"policy": "dapg-pen", "transitions": 300, "seed": 0}


def test_a_missing_policy_fails_with_what_to_set(policy: Path) -> None:
    policy.unlink()
    with pytest.raises(UserError, match=rf"no {policy}\. .* set HARNESS_POLICIES"):
        data.ensure(pen(300))


def test_the_card_has_the_behaviours_score_by_third(policy: Path) -> None:
    task = pen(600)
    rows = data.prepare(task, workers=1).transitions
    lines = policy_rollout.RECIPE.details(task, rows).splitlines()
    ends = rows.episode_ends()
    returns = [part.sum(dtype=np.float64) for part in np.split(rows.rewards, ends[:-1])]
    scores = [task.normalized_score(value) for value in returns]
    assert f": {np.mean(scores):.1f} ±" in lines[0]
    for kind in range(3):
        assert f": {np.mean(scores[kind::3]):.1f} ±" in lines[1 + kind]


@needs(REFERENCE, "HARNESS_POLICIES")
@pytest.mark.parametrize(
    "name",
    [
        *("dapg-pen", "dapg-door", "dapg-hammer", "dapg-relocate"),
        *("tqc-halfcheetah", "sac-hopper", "ppo-hopper", "ars-walker2d"),
    ],
)
def test_policies_act_as_their_reference_reader_says(name: str) -> None:
    spec = importlib.util.spec_from_file_location("reference_policy", REFERENCE)
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    path = POLICIES / f"{name}.npz"
    ours, theirs = load_policy(path), reference.Policy(path)
    rng = np.random.default_rng(0)
    for _ in range(20):
        observation = ours.shift + ours.scale * rng.standard_normal(len(ours.shift))
        mean, std = ours.gaussian(observation)
        their_mean, their_log_std = theirs.dist(observation)
        np.testing.assert_allclose(mean, their_mean, atol=1e-12)
        np.testing.assert_allclose(std, np.exp(their_log_std))
        action = ours.sample(observation, np.random.default_rng(1)).clip(-1, 1)
        np.testing.assert_allclose(action, theirs(observation, np.random.default_rng(1)), atol=1e-6)
