"""The page says what the scores give, and a script of CORL's shape learns from our arrays."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from algorithms.registry import algorithms
from algorithms.transitions import Transitions
from harness.bench.corl import corl_updates, load_corl
from harness.errors import UserError
from tests.parity import corl
from tests.parity.__main__ import TRAINING, train_all
from tests.parity.page import PAGE, comparisons, page, table
from tests.parity.repositories import CORL, FQL, REPOSITORIES, Repository
from tests.parity.runs import runs_of
from tests.parity.scores import (
    HARNESS,
    Score,
    add_scores,
    commit_of,
    read_scores,
    scores_of_suite,
)

# What CORL's scripts have in common, as far as it is used here; it "learns" the mean action.
_SCRIPT = """
from dataclasses import dataclass
from typing import Optional
import d4rl, gym, pyrallis, wandb
import numpy as np

@dataclass
class TrainConfig:
    env: str = "none"
    device: str = "cuda"
    seed: int = 0
    max_timesteps: int = 10
    eval_freq: int = 5
    n_episodes: int = 10
    batch_size: int = 4
    buffer_size: int = 10**9
    rate: float = 0.0
    normalize: bool = True
    checkpoints_path: Optional[str] = None

class ReplayBuffer:
    def __init__(self, dataset):
        self.dataset = dataset
    def sample(self, size):
        return self.dataset["actions"][:size]

class Actor:
    training = True
    mean = None
    def eval(self):
        self.training = False
    def act(self, state, device):
        assert not self.training and device == "cpu"
        return self.mean + state.sum()

class ImplicitQLearning:
    def __init__(self, actor):
        self.actor, self.seen = actor, []
    def train(self, batch):
        self.seen.append(batch)
        self.actor.mean = batch.mean(0)

def eval_actor(env: gym.Env, actor, device: str, n_episodes: int, seed: int):
    raise AssertionError("the policy is evaluated by this project")

@pyrallis.wrap()
def train(config: TrainConfig):
    assert type(config.rate) is float
    env = gym.make(config.env)
    dataset = d4rl.qlearning_dataset(env)
    dataset["rewards"] /= 2
    mean = dataset["observations"].mean(0) if config.normalize else 0.0
    env = gym.wrappers.TransformObservation(env, lambda state: state - mean)
    actor = Actor()
    buffer, trainer = ReplayBuffer(dataset), ImplicitQLearning(actor=actor)
    wandb.init()
    for t in range(config.max_timesteps):
        batch = buffer.sample(config.batch_size)
        trainer.train(batch)
        wandb.log({}, step=t)
        if (t + 1) % config.eval_freq == 0:
            eval_actor(env, actor, device=config.device, n_episodes=1, seed=config.seed).mean()
