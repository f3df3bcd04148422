"""What the recipe writes, read back by Minari itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import minari
import numpy as np
import pytest

from harness.data.recipes import pointmaze
from harness.tasks import TaskSpec
from harness.tasks.mazes import MAZES


@pytest.fixture
def dataset(made: Path, task: TaskSpec, monkeypatch: pytest.MonkeyPatch) -> minari.MinariDataset:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(made / "minari"))
    return minari.load_dataset(task.dataset.id)


def test_minari_reads_every_array_as_it_was_made(dataset: minari.MinariDataset) -> None:
    episodes = list(pointmaze.drive(MAZES["umaze"], 0, 0, dataset.total_steps).episodes())
    assert dataset.total_steps == 1500
    assert dataset.total_episodes == len(episodes)
    for found, expected in zip(dataset, episodes, strict=True):
        read = {
            **{f"observations/{name}": array for name, array in found.observations.items()},
            **{f"infos/{name}": array for name, array in found.infos.items()},
            "actions": found.actions,
            "rewards": found.rewards,
            "terminations": found.terminations,
            "truncations": found.truncations,
        }
        assert read.keys() == expected.keys()
        for name, array in expected.items():
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name], array)


def test_minari_lists_it_with_its_description_and_reference_scores(
    dataset: minari.MinariDataset, task: TaskSpec
) -> None:
    metadata = minari.list_local_datasets()[task.dataset.id]
    assert "LOCAL, not a download" in str(metadata["description"])
    assert "seed 0" in str(metadata["description"])
    assert minari.get_normalized_score(dataset, task.reference.max) == 1.0
    assert minari.get_normalized_score(dataset, task.reference.min) == 0.0


def test_minari_recovers_both_environments(dataset: minari.MinariDataset) -> None:
    collection = dataset.recover_environment()
    evaluation = dataset.recover_environment(eval_env=True)
    assert dataset.observation_space == collection.observation_space
    assert dataset.action_space == collection.action_space
    assert len(collection.unwrapped.maze.unique_goal_locations) == 7
    goals = [goal.tolist() for goal in evaluation.unwrapped.maze.unique_goal_locations]
    assert goals == [[-1.0, 1.0]]
    assert evaluation.spec.max_episode_steps == 300


def test_the_manifest_holds_the_hash_of_every_array(
    dataset: minari.MinariDataset, made: Path, task: TaskSpec
) -> None:
    manifest = json.loads((made / "minari" / task.dataset.id / "manifest.json").read_text())
    actions = np.concatenate([episode.actions for episode in dataset])
    states = np.concatenate([episode.observations["observation"] for episode in dataset])
    arrays = manifest["arrays"]
    assert arrays["actions"]["sha256"] == hashlib.sha256(actions.tobytes()).hexdigest()
    assert arrays["actions"]["shape"] == [1500, 2]
    digest = hashlib.sha256(states.tobytes()).hexdigest()
    assert arrays["observations/observation"]["sha256"] == digest
    assert len(arrays) == 11
    assert manifest["versions"]["minari"] == minari.__version__
