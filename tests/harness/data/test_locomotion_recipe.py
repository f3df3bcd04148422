"""D4RL's locomotion recipe at tiny sizes: levels, resuming, sharing, and that SAC gets better."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from algorithms.engine import engine
from algorithms.engine.updates import compiler_exists
from algorithms.registry import resolve_config
from harness import data
from harness.data.recipes import sac_training, shipped_policies
from harness.data.recipes.policy_files import load_policy, policy_environment
from harness.data.recipes.sac_checkpoint import SacCheckpoint, SacEvaluation, read_curve
from harness.data.recipes.sac_training import SACTraining
from harness.data.recipes.shipped_policies import ShippedPolicies, ship
from harness.errors import UserError
from harness.rollouts import evaluation as evaluate
from harness.rollouts import interaction as online
from harness.rollouts.interaction import make_online_engine
from harness.tasks import ReferenceScores, TaskSpec, get_task, task_ids, task_of_dataset, words
from harness.tasks.ids import Source
from harness.tasks.made import PARTS, POLICIES

TINY: dict[str, Any] = {
    "training_steps": 260,
    "medium_score": 1,
    "exploration_steps": 50,
    "evaluation_every": 80,
    "evaluation_episodes": 2,
    "sac": {"hidden_dims": [16, 16], "batch_size": 16},
}


def tiny(level: str, **params: Any) -> TaskSpec:
    """A level of Hopper, whose first episodes take some 20 steps and score about 1 point.

    Not of this package's policies, if `params` do not say so.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(POLICIES, "hopper")
        task = get_task(f"made/hopper/{level}")
    size = {"transitions": 240} if "transitions" in task.dataset.params else {}
    found = {**task.dataset.params, **TINY, **size, **params}
    return task.model_copy(
        update={"dataset": task.dataset.model_copy(update={"params": found})},
    )


def said(what: str, done: int, total: int) -> None:
    """Hears progress."""


def trained(folder: Path) -> dict[str, str]:
    """The sha256 of all that a training left."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module", autouse=True)
def uncompiled() -> Iterator[pytest.MonkeyPatch]:
    """As on a machine without a compiler, which is the faster for so few updates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "compiler_exists", lambda device: False)
        yield patch


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with every level, made in the order that D4RL's are."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_DATA", str(folder))
        for level in ("medium-replay", "medium", "expert", "medium-expert"):
            data.prepare(tiny(level), workers=1)
        yield folder


def evaluations(task: TaskSpec) -> tuple[SacEvaluation, ...]:
    return SacCheckpoint.read(SACTraining(task).folder).evaluations


def rows(level: str) -> Any:
    return data.ensure(tiny(level), make=False).transitions


