"""Policies that a user brings: kept, rolled out, trained on; and that they score what is known."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness import data
from harness.data.recipes import policy_rollout
from harness.data.recipes.kept_policies import keep_policy
from harness.data.recipes.policy_files import load_policy
from harness.data.recipes.policy_rollout import Behavior
from harness.errors import UserError
from harness.execution.plan import Plan
from harness.execution.work import work
from harness.tasks import get_task, task_ids, task_of_dataset
from harness.tasks.rollouts import rollout_id
from tests.conftest import POLICIES, needs_policies
from tests.harness.conftest import trials_of
from tests.harness.data.test_commands import run
from tests.harness.data.test_policy_rollout import write_policy


@pytest.fixture
def mine(tmp_path: Path, root: Path) -> Path:
    """A small random policy for the pen, whose file does not say so."""
    path = tmp_path / "somewhere" / "my-policy.npz"
    write_policy(path)
    return path


def test_a_policys_episodes_become_a_dataset_that_its_id_names(mine: Path, root: Path) -> None:
    size = ("--transitions", "300", "--workers", "1")
    code, output = run("make", "--policy", str(mine), "--environment", "pen", *size)
    assert code == 0
    assert "rollout/pen/my-policy-300-v0 is ready: 300 transitions, rows" in output
    mine.unlink()  # a copy was kept
    _, output = run("make", "rollout/pen/my-policy", "--transitions", "250", "--workers", "1")
    assert "is ready: 200 transitions in whole episodes, of 250 by its id, rows" in output
    task = get_task("rollout/pen/my-policy", {"transitions": 300})
    loaded = data.ensure(task, make=False)
    assert data.verify(task) == []
    assert run("make", "rollout/pen/my-policy-300-seed1-v0", "--workers", "1")[0] == 0
    metadata = json.loads((root / "minari" / task.dataset.id / "data/metadata.json").read_text())
    assert metadata["description"].startswith("LOCAL, not a download of a public dataset")
    assert metadata["algorithm_name"] == "my-policy, the policy's own noise"
    assert loaded.transitions.obs_dim == 45


def test_stochastic_episodes_have_the_policys_noise_and_deterministic_ones_none(
    mine: Path,
) -> None:
    head = load_policy(mine)
    residuals = []
    for deterministic in (False, True):
        task_id = keep_policy(mine, environment="pen", deterministic=deterministic)
        task = get_task(task_id, {"transitions": 1000})
        rows = data.prepare(task, workers=1).transitions
        means = np.array([head.gaussian(x)[0] for x in rows.observations.astype(np.float64)])
        inside = np.abs(means) < 0.3  # where clipping takes nothing
        residuals.append((rows.actions - means)[inside])
    assert residuals[0].std() == pytest.approx(np.exp(-2.0), rel=0.03)
    # Observations are float64 for the policy and float32 here.
    assert np.abs(residuals[1]).max() < 1e-5


def test_a_suite_trains_on_them(mine: Path, plan_of: Callable[..., Plan], data_home: Path) -> None:
    task_id = keep_policy(mine, environment="pen", deterministic=False)
    plan = plan_of(tasks=[{task_id: {"transitions": 300}}])
    for trial in trials_of(plan):
        assert list(work(trial)) == [20, 40]
    assert {run.task.id for run in plan.runs} == {"rollout/pen/my-policy"}


def test_a_policy_that_sees_the_time_acts_by_it(tmp_path: Path, root: Path) -> None:
    """Its one layer hands the time feature through: 1 - step / 1000."""
    weight = np.zeros((24, 46))
    weight[:, -1] = 1
    meta = {"activation": "none", "squash": "none", "time_feature": True, "n_layers": 1}
    meta |= {"out_affine": False, "task": "Pen"}
    path = tmp_path / "clock.npz"
    np.savez(path, meta=np.array(json.dumps(meta)), W0=weight, b0=np.zeros(24))
    task_id = keep_policy(path, environment=None, deterministic=True)
    assert task_id == "rollout/pen/clock/deterministic"
    rows = data.prepare(get_task(task_id, {"transitions": 200}), workers=1).transitions
    first = rows.actions[: rows.episode_ends()[0]]
    expected = 1 - np.arange(len(first)) / 1000
    np.testing.assert_allclose(first, np.tile(expected[:, None], 24), atol=1e-6)


def test_what_cannot_be_rolled_out_is_explained(mine: Path, tmp_path: Path) -> None:
    def refused(path: Path, complaint: str, environment: str | None = "pen") -> None:
        with pytest.raises(UserError, match=complaint):
            keep_policy(path, environment=environment, deterministic=False)

    refused(mine, "does not say what it acts in. Give --environment one of: halfcheetah", None)
    refused(mine, "'pne' is no environment", "pne")
    refused(mine, "takes 45 numbers and gives 24, but .* observations of 11", "hopper")
    refused(mine.with_name("gone.npz"), r"gone.npz is no policy file")
    (tmp_path / "text.npz").write_text("no archive")
    refused(tmp_path / "text.npz", r"is no policy file of the format mlp-policy-1\. Give the path")
    for name in ("My Policy", "good-100k", "good-seed2", "good-v0"):
        refused(mine.rename(mine.with_name(f"{name}.npz")), "rename")
        mine.with_name(f"{name}.npz").rename(mine)
    with pytest.raises(UserError, match=r"unknown is not on this machine.*data make --policy"):
        data.ensure(get_task("rollout/pen/unknown"))
    with pytest.raises(UserError, match="go with --policy FILE"):
        run("make", "pointmaze/umaze", "--deterministic")
    assert run("make", "pointmaze/umaze", "--policy", str(mine))[0] == 2


def test_another_policy_of_the_same_name_needs_force(mine: Path) -> None:
    keep_policy(mine, environment="pen", deterministic=False)
    keep_policy(mine, environment="pen", deterministic=True)
    write_policy(mine, obs_eps=1e-3)
    with pytest.raises(UserError, match="Another policy called my-policy was rolled out before"):
        keep_policy(mine, environment="pen", deterministic=False)
    keep_policy(mine, environment="pen", deterministic=False, force=True)


def test_a_policy_that_was_replaced_by_force_is_rolled_out_anew(mine: Path) -> None:
    given = ("--policy", str(mine), "--environment", "pen", "--transitions", "300")
    run("make", *given, "--workers", "1")
    task = get_task("rollout/pen/my-policy", {"transitions": 300})
    before = data.ensure(task, make=False).sha256
    write_policy(mine, obs_eps=0.5)
    assert "rollout/my-policy.npz was sha256" in run("make", *given, "--force", "--workers", "1")[1]
    assert data.ensure(task, make=False).sha256 != before
    assert data.verify(task) == []


def test_rollout_ids_name_their_tasks_and_are_not_listed() -> None:
    for name in ("my-policy", "a_2", "best"):
        for deterministic, options in itertools.product((False, True), ({}, {"data_seed": 2})):
            task = get_task(rollout_id("hopper", name, deterministic=deterministic), options)
            assert task_of_dataset(task.dataset.id) == task
    assert not [task_id for task_id in task_ids() if task_id.startswith("rollout/")]


def known_scores() -> list[tuple[str, str, bool, float, float, int]]:
    """Policy, environment, whether deterministic, and mean, deviation and count of returns."""
    path = POLICIES / "MANIFEST.json"
    rows = []
    for policy in json.loads(path.read_text()) if path.is_file() else ():
        measured = {n: v for n, v in policy["measured"].items() if _same_rules(n)}
        # As their data are made: with the policy's noise where it has some.
        name = max(measured, key=lambda name: "stochastic" in name)
        found = measured[name]
        rows.append(
            (
                policy["name"],
                policy["task"].lower(),
                "deterministic" in name,
                found.get("d4rl_reward_mean", found["mean"]),
                found["std"],
                found["episodes"],
            )
        )
    return rows


def _same_rules(measured: str) -> bool:
    return "-v4" not in measured and not ("Pen" in measured and "horizon 200" in measured)


EPISODES = 2


@needs_policies
@pytest.mark.parametrize(
    ("name", "environment", "deterministic", "mean", "deviation", "count"),
    known_scores(),
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_policies_score_what_was_measured(
    name: str,
    environment: str,
    deterministic: bool,
    mean: float,
    deviation: float,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mean of 2 episodes against that of `count`, in another program with other seeds.

    Their difference has the standard error deviation · √(1/2 + 1/count); four of them are allowed,
    and one point of return for the healthy reward that D4RL's rules pay on the step that falls.
    """
    monkeypatch.setattr(policy_rollout, "_SHARD", EPISODES)
    task = get_task(rollout_id(environment, name, deterministic=deterministic))
    kind = "deterministic" if deterministic else "stochastic"
    path = POLICIES / f"{name}.npz"
    behavior = Behavior(task, path, name, 0, (kind,))
    episodes = itertools.islice(behavior.episodes(10**9, 1), EPISODES)
    found = np.mean([episode["rewards"].sum() for episode in episodes])
    tolerance = 4 * deviation * np.sqrt(1 / EPISODES + 1 / count) + 1
    assert found == pytest.approx(mean, abs=tolerance)
