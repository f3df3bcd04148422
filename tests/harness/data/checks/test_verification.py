"""`data verify`: damage of every kind is found and named, also where the manifest agrees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from harness import data
from harness.data import dataset_lock, minari_format
from harness.data.checks.published import published, published_counts
from harness.data.minari_format import EpisodeArrays
from harness.data.store import DatasetFolder
from harness.errors import UserError
from harness.tasks import TaskSpec, get_task

Change = Callable[[list[EpisodeArrays]], Any]


def make_wrong(task: TaskSpec, change: Change, *, keep_lock: bool = False) -> None:
    """Replace the dataset by changed episodes whose manifest (and lock file) agree with them."""
    folder = DatasetFolder.of(task)
    manifest = folder.manifest()
    episodes = [dict(each) for each in minari_format.read(folder.data, manifest["arrays"])]
    change(episodes)
    (folder.data / minari_format.DATA_FILE).rename(folder.path / "sound.hdf5")
    summary = minari_format.write(folder.path / "written", episodes)
    written = folder.path / "written" / minari_format.DATA_FILE
    written.rename(folder.data / minari_format.DATA_FILE)
    (folder.path / "manifest.json").write_text(json.dumps(manifest | summary))
    if not keep_lock:
        dataset_lock.lock_file().unlink()
        dataset_lock.admit(task.dataset.id, summary["arrays"])


@pytest.fixture
def made_task(root: Path, task: TaskSpec) -> TaskSpec:
    """The small task, its data made (in `root`)."""
    data.prepare(task, workers=1)
    assert root.exists()
    return task


def exchange(task: TaskSpec, first: int, second: int, *, relabel: bool) -> None:
    """Two episodes of the data file change places."""
    with h5py.File(DatasetFolder.of(task).data / minari_format.DATA_FILE, "r+") as file:
        file.move(f"episode_{first}", "aside")
        file.move(f"episode_{second}", f"episode_{first}")
        file.move("aside", f"episode_{second}")
        if relabel:
            for number in (first, second):
                file[f"episode_{number}"].attrs["id"] = number


def test_exchanged_episodes_are_named(made_task: TaskSpec) -> None:
    exchange(made_task, 1, 3, relabel=False)
    order, label = data.verify(made_task)
    assert "are in another order than its manifest says: some were exchanged" in order
    assert "'actions'" not in order
    assert "actions" in order
    assert "where episode 1 should be" in label
    assert "says that it is episode 3" in label


def test_exchanged_episodes_are_found_by_their_order_alone(made_task: TaskSpec) -> None:
    exchange(made_task, 1, 3, relabel=True)
    assert any("in another order" in line for line in data.verify(made_task))


def test_data_replaced_together_with_their_manifest_are_found_by_the_lock_file(
    made_task: TaskSpec,
) -> None:
    def swap(episodes: list[EpisodeArrays]) -> None:
        episodes[1], episodes[3] = episodes[3], episodes[1]

    make_wrong(made_task, swap, keep_lock=True)
    problem = data.verify(made_task)[0]
    assert "is another version than the one first recorded here" in problem
    assert str(dataset_lock.lock_file()) in problem
    with pytest.raises(UserError, match="another version"):
        data.ensure(made_task)


def test_remaking_with_other_bytes_is_refused_and_keeps_what_was_there(
    made_task: TaskSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.data.recipes.pointmaze.ACTION_NOISE", 0.25)
    with pytest.raises(UserError, match=r"another version.*delete the entry 'pointmaze/umaze-1500"):
        data.prepare(made_task, force=True, workers=1)
    assert data.verify(made_task) == []
    dataset_lock.lock_file().write_text("{}")  # as the message says
    data.prepare(made_task, force=True, workers=1)
    assert data.verify(made_task) == []


def test_an_entry_that_is_missing_is_said_and_recorded_when_asked(made_task: TaskSpec) -> None:
    dataset_lock.lock_file().unlink()
    (problem,) = data.verify(made_task)
    assert "has no entry for pointmaze/umaze-1500-v0" in problem
    assert not dataset_lock.lock_file().exists()  # verifying records nothing
    data.prepare(made_task)
    assert data.verify(made_task) == []


def test_a_lock_file_that_cannot_be_read_is_explained(made_task: TaskSpec) -> None:
    dataset_lock.lock_file().write_text("{")
    assert "datasets.lock.json cannot be read" in data.verify(made_task)[0]
    with pytest.raises(UserError, match="cannot be read"):
        data.ensure(made_task)


def test_many_writers_lose_no_entry(root: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def admit(number: int) -> None:
        dataset_lock.admit(f"local/{number}-v0", {"actions": {"sha256": str(number)}})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(admit, range(24)))
    entries = json.loads((root / "datasets.lock.json").read_text())
    assert entries == {f"local/{number}-v0": {"actions": str(number)} for number in range(24)}


def test_a_folder_with_another_dataset_is_named(made_task: TaskSpec) -> None:
    other = get_task("pointmaze/umaze", {"transitions": 1500, "data_seed": 3})
    DatasetFolder.of(made_task).path.rename(DatasetFolder.of(other).path)
    found = "\n".join(data.verify(other))
    assert "holds another dataset than pointmaze/umaze-1500-seed3-v0" in found
    with pytest.raises(UserError, match="holds another dataset"):
        data.ensure(other)
    (told,) = data.changed([other])
    assert told in found
    assert "was made with another id and another 'seed'. Give the task another id;" in told


def test_a_maze_that_was_changed_under_its_id_is_told_in_a_line(made_task: TaskSpec) -> None:
    """Of the whole maze only the name is said."""
    assert data.changed([made_task]) == []
    params = {**made_task.dataset.params, "layout": ["####", "#G #", "####"]}
    changed = made_task.dataset.model_copy(update={"params": params})
    (told,) = data.changed([made_task.model_copy(update={"dataset": changed})])
    assert "it was made with another 'layout'. Give the task another id; or move" in told
    assert f"delete the entry '{made_task.dataset.id}' from " in told
    assert told.endswith(f"with: python -m harness data make {made_task.dataset.id}")


def test_metadata_that_are_damaged_or_of_other_data_are_named(made_task: TaskSpec) -> None:
    path = DatasetFolder.of(made_task).data / "metadata.json"
    metadata = path.read_text()
    path.write_text(metadata.replace('"total_steps": 1500', '"total_steps": 1501'))
    (problem,) = data.verify(made_task)
    assert "metadata.json says 1,501 steps, and the manifest 1,500" in problem
    path.write_text(metadata[:100])
    (problem,) = data.verify(made_task)
    assert "cannot be read" in problem
    assert "--force" in problem


def nan(episodes: list[EpisodeArrays]) -> None:
    episodes[2]["observations/observation"][7, 1] = np.nan


def large_action(episodes: list[EpisodeArrays]) -> None:
    episodes[2]["actions"][7, 1] = 1.5


def early_end(episodes: list[EpisodeArrays]) -> None:
    episodes[2]["truncations"][7] = True


def both_ends(episodes: list[EpisodeArrays]) -> None:
    episodes[2]["terminations"][-1] = True


def no_end(episodes: list[EpisodeArrays]) -> None:
    episodes[2]["truncations"][-1] = False


def lost_step(episodes: list[EpisodeArrays]) -> None:
    episodes[2]["rewards"] = episodes[2]["rewards"][:-1]


def joined(episodes: list[EpisodeArrays]) -> None:
    """All episodes as one, of 1500 steps; this maze stops after 300."""
    names = list(episodes[0])
    whole = {}
    for name in names:
        cut = [e[name] if len(e[name]) == len(e["actions"]) else e[name][:-1] for e in episodes]
        whole[name] = np.concatenate(cut)
        if len(episodes[-1][name]) != len(episodes[-1]["actions"]):
            whole[name] = np.concatenate([whole[name], episodes[-1][name][-1:]])
    whole["truncations"][:-1] = False
    episodes[:] = [whole]


def wrong_reward(episodes: list[EpisodeArrays]) -> None:
    episodes[2]["rewards"][7] = 1 - episodes[2]["rewards"][7]


def narrow(episodes: list[EpisodeArrays]) -> None:
    for episode in episodes:
        episode["actions"] = np.tile(episode["actions"][:, :1], 3)


def two_steps_exchanged(episodes: list[EpisodeArrays]) -> None:
    # All arrays of observations, so that each by itself still makes sense.
    for name in ("observations/observation", "observations/achieved_goal"):
        episodes[2][name][[10, 30]] = episodes[2][name][[30, 10]]


def in_a_wall(episodes: list[EpisodeArrays]) -> None:
    # The middle of the U is a wall.
    for name in ("observations/observation", "observations/achieved_goal"):
        episodes[2][name][:, 0] -= episodes[2][name][0, 0] + 0.5
        episodes[2][name][:, 1] -= episodes[2][name][0, 1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (nan, "episode 2 has a NaN or an infinite number in row 7 of 'observations/observation'"),
        (large_action, "episode 2 has 1.5 in row 7 of 'actions', outside its space"),
        (early_end, "episode 2 goes on after its end at step 7"),
        (both_ends, "episode 2 is terminated and truncated at once"),
        (no_end, "episode 2 ends without a termination or truncation at its last step"),
        (lost_step, "rows of 'rewards' for"),
        (joined, "episode 0 has 1500 steps, where PointMaze_UMaze-v3 stops after 300"),
        (wrong_reward, "at step 7, where its goal says otherwise"),
        (narrow, "episode 0 has 'actions' of float32 [3], where its space has float32 [2]"),
        (two_steps_exchanged, "step 9 of episode 2 jumps"),
        (in_a_wall, "step 0 of episode 2 is inside a wall, at (-0.50, 0.00)"),
    ],
)
def test_wrong_content_is_named_though_every_hash_agrees(
    made_task: TaskSpec, change: Change, sentence: str
) -> None:
    make_wrong(made_task, change)
    problems = data.verify(made_task)
    assert any(sentence in problem for problem in problems), problems
    assert all("data make" in problem for problem in problems)


def test_rows_that_their_dataset_does_not_make_are_named(root: Path, made_task: TaskSpec) -> None:
    import hashlib

    (folder,) = (root / "cache").glob("*")
    rows = np.load(folder / "rows.npy")
    rows[3, 4] = 0.0  # an action
    np.save(folder / "rows.npy", rows)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["rows"]["sha256"] = hashlib.sha256(rows.tobytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (problem,) = data.verify(made_task)
    assert "the rows are not those that its dataset makes" in problem


def test_python_objects_in_a_dataset_are_refused(made_task: TaskSpec) -> None:
    path = DatasetFolder.of(made_task).data / minari_format.DATA_FILE
    with h5py.File(path, "r+") as file:
        steps = len(file["episode_0/rewards"])
        del file["episode_0/rewards"]
        file["episode_0"].create_dataset("rewards", data=["1"] * steps, dtype=h5py.string_dtype())
    with pytest.raises(UserError, match=r"'rewards' of episode_0 holds Python objects"):
        list(minari_format.read(path.parent, ["rewards"]))
    manifest = DatasetFolder.of(made_task).manifest() | {"bytes": path.stat().st_size}
    (DatasetFolder.of(made_task).path / "manifest.json").write_text(json.dumps(manifest))
    (problem,) = data.verify(made_task)
    assert "objects are never loaded from a dataset" in problem


def public(dataset_id: str, **params: Any) -> TaskSpec:
    task = get_task("local/door/human")
    dataset = task.dataset.model_copy(update={"id": dataset_id, "params": params})
    return task.model_copy(update={"dataset": dataset})


def test_counts_are_compared_with_the_published_ones() -> None:
    # 6,729 steps of 25 demonstrations: DAPG's, in every version.
    assert published_counts(public("D4RL/door/human-v2"), 6729, 25) == []
    (problem,) = published_counts(public("D4RL/door/human-v2"), 6728, 25)
    assert "it has 6,728 steps, and D4RL/door/human-v2 is published with 6,729" in problem


def test_parts_mixtures_and_local_data_have_no_published_size() -> None:
    assert published(public("D4RL/door/human-v2", transitions=1000)) == {}
    assert published(get_task("local/door/human")) == {}
    both = public("gym/x-v0", datasets=["D4RL/door/human-v2", "D4RL/door/expert-v2"])
    assert published_counts(both, 5, 1) == []
