"""`ensure` and `verify`: the rows, their hashes, and what happens when something goes wrong."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from harness import data
from harness.data import datasets
from harness.errors import UserError
from harness.files import temporary_of
from harness.tasks import TaskSpec, get_task, make_environment


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def flip_a_byte(path: Path, offset: int = -100) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_same_seed_writes_the_same_bytes_in_every_file(
    made: Path, task: TaskSpec, root: Path
) -> None:
    data.ensure(task)
    assert hashes(root) == hashes(made)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("kind", ["", "-dense"])
def test_rewards_are_the_evaluation_environments_mean_over_the_goals_it_draws(
    task: TaskSpec, kind: str
) -> None:
    task = get_task(task.id + kind, {"transitions": 1500})
    rows = data.ensure(task).transitions
    env = make_environment(task).unwrapped
    goals = []
    for seed in range(2000):
        env.reset(seed=seed)
        goals.append(env.goal)  # type: ignore[attr-defined]
    positions = rows.next_observations[::10, None, :2].astype(np.float64)
    drawn = env.compute_reward(positions, np.array(goals), {})  # type: ignore[attr-defined]
    # Four standard errors of 2000 draws of a number between 0 and 1, at most.
    np.testing.assert_allclose(rows.rewards[::10], drawn.mean(1), atol=4 * 0.5 / 2000**0.5)
    assert 0 < rows.rewards.mean() < 1


@pytest.mark.usefixtures("made")
def test_rows_follow_one_another_and_only_time_ends_an_episode(task: TaskSpec) -> None:
    rows = data.ensure(task).transitions
    assert (len(rows), rows.obs_dim, rows.action_dim) == (1500, 4, 2)
    np.testing.assert_array_equal(rows.next_observations[:-1], rows.observations[1:])
    assert not rows.terminals.any()
    assert rows.timeouts[-1] == 1
    assert 5 < rows.timeouts.sum() < 50


@pytest.mark.usefixtures("made")
def test_rows_can_be_written_to_without_reaching_the_file(task: TaskSpec) -> None:
    loaded = data.ensure(task)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns about arrays that cannot be written
        torch.from_numpy(loaded.transitions.rows)[:] = 0
    again = data.ensure(task)
    assert again.sha256 == loaded.sha256
    assert again.transitions.actions.any()


@pytest.mark.usefixtures("made")
def test_the_hash_covers_the_rows(task: TaskSpec) -> None:
    loaded = data.ensure(task)
    assert loaded.sha256 == hashlib.sha256(loaded.transitions.rows.tobytes()).hexdigest()
    assert loaded.manifest["dataset"]["dataset"]["params"]["seed"] == 0
    assert data.verify(task) == []


def test_missing_data_are_not_made_unasked(root: Path, task: TaskSpec) -> None:
    with pytest.raises(UserError, match="data make pointmaze/umaze-1500-v0"):
        data.ensure(task, make=False)
    assert not root.exists()
    assert "is not made" in data.verify(task)[0]


def test_damaged_rows_are_refused_and_made_again_by_force(root: Path, task: TaskSpec) -> None:
    sound = data.ensure(task)
    (rows,) = root.glob("cache/*/rows.npy")
    flip_a_byte(rows)
    complaint = f"{rows}: 'rows' .* expected {sound.sha256[:16]}.*data make .*-1500-v0 --force"
    with pytest.raises(UserError, match=complaint):
        data.ensure(task)
    assert len(data.verify(task)) == 1
    assert data.prepare(task, force=True).sha256 == sound.sha256
    assert data.verify(task) == []


@pytest.mark.parametrize("damage", ["cut", "gone", "not an array", "Python objects"])
def test_rows_that_cannot_be_read_are_explained(root: Path, task: TaskSpec, damage: str) -> None:
    data.ensure(task)
    (rows,) = root.glob("cache/*/rows.npy")
    objects = io.BytesIO()
    np.save(objects, np.array([{}]), allow_pickle=True)
    contents = {"cut": rows.read_bytes()[:-500], "not an array": b"rows"}
    content = (contents | {"Python objects": objects.getvalue()}).get(damage)
    rows.unlink() if content is None else rows.write_bytes(content)
    with pytest.raises(UserError, match=r"rows.npy cannot be read.*--force"):
        data.ensure(task)


def test_a_damaged_dataset_is_found_before_it_is_packed(root: Path, task: TaskSpec) -> None:
    folder = datasets.make_dataset(task)
    path = folder.data / "main_data.hdf5"
    with h5py.File(path) as file:
        offset = file["episode_0/actions"].id.get_offset()
    flip_a_byte(path, offset)
    with pytest.raises(UserError, match=r"main_data.hdf5: 'actions' is not what its manifest"):
        data.ensure(task)
    assert not list(root.glob("cache/*"))
    bytes_differ, *_ = data.verify(task)
    assert "'actions' is not what its manifest" in bytes_differ
    assert "--force" in bytes_differ


def test_a_dataset_cut_short_is_explained(root: Path, task: TaskSpec) -> None:
    file = datasets.make_dataset(task).data / "main_data.hdf5"
    file.write_bytes(file.read_bytes()[:20_000])
    with pytest.raises(UserError, match=r"cannot be read.*--force"):
        data.ensure(task)
    (problem,) = data.verify(task)
    assert "main_data.hdf5 is cut short: it has 20,000 bytes" in problem
    assert "--force" in problem
    assert not list(root.glob("cache/*"))


def test_an_unreadable_manifest_is_explained(root: Path, task: TaskSpec) -> None:
    data.ensure(task)
    (root / "minari" / task.dataset.id / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest.json cannot be read.*Delete the folder"):
        data.ensure(task)


ENSURE = """
import resource, sys
from harness import data
from harness.errors import UserError
from harness.files import temporary_of
from harness.tasks import get_task
if limit := int(sys.argv[1]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    print(data.ensure(get_task("pointmaze/umaze", {"transitions": 1500})).sha256)
except UserError as error:
    print("user error:", error)
"""


def ensure_in_a_process(limit: int = 0) -> subprocess.Popen[str]:
    """`limit` is the largest file it can write, in bytes: to a process, a disk that is full."""
    command = [sys.executable, "-c", ENSURE, str(limit)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors == ""
    return output


@pytest.mark.parametrize("dataset_there", [False, True])
def test_a_full_disk_is_explained_and_leaves_nothing_half_written(
    root: Path, task: TaskSpec, dataset_there: bool
) -> None:
    if dataset_there:
        datasets.make_dataset(task)  # so that the rows are what finds no room
    before = hashes(root)
    output = finished(ensure_in_a_process(limit=50_000))
    assert "could not be written: File too large. Nothing half-written was left" in output
    assert ("/cache/" in output) == dataset_there
    after = {name: digest for name, digest in hashes(root).items() if "locks/" not in name}
    assert after == {name: digest for name, digest in before.items() if "locks/" not in name}


def test_a_disk_that_fills_with_the_last_file_leaves_no_dataset_without_it(
    root: Path, task: TaskSpec
) -> None:
    """Minari reads a description in every folder above a dataset."""
    description = root / "minari" / "pointmaze" / "namespace_metadata.json"
    description.parent.mkdir(parents=True)
    full = temporary_of(description)
    full.symlink_to("/dev/full")  # every write to it: no space left
    with pytest.raises(UserError, match="could not be written: No space left"):
        data.ensure(task)
    assert [path.name for path in description.parent.iterdir()] == []
    data.ensure(task)
    assert json.loads(description.read_text())["description"]


def test_a_data_folder_that_is_none_is_explained(root: Path, task: TaskSpec) -> None:
    root.write_text("")
    with pytest.raises(UserError, match=r"could not be written: Not a directory.*HARNESS_DATA"):
        data.ensure(task)


def test_processes_that_need_the_same_data_make_them_once(root: Path, task: TaskSpec) -> None:
    processes = [ensure_in_a_process() for _ in range(2)]
    assert {finished(process) for process in processes} == {f"{data.ensure(task).sha256}\n"}
    assert len(list(root.glob("cache/*"))) == 1


def test_rows_may_lie_on_a_disk_of_each_nodes_own(
    root: Path, task: TaskSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_CACHE", raising=False)
    shared = data.ensure(task).sha256
    before = sorted(root.rglob("*"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "node"))
    processes = [ensure_in_a_process() for _ in range(2)]
    assert {finished(process) for process in processes} == {f"{shared}\n"}
    assert len(list((tmp_path / "node").rglob("rows.npy"))) == 1
    assert list((tmp_path / "node" / "locks").iterdir())  # nodes do not wait for each other
    assert sorted(root.rglob("*")) == before


def test_a_node_without_rows_knows_what_they_are_where_another_has_packed_them(
    root: Path, task: TaskSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that `plan` and `run --dry-run` recognise finished runs there, and make nothing."""
    assert data.packed_rows(task) is None
    packed = data.ensure(task).sha256
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "node"))
    found = data.packed_rows(task)
    assert found is not None
    assert found["rows"]["sha256"] == packed
    assert not (tmp_path / "node").exists()
    data.prepare(task, force=True)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "other"))
    assert data.packed_rows(task) == found


def test_a_killed_writer_leaves_nothing_that_is_taken_for_data(root: Path, task: TaskSpec) -> None:
    writer = ensure_in_a_process()
    partial = root / "minari/pointmaze/.umaze-1500-v0.partial"
    deadline = time.monotonic() + 30
    while not partial.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    writer.kill()
    writer.communicate()
    assert partial.exists()
    with pytest.raises(UserError, match="not made yet"):
        data.ensure(task, make=False)
    assert data.verify(task) != []
    data.ensure(task)
    assert data.verify(task) == []
    assert not partial.exists()


def test_an_interrupted_writer_leaves_nothing(root: Path, task: TaskSpec) -> None:
    def interrupt(_what: str, done: int, _total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        data.ensure(task, progress=interrupt)
    assert list(root.glob("minari/**/*.partial")) == []
    data.ensure(task)
