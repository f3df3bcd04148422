"""Half an agent's episodes over and over, half episodes of their clone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness import data
from harness.data import LoadedData
from harness.data.recipes import agent_clone
from harness.data.recipes.policy_files import load_policy
from harness.data.recipes.shipped_policies import sha256_of
from harness.errors import UserError
from harness.tasks import TaskSpec, get_task
from tests.harness.data.test_policy_rollout import write_policy

TRANSITIONS, DEMONSTRATIONS = 1_000, 2


def small() -> TaskSpec:
    """With two demonstrations and little cloning."""
    found = get_task("local/pen/agent-cloned", {"transitions": TRANSITIONS})
    fewer = {"demonstrations": DEMONSTRATIONS, "training_steps": 400}
    dataset = found.dataset.model_copy(update={"params": {**found.dataset.params, **fewer}})
    return found.model_copy(update={"dataset": dataset})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LoadedData, Path, Path]]:
    """The data, the agent's file and the clone's."""
    folder = tmp_path_factory.mktemp("clone")
    agent = folder / "policies" / "dapg-pen.npz"
    write_policy(agent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_DATA", str(folder / "data"))
        patch.setenv("HARNESS_POLICIES", str(agent.parent))
        loaded = data.prepare(small(), workers=1)
        (clone,) = (folder / "data" / "training").glob("clone-*.npz")
        yield loaded, agent, clone


def test_half_repeat_the_agents_episodes_and_half_are_its_clones(
    made: tuple[LoadedData, Path, Path],
) -> None:
    loaded, _, clone = made
    rows = loaded.transitions
    ends = rows.episode_ends()
    own = np.split(rows.rows, ends[:-1])
    first = int(np.searchsorted(ends, TRANSITIONS // 2, side="right"))
    assert first > 2 * DEMONSTRATIONS
    for one, again in zip(own[:first], own[DEMONSTRATIONS:first], strict=False):
        np.testing.assert_array_equal(one, again)
    assert not np.array_equal(own[0], own[1])
    assert TRANSITIONS // 4 < len(rows) - ends[first - 1] <= TRANSITIONS // 2
    policy, cloned = load_policy(clone), slice(ends[first - 1], None)
    wanted = [policy.mean(x) for x in rows.observations[cloned].astype(np.float64)]
    np.testing.assert_allclose(rows.actions[cloned], wanted, atol=1e-4)
    seen, acted = rows.observations[: ends[1]].astype(np.float64), rows.actions[: ends[1]]
    error = np.mean((np.array([policy.mean(x) for x in seen]) - acted) ** 2)
    assert error < 0.7 * acted.var(0).mean()  # it has learnt from them


def test_the_agent_and_the_clone_are_part_of_what_the_manifest_says(
    made: tuple[LoadedData, Path, Path],
) -> None:
    loaded, agent, clone = made
    manifest = loaded.manifest["dataset"]
    assert manifest["sources"] == {"local/dapg-pen.npz": sha256_of(agent)}
    assert manifest["constants"]["clone_sha256"] == sha256_of(clone)
    lines = agent_clone.RECIPE.details(small(), loaded.transitions).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "normalized score of the agent's episodes",
        "normalized score of the clone's",
    ]


def test_without_the_agent_it_says_how_to_get_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_POLICIES", str(tmp_path))
    with pytest.raises(UserError, match="harness data fetch policies"):
        data.ensure(small())


@pytest.mark.parametrize("level", ["agent-cloned", "underfit-clone"])
def test_nobody_takes_it_for_d4rls(level: str) -> None:
    task = get_task(f"local/door/{level}")
    assert task.id != "local/door/cloned"
    assert task.dataset.id == f"local/door/{level}-v0"
    assert level in task.environment.semantics
    assert task.ranks


def test_the_two_levels_differ_by_how_long_the_clone_learns() -> None:
    well, badly = (
        get_task(f"local/pen/{level}").dataset.params
        for level in ("agent-cloned", "underfit-clone")
    )
    assert {name: well[name] for name in well if well[name] != badly[name]} == {
        "training_steps": 5_000
    }