def test_all_levels_share_one_training(home: Path) -> None:
    [folder] = (home / "training").iterdir()
    assert folder == SACTraining(tiny("expert")).folder
    found = evaluations(tiny("medium"))
    assert len(found) > 2
    assert found[-2].step < 260 <= found[-1].step
    assert {int(path.stem) for path in (folder / "policies").iterdir()} == {e.step for e in found}
    # The end of the first episode after each multiple of 80.
    assert [e.step // 80 for e in found] == [1, 2, 3, 4][: len(found)]


def test_medium_replay_is_all_that_was_seen_up_to_the_first_policy_at_the_level(
    home: Path,
) -> None:
    medium = next(e for e in evaluations(tiny("medium")) if e.score >= 1)
    replay = rows("medium-replay")
    everything = SacCheckpoint.read(SACTraining(tiny("medium")).folder).replay(10**6)
    assert len(replay) == medium.step < len(everything)
    np.testing.assert_array_equal(replay.rows, everything.rows[: medium.step])
    ends = replay.episode_ends()
    assert replay.terminals[ends[-1] - 1] + replay.timeouts[ends[-1] - 1] == 1
    explored = SacCheckpoint.read(SACTraining(tiny("medium")).folder).explored
    assert explored >= 50
    assert len(ends) == medium.episodes + int((ends <= explored).sum())
    # Within an episode each observation is the one before it was followed by.
    inner = np.setdiff1d(np.arange(len(replay) - 1), ends - 1)
    np.testing.assert_array_equal(replay.next_observations[inner], replay.observations[inner + 1])


def test_medium_expert_is_the_beginnings_of_both_in_equal_parts(home: Path) -> None:
    mixed, medium, expert = (rows(level) for level in ("medium-expert", "medium", "expert"))
    assert 160 < len(mixed) <= 240
    ends = [0, *mixed.episode_ends().tolist()]
    half = max(end for end in ends if end <= 120)
    np.testing.assert_array_equal(mixed.rows[:half], medium.rows[:half])
    np.testing.assert_array_equal(mixed.rows[half:], expert.rows[: len(mixed) - half])
    assert not np.array_equal(medium.rows[:half], expert.rows[:half])


def test_a_part_of_medium_replay_is_its_first_whole_episodes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rows("medium-replay")
    ends = whole.episode_ends()
    shutil.copytree(home / "training", tmp_path / "training")
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    part = data.prepare(tiny("medium-replay", transitions=int(ends[1]) + 1)).transitions
    np.testing.assert_array_equal(part.rows, whole.rows[: ends[1]])


def test_what_is_made_says_so(home: Path) -> None:
    task = tiny("medium-expert")
    folder = home / "minari" / task.dataset.id
    text = json.loads((folder / "data/metadata.json").read_text())["description"]
    assert text.startswith("LOCAL, made on this machine and not a download of D4RL's")
    constants = json.loads((folder / "manifest.json").read_text())["constants"]
    medium, expert = evaluations(task)[0], max(evaluations(task), key=lambda e: e.score)
    assert (constants["medium at step"], constants["expert at step"]) == (medium.step, expert.step)
    policy = (SACTraining(task).policy(expert)).read_bytes()
    assert constants["expert policy_sha256"] == hashlib.sha256(policy).hexdigest()
    assert "not D4RL's files" in words.semantics(task)


def test_policy_files_act_as_the_learner_does(home: Path) -> None:
    task = tiny("medium")
    saved = SacCheckpoint.read(SACTraining(task).folder)
    replay = saved.replay(saved.explored)
    config = resolve_config("sac", TINY["sac"])
    learner = make_online_engine("sac", config, replay, 0, 1000)
    for row in saved.replay(10**6).rows[saved.explored :]:
        learner.add(type(replay)(row[None], replay.obs_dim, replay.action_dim))
    learner.load_state([saved.state], saved.rows - saved.explored)
    path = SACTraining(task).policy(saved.evaluations[-1])
    assert saved.rows == saved.evaluations[-1].step
    head = load_policy(path)
    mean = learner.policy("test", "noise-0")(replay.observations[None])[0]
    ours = np.array([head.mean(x) for x in replay.observations.astype(np.float64)])
    np.testing.assert_allclose(ours, mean, atol=1e-5)
    samples = learner.policy("test", "noise-1")(np.repeat(replay.observations[None, :1], 4000, 1))[
        0
    ]
    _, std = head.gaussian(replay.observations[0].astype(np.float64))
    np.testing.assert_allclose(np.arctanh(samples).std(0), std, rtol=0.06)
    assert policy_environment(path) == "hopper"


@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1e9], ids=["every episode", "evaluations"])
def test_a_killed_training_leaves_the_same_bytes(
    home: Path, root: Path, monkeypatch: pytest.MonkeyPatch, checkpoint_seconds: float
) -> None:
    """Killed in the middle of writing the replay, as well."""
    [finished] = (home / "training").iterdir()
    monkeypatch.setenv("HARNESS_DATA", str(root))
    monkeypatch.setattr(sac_training, "CHECKPOINT_SECONDS", checkpoint_seconds)
    assert trained(killed_twice()) == trained(finished)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_compiled_training_leaves_the_same_bytes(
    uncompiled: pytest.MonkeyPatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "compiler_exists", compiler_exists)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "whole"))
    whole = SACTraining(tiny("expert"))
    whole.expert(said)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "killed"))
    assert trained(killed_twice()) == trained(whole.folder)


