"""A finished run's policy acts without its data, as it did in evaluation."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from algorithms.errors import DivergedError
from harness.errors import UserError
from harness.policies.evaluation import decision_milliseconds, evaluate
from harness.policies.policy import Policy
from harness.policies.saved import open_run
from harness.runs.checkpoint import Checkpoint
from harness.runs.folder import RunFolder
from harness.runs.pack import pack_suite

Finished = Callable[..., list[Path]]
BANDIT = {"multimodal/modes-2-dim-2": {"transitions": 200}}  # episodes of one step
MANY = {"bc": {}, "iql": {}, "flow-bc": {}, "dt": {"config": {"context": 4, "embedding_dim": 16}}}


def stored(folder: Path, step: int, selection: str) -> list[float]:
    with (folder / "evaluations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        float(row["return"])
        for row in rows
        if (int(row["step"]), row["action_selection"]) == (step, selection)
    ]


@pytest.mark.parametrize("label", MANY)
def test_evaluating_again_gives_the_stored_returns_bit_for_bit(
    finished: Finished, label: str
) -> None:
    """Alone, where two seeds were trained and evaluated together; a further selection too."""
    evaluation = {"every": 40, "episodes": 2, "action_selections": ["noise-1"]}
    for folder in finished(algorithms={label: MANY[label]}, evaluation=evaluation):
        run = open_run(folder)
        for selection in {run.trained.algorithm.action_selection, "noise-1"}:
            found = evaluate(run, action_selection=selection)
            expected = stored(folder, 40, selection)
            assert len(expected) == 2
            assert found.returns == expected == found.stored
        assert evaluate(run, episodes=1).stored is None


def test_a_row_that_acts_otherwise_than_its_method_scores_as_the_method_does_acting_so(
    finished: Finished,
) -> None:
    from_zero = {"algorithm": "flow-bc", "action_selection": "noise-0"}
    evaluation = {"every": 20, "episodes": 2, "action_selections": ["noise-0"]}
    folders = finished(
        tasks=[BANDIT],
        algorithms={"flow-bc": {}, "from-zero": from_zero},
        evaluation=evaluation,
        seeds=1,
    )
    noisy, still = folders
    assert stored(still, 40, "noise-0") == stored(noisy, 40, "noise-0")
    assert stored(still, 40, "noise-0") != stored(noisy, 40, "noise-1")
    assert [len(stored(still, 20, name)) for name in ("noise-0", "noise-1")] == [2, 0]


def test_a_row_that_acts_otherwise_than_its_method_is_evaluated_again_with_the_same_noise(
    finished: Finished,
) -> None:
    halved = {"algorithm": "flow-bc", "action_selection": "noise-0.5"}
    evaluation = {"every": 40, "episodes": 2, "action_selections": ["noise-1"]}
    (folder,) = finished(
        tasks=[BANDIT], algorithms={"halved": halved}, evaluation=evaluation, seeds=1
    )
    run = open_run(folder)
    found = evaluate(run)
    assert found.action_selection == Policy(run).action_selection == "noise-0.5"
    assert found.returns == stored(folder, 40, "noise-0.5")
    assert evaluate(run, action_selection="noise-1").returns == stored(folder, 40, "noise-1")


def test_another_seed_is_another_evaluation(finished: Finished) -> None:
    folder, *_ = finished(tasks=[BANDIT], algorithms={"iql": {}})
    run = open_run(folder)
    returns = [evaluate(run, seed=seed, episodes=20).returns for seed in (1, 1, 2)]
    assert returns[0] == returns[1] != returns[2]


def test_it_acts_on_raw_observations_as_the_network_does_on_normal_ones(
    finished: Finished,
) -> None:
    """BC's network written out by hand, with the mean and deviation from the data's own files."""
    folder, *_ = finished(tasks=[BANDIT], algorithms={"bc": {}})
    checkpoint, _ = RunFolder(folder).read_checkpoint(open_run(folder).spec.hash)
    assert checkpoint is not None
    state, beside = checkpoint.state, checkpoint.preprocessing
    policy = Policy(open_run(folder))
    observations = np.random.default_rng(0).normal(2, 3, (5, len(beside["mean"])))
    x = (observations - beside["mean"]) * beside["scale"]
    for i in range(3):
        x = x @ state[f"params/actor/weight_{i}"][0] + state[f"params/actor/bias_{i}"][0]
        x = np.maximum(x, 0) if i < 2 else np.tanh(x)
    np.testing.assert_allclose(policy(observations), x, atol=1e-5)
    np.testing.assert_allclose(policy(observations[3]), x[3], atol=1e-5)


def test_mazes_dicts_are_unpacked_as_in_evaluation(finished: Finished) -> None:
    folder, *_ = finished(evaluation={"every": 40, "episodes": 1}, seeds=1)
    policy = Policy(open_run(folder))
    environment = policy.make_environment()
    flat, _ = environment.reset(seed=3)
    raw, _ = environment.unwrapped.reset(seed=3)
    assert isinstance(raw, dict)
    np.testing.assert_array_equal(policy(raw), policy(flat))
    environment.close()


def test_noise_is_of_the_seed_and_begins_anew_with_it(finished: Finished) -> None:
    folder, *_ = finished(tasks=[BANDIT], algorithms={"flow-bc": {}})
    run = open_run(folder)
    policy, other = Policy(run, seed=1), Policy(run, seed=2)
    observation = np.zeros(run.trained.algorithm.obs_dim)
    first, second = policy(observation), policy(observation)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other(observation))
    policy.reset()
    assert not np.array_equal(first, policy(observation))
    policy.reset(1)
    np.testing.assert_array_equal(first, policy(observation))


def test_a_policy_that_remembers_must_be_told_what_happened(finished: Finished) -> None:
    folder, *_ = finished(tasks=[BANDIT], algorithms={"dt": MANY["dt"]})
    run = open_run(folder)
    policy, observation = Policy(run), np.zeros(run.trained.algorithm.obs_dim)
    first = policy(observation)
    after = policy(observation, 1.0)
    with pytest.raises(UserError, match=r"policy\(observation, reward\)"):
        policy(observation)
    with pytest.raises(UserError, match=r"policy\.reset\(\) where episodes begin"):
        policy([observation, observation], 0.0)
    policy.reset()
    np.testing.assert_array_equal(first, policy(observation))
    assert not np.array_equal(after, policy(observation, -1.0))  # it wants to earn so much
    assert decision_milliseconds(policy) > 0


@pytest.mark.parametrize("shape", [(), (7,), (2, 7), (1, 2, 2)])
def test_an_observation_of_another_shape_is_refused(
    finished: Finished, shape: tuple[int, ...]
) -> None:
    folder, *_ = finished(tasks=[BANDIT])
    with pytest.raises(UserError, match=r"has shape \[\d+\], and a batch \[N, \d+\]; found"):
        Policy(open_run(folder))(np.zeros(shape))


def test_what_is_no_observation_or_reward_is_refused(finished: Finished) -> None:
    folder, *_ = finished(evaluation={"every": 40, "episodes": 1}, seeds=1)
    policy = Policy(open_run(folder))
    for observation, said in (
        (np.full(4, np.nan), r"has finite numbers; found \[nan, nan, nan, nan\]"),
        ([0.0, 0.0, np.inf, 0.0], r"has finite numbers; found \[0\.0, 0\.0, inf, 0\.0\]"),
        ("x", "is an array of numbers; found 'x'"),
        (None, r"has shape \[4\].*found \[\]"),
        ({"image": 1}, "is a dict as the environment gives it; found one with the keys image"),
        ({"observation": "x"}, "is a dict as the environment gives it"),
    ):
        with pytest.raises(UserError, match=said):
            policy(observation)  # type: ignore[arg-type]
    for reward in ("x", np.nan, [1.0, 2.0, 3.0]):
        with pytest.raises(UserError, match="A reward is a finite number, or one for each of 2"):
            policy(np.zeros((2, 4)), reward)  # type: ignore[arg-type]
    assert policy(np.zeros((2, 4)), [1.0, 2.0]).shape == (2, 2)  # type: ignore[arg-type]


def test_a_policy_whose_actions_are_not_finite_says_so(finished: Finished) -> None:
    folder, *_ = finished(evaluation={"every": 40, "episodes": 1}, seeds=1)
    run = open_run(folder)
    policy = Policy(run)

    def broken(*_: object) -> np.ndarray:
        raise DivergedError({0: "its policy's actions were not finite"})

    policy._act = broken
    with pytest.raises(UserError, match="seed 0, cannot act: its policy's actions were not finite"):
        policy(np.zeros(4))


def test_an_action_selection_that_it_lacks_is_refused(finished: Finished) -> None:
    folder, *_ = finished(tasks=[BANDIT])
    with pytest.raises(UserError, match="cannot act by 'best-of-4'"):
        Policy(open_run(folder), "best-of-4")
    with pytest.raises(UserError, match="'best' is no action selection"):
        Policy(open_run(folder), "best")


def _old(folder: Path) -> None:
    """Make the checkpoints what they were before they held the normalisation."""
    spec = json.loads((folder / "spec.json").read_text())
    for path in folder.glob("checkpoint*.safetensors"):
        found = Checkpoint.read(path, spec["hash"])
        assert found is not None
        Checkpoint(found.owner, found.step, found.state, found.tables).write(path)


def _without(folder: Path) -> None:
    for path in folder.glob("checkpoint*"):
        path.unlink()


def _damaged(folder: Path) -> None:
    for path in folder.glob("checkpoint*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])


def _packed(folder: Path) -> None:
    pack_suite(folder.parents[3])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_old, "has a checkpoint from before checkpoints held the normalisation"),
        (_without, "has no checkpoint yet"),
        (_damaged, "has no checkpoint that can be trusted"),
        (_packed, "is packed, and packed runs keep their numbers but not their networks"),
    ],
)
def test_a_run_that_cannot_act_says_why_and_how_to_train_it_again(
    finished: Finished,
    change: Callable[[Path], None],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, *_ = finished(tasks=[BANDIT])
    change(folder)
    with pytest.raises(UserError, match=reason) as refusal:
        open_run(folder)
    results = folder.parents[4]
    again = f"--only multimodal/modes-2-dim-2/bc --results {results} --fresh"
    assert str(refusal.value).endswith(again)
    monkeypatch.chdir(results.parent)  # where `results` is what a command takes by itself
    with pytest.raises(UserError) as refusal:
        open_run(folder)
    assert str(refusal.value).endswith("--only multimodal/modes-2-dim-2/bc --fresh")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text("{}")
    for path in (tmp_path / "empty", file):
        with pytest.raises(UserError, match="holds no run: give the folder of one"):
            open_run(path)


def test_code_that_has_changed_since_is_remarked(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, *_ = finished(tasks=[BANDIT])
    assert open_run(folder).remarks == ()
    monkeypatch.setattr("harness.policies.saved.code_digest", lambda _module: "another")
    monkeypatch.setattr("harness.policies.saved.ENGINE_VERSION", -1)
    code, engine = open_run(folder).remarks
    assert "The code of bc has changed" in code
    assert "today's is -1" in engine