"""


@pytest.fixture
def corl_folder(tmp_path: Path) -> Path:
    script = tmp_path / "algorithms" / "offline" / "iql.py"
    config = tmp_path / "configs" / "offline" / "iql" / "hopper" / "medium_v2.yaml"
    for path, text in ((script, _SCRIPT), (config, "batch_size: 3\nrate: 3e-4\nbuffer_size: 9\n")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def transitions() -> Transitions:
    rng = np.random.default_rng(0)
    return Transitions.pack(
        observations=rng.normal(size=(6, 2)),
        actions=rng.uniform(-1, 1, (6, 3)),
        rewards=np.arange(6.0),
        next_observations=rng.normal(size=(6, 2)),
        terminals=np.zeros(6),
        timeouts=np.zeros(6),
    )


def test_a_script_learns_from_our_arrays_and_its_policy_sees_what_it_normalised(
    corl_folder: Path, transitions: Transitions
) -> None:
    method = corl.Method("iql", "iql", corl.METHODS["bc"].train, corl.METHODS["bc"].budget)
    policy = corl.train_script(
        corl_folder, method, "hopper/medium_v2", transitions, steps=4, seed=0
    )
    observations = np.ones((1, 5, 2), np.float32)
    seen = (1 - transitions.observations.mean(0)).sum()
    expected = np.broadcast_to(transitions.actions[:3].mean(0) + seen, (1, 5, 3))
    np.testing.assert_allclose(policy(observations, np.zeros((1, 5))), expected, rtol=1e-5)
    np.testing.assert_array_equal(
        transitions.rewards, np.arange(6)
    )  # though the script halves its own


def test_stand_ins_are_gone_once_a_script_is_loaded(
    corl_folder: Path, transitions: Transitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "wandb", real)
    monkeypatch.delitem(sys.modules, "d4rl", raising=False)
    load_corl(corl_folder, "iql", transitions)
    assert sys.modules["wandb"] is real
    assert "d4rl" not in sys.modules


def test_the_benchmark_takes_exactly_as_many_updates_as_it_is_told(
    corl_folder: Path, transitions: Transitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Any] = []

    def load(*given: Any) -> Any:
        script = load_corl(*given)
        learn = script.ImplicitQLearning.train
        script.ImplicitQLearning.train = lambda self, b: taken.append(b) or learn(self, b)
        return script

    monkeypatch.setattr("harness.bench.corl.load_corl", load)
    run = corl_updates(corl_folder, "iql", transitions)
    assert taken == []
    run(3)
    assert [batch.shape for batch in taken] == [(4, 3)] * 3


def test_a_folder_without_corl_is_named(tmp_path: Path, transitions: Transitions) -> None:
    with pytest.raises(UserError, match=rf"{tmp_path}.*give the folder of a checkout of CORL"):
        load_corl(tmp_path, "iql", transitions)


def test_the_transformer_sees_scaled_returns_to_go_and_no_more_than_its_context() -> None:
    seen: list[list[torch.Tensor]] = []

    class Model:
        seq_len, action_dim = 2, 1

        def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
            seen.append([x.clone() for x in inputs])
            return inputs[0].sum(-1, keepdim=True)

    environment: Any = SimpleNamespace(observe=lambda observations: observations / 2)
    policy = corl._Sequences(Model(), environment, target=10.0, scale=0.1)
    rewards = [0.0, 5.0, 20.0]
    for step, reward in enumerate(rewards):
        observations = np.full((1, 4, 3), 2.0 * step, np.float32)
        actions = policy(observations, np.full((1, 4), reward, np.float32))
        np.testing.assert_array_equal(actions, np.full((1, 4, 1), 3.0 * step))
    states, actions_before, to_go, times = (x[0] for x in seen[-1])
    assert states[:, 0].tolist() == [1.0, 2.0]
    assert actions_before[:, 0].tolist() == [3.0, 0.0]
    assert to_go.tolist() == pytest.approx([9.5, 7.5])
    assert times.tolist() == [1, 2]


@pytest.mark.parametrize("repository", REPOSITORIES, ids=lambda each: each.name)
def test_every_run_of_a_suite_has_its_counterpart(repository: Repository) -> None:
    runs = list(runs_of(repository.suite_path))
    assert {run.method for run in runs} == set(TRAINING[repository.name][0])
    assert {run.method for run in runs} <= algorithms().keys()
    assert {run.seed for run in runs} == set(range(5))
    if repository is CORL:
        assert {run.task.id for run in runs} <= corl.CONFIGS.keys()


def test_intervals_are_scipys_for_unequal_variances() -> None:
    rng = np.random.default_rng(1)
    here, there = rng.normal(50, 2, 5), rng.normal(48, 9, 5)
    scores = [
        Score("d", "m", side, seed, 10, 20, value, "c")
        for side, values in ((HARNESS, here), (CORL.name, there))
        for seed, value in enumerate(values)
    ]
    [comparison] = comparisons(scores, CORL)
    test = scipy.stats.ttest_ind(here, there, equal_var=False)
    expected = test.confidence_interval(0.95)
    assert comparison.interval == pytest.approx((expected.low, expected.high), rel=1e-3)
    assert comparison.verdict.startswith("not told apart") == (test.pvalue > 0.05)


def test_sides_are_compared_at_the_same_seeds_only() -> None:
    sides = (HARNESS, CORL.name)
    scores = [Score("d", "m", side, seed, 1, 1, 0.0, "c") for side in sides for seed in (0, 1)]
    assert len(comparisons(scores, CORL)) == 1
    assert comparisons(scores[:-1], CORL) == []


def test_a_repositorys_table_has_its_own_methods_and_our_commits_of_them() -> None:
    scores = [
        Score("d", method, side, seed, 1, 1, float(seed), commit)
        for method, repository, commit in (("bc", CORL, "aaaaaaa"), ("fql", FQL, "bbbbbbb"))
        for side in (HARNESS, repository.name)
        for seed in (0, 1)
    ]
    found = table(scores, FQL)
    assert "`fql`" in found
    assert "`bc`" not in found
    assert f"Commits: here `bbbbbbb`; {FQL.address} `{FQL.commit}`." in found
    marks = [
        f"<!-- scores: {each.name} -->\nof before\n<!-- end of scores -->\n" for each in (FQL, CORL)
    ]
    written = page("between\n".join(marks), scores)
    assert table(scores, FQL) in written.split("between")[0]
    assert table(scores, CORL) in written.split("between")[1]
    assert "of before" not in written


def test_a_method_that_a_repository_is_not_run_for_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="FQL's code is run for fql, ifql here, not for iql"):
        train_all(FQL, tmp_path, ["fql", "iql"])


def test_scores_are_written_once_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    first = Score("d", "m", CORL.name, 0, 10, 20, 1 / 3, "c")
    other = Score("d", "m", CORL.name, 1, 10, 20, 5.0, "c")
    assert add_scores([first], path) == 1
    assert add_scores([first, other], path) == 1
    assert read_scores(path) == [first, other]


def test_the_harness_runs_are_read_as_its_report_reads_them() -> None:
    folder = Path("results/local/quickstart")
    with (folder / "scores.csv").open(newline="") as file:
        reported = {
            (line["task"], line["label"], int(line["seed"])): float(line["score"])
            for line in csv.DictReader(file)
        }
    found = {(each.dataset, each.method, each.seed): each.score for each in scores_of_suite(folder)}
    assert found == pytest.approx(reported)


@pytest.mark.parametrize("git", [{"commit": "0" * 40, "dirty": True}, {"unknown": "no git"}])
def test_runs_of_code_that_no_commit_has_are_refused(git: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="runs/a/seed-0 was not made from a clean commit"):
        commit_of("runs/a/seed-0", {"git": git})
    assert commit_of("runs/a/seed-0", {"git": {"commit": "1" * 40, "dirty": False}}) == "1" * 7


@pytest.mark.parametrize("repository", REPOSITORIES, ids=lambda each: each.name)
def test_the_page_has_the_table_of_the_committed_scores(repository: Repository) -> None:
    text = PAGE.read_text("utf-8")
    scores = read_scores()
    found = comparisons(scores, repository)
    assert table(scores, repository) in text
    assert {each.method for each in found} == set(TRAINING[repository.name][0])
    assert all(f"`{each.method}` | `{each.dataset}` | {each.steps:,} |" in text for each in found)