def killed_twice() -> Path:
    """The folder of a training that went on after its second episode, and after three more."""
    training = SACTraining(tiny("expert"))
    for episodes in (1, 2):
        left = iter(range(episodes))

        def killed(what: str, done: int, total: int, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            training.expert(killed)
        with (training.folder / "replay.f32").open("ab") as file:
            file.write(b"half a row")
    training.expert(said)
    return training.folder


def test_a_level_that_is_not_reached_says_what_to_change(home: Path) -> None:
    with pytest.raises(
        UserError, match=r"SAC's best evaluation within 260 steps was .* level of 90"
    ):
        SACTraining(tiny("medium", medium_score=90)).medium(said)


def test_a_damaged_replay_buffer_is_not_used(home: Path, root: Path, monkeypatch: Any) -> None:
    shutil.copytree(home, root)
    monkeypatch.setenv("HARNESS_DATA", str(root))
    training = SACTraining(tiny("medium-replay"))
    content = bytearray((training.folder / "replay.f32").read_bytes())
    content[1000] ^= 1
    (training.folder / "replay.f32").write_bytes(content)
    with pytest.raises(UserError, match=r"replay.f32 is not what .* Delete the folder"):
        data.prepare(tiny("medium-replay"), force=True)


@pytest.fixture
def shipped(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The tiny training's policies are in this package, and there is no training."""
    monkeypatch.setattr(shipped_policies, "FOLDER", tmp_path / "shipped")
    found = ship(tiny("expert"))
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    return found


@pytest.mark.parametrize("level", ["medium", "expert", "medium-expert"])
def test_policies_of_this_package_make_the_same_data_without_training(
    home: Path, shipped: dict[str, str], tmp_path: Path, level: str
) -> None:
    task = tiny(level, policies={part: shipped[part] for part in PARTS[level]})
    made = data.prepare(task, workers=1)
    assert not (tmp_path / "data/training").exists()
    folder = home / "minari" / task.dataset.id
    trained_here = json.loads((folder / "manifest.json").read_text())
    assert made.manifest["dataset"]["arrays"] == trained_here["arrays"]
    said, constants = made.manifest["dataset"]["constants"], trained_here["constants"]
    assert said == {name: value for name, value in constants.items() if name != "torch"}
    assert [said[f"{part} policy_sha256"] for part in PARTS[level]] == [
        shipped[part] for part in PARTS[level]
    ]


def test_a_package_has_a_policy_of_each_part_and_the_curve_of_all(shipped: dict[str, str]) -> None:
    [folder] = shipped_policies.FOLDER.iterdir()
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    curve = read_curve(folder)
    medium = next(each for each in curve if each.score >= 1)
    expert = max(curve, key=lambda each: each.score)
    policies = {f"policies/{each.step:08d}.npz" for each in (medium, expert)}
    assert len(policies) == 2 < len(curve)
    assert names == {"manifest.json", "curve.csv", *policies}


def test_the_expert_is_the_best_of_the_training_and_not_its_last(shipped: dict[str, str]) -> None:
    [folder] = shipped_policies.FOLDER.iterdir()
    header, *_ = (folder / "curve.csv").read_text().splitlines()
    (folder / "curve.csv").write_text(f"{header}\n80,1,2,20,9\n160,2,7,90,9\n240,3,5,60,9\n")
    task = tiny("expert", policies={"expert": shipped["expert"]})
    assert ShippedPolicies(task).expert(said).step == 160


def test_another_policy_than_the_tasks_is_not_rolled_out(shipped: dict[str, str]) -> None:
    task = tiny("expert", policies={"expert": "0" * 64})
    with pytest.raises(
        UserError, match=r"\.npz is not the policy that made/hopper/expert-v0 is of"
    ):
        data.prepare(task, workers=1)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("curve.csv", b"step,score\n1,two\n", "curve.csv cannot be read"),
        ("curve.csv", b"step,episodes,score,mean_return,mean_length\n9,1,0,0,1\n", "never reaches"),
        ("manifest.json", b"[]", "manifest.json cannot be read"),
    ],
)
def test_a_damaged_file_of_this_package_is_a_sentence(
    shipped: dict[str, str], name: str, content: bytes, message: str
) -> None:
    [folder] = shipped_policies.FOLDER.iterdir()
    (folder / name).write_bytes(content)
    task = tiny("medium", policies={"medium": shipped["medium"]})
    with pytest.raises(UserError, match=rf"{message}.* Install this package anew"):
        data.prepare(task, workers=1)


def test_the_policies_of_this_package_are_those_that_tasks_name() -> None:
    for body, policies in POLICIES.items():
        for part, sha256 in policies.items():
            recipe = ShippedPolicies(get_task(f"made/{body}/{part}"))
            path = recipe.policy(getattr(recipe, part)(said))
            assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
            assert policy_environment(path) == body


def test_a_dataset_of_this_packages_policies_is_named_by_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {level: get_task(f"made/hopper/{level}") for level in PARTS}
    monkeypatch.setitem(POLICIES, "hopper", {"medium": "a" * 64, "expert": "1" * 64})
    names = {
        "medium": "made/hopper/medium-byaaaaaaaa-v0",
        "medium-expert": "made/hopper/medium-expert-byaaaaaaaa_11111111-v0",
        "expert": "made/hopper/expert-by11111111-v0",
    }
    for level, name in names.items():
        task = get_task(f"made/hopper/{level}")
        assert task.dataset.id == name
        assert task_of_dataset(name) == task
        small = get_task(f"made/hopper/{level}", {"transitions": 5000})
        assert small.dataset.id == name.replace("-v0", "-5k-v0")
        assert task_of_dataset(small.dataset.id) == small
        others = get_task(f"made/hopper/{level}", {"data_seed": 3})
        assert "policies" not in others.dataset.params
        assert task_of_dataset(before[level].dataset.id) is None
    assert get_task("made/hopper/medium-replay") == before["medium-replay"]


class TwoSteps(gym.Env[Any, Any]):
    """The first action decides what the second can earn: only a critic's backup tells it.

    Returns are −(a₀ − 0.5)² − (a₁ + 0.3)², at most 0; uniform actions get −2/3 − 0.25 − 0.09.
    """

    action_space = gym.spaces.Box(-1, 1, (1,))
    observation_space = gym.spaces.Box(-1, 1, (2,))

    def reset(self, **kwargs: Any) -> Any:
        self.first: float | None = None
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        if self.first is None:
            self.first = float(action[0])
            return np.array([1, self.first], np.float32), 0.0, False, False, {}
        reward = -((self.first - 0.5) ** 2) - (float(action[0]) + 0.3) ** 2
        return np.array([-1, 0], np.float32), reward, True, False, {}


def test_sac_learns_to_act_over_two_steps(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uniform actions score 0, the best possible 100."""
    for module in (online, evaluate, sac_training):
        monkeypatch.setattr(module, "make_environment", lambda task: TwoSteps())
    task = tiny(
        "medium",
        training_steps=900,
        evaluation_every=100,
        evaluation_episodes=30,
        exploration_steps=100,
        medium_score=92,
        sac={"hidden_dims": [32, 32], "batch_size": 64, "learning_rate": 0.01, "tau": 0.05},
    )
    uniform = -(2 / 3 + 0.25 + 0.09)
    scores = ReferenceScores(min=uniform, max=0.0, source=Source.OWN)
    task = task.model_copy(update={"reference": scores, "horizon": 2})
    found = SACTraining(task).medium(said)
    assert found.step < 900
    policy = load_policy(SACTraining(task).policy(found))
    first = policy.mean(np.zeros(2))
    assert float(first[0]) == pytest.approx(0.5, abs=0.2)
    assert float(policy.mean(np.array([1.0, 0.5]))[0]) == pytest.approx(-0.3, abs=0.2)
    seen = SacCheckpoint.read(SACTraining(task).folder).replay(100).rewards.reshape(-1, 2).sum(1)
    # 50 episodes; a return's standard deviation is 0.80 by simulation.
    assert seen.mean() == pytest.approx(uniform, abs=4 * 0.8 / np.sqrt(50))


def test_dataset_ids_say_what_is_not_the_default() -> None:
    made = [task_id for task_id in task_ids() if task_id.startswith("made/")]
    assert len(made) == 12
    for task_id in made:
        changed = {"medium_score": 20, "training_steps": 60_000, "data_seed": 3}
        for options in ({}, changed, changed | {"transitions": 5000}):
            task = get_task(task_id, options)
            assert task_of_dataset(task.dataset.id) == task
    options = {"medium_score": 20, "training_steps": 1500, "transitions": 5000, "data_seed": 3}
    found = get_task("made/walker2d/medium", options).dataset.id
    assert found == "made/walker2d/medium-at20-train1500-5k-seed3-v0"
    for other in ("made/hopper/low-v0", "made/hopper/medium", "made/hopper/medium-at33-v0"):
        assert task_of_dataset(other) is None
    with pytest.raises(UserError, match="'medium_score' must be a whole number of at least 1"):
        get_task("made/hopper/medium", {"medium_score": 0})
