"""Making a dataset by its recipe, as a Minari dataset with a manifest, and checking its bytes."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.data import minari_format
from harness.data.store import (
    MANIFEST,
    DatasetFolder,
    appearing,
    lock,
    make_command,
    write_errors_explained,
)
from harness.tasks.spec import TaskSpec

_PACKAGES = ("gymnasium", "gymnasium-robotics", "h5py", "minari", "mujoco", "numpy")

# Hears (what is being done, steps done, steps in all).
Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Hears progress and says nothing."""


def make_dataset(
    task: TaskSpec,
    *,
    force: bool = False,
    workers: int | None = None,
    progress: Progress = silent,
) -> DatasetFolder:
    """Make the task's dataset unless it is there (`force`: even then); returns where it is.

    Raises UserError when the disk is full; nothing half-written is left behind then.
    """
    folder = DatasetFolder.of(task)
    with write_errors_explained(folder.path), lock(task.dataset.id):
        if force or not folder.exists:
            with appearing(folder.path) as partial:
                _write(task, partial, workers, progress)
            _describe_namespace(folder.path.parent)
    return folder


def _write(task: TaskSpec, folder: Path, workers: int | None, progress: Progress) -> None:
    from harness.data.recipes import pointmaze

    params = task.dataset.params
    maze, seed, transitions = str(params["maze"]), params["seed"], params["transitions"]
    assert isinstance(seed, int)
    assert isinstance(transitions, int)
    what = f"making {task.dataset.id}"
    progress(what, 0, transitions)
    shards = pointmaze.shards(
        maze,
        transitions,
        seed,
        workers=workers,
        progress=lambda done: progress(what, done, transitions),
    )
    episodes = (episode for shard in shards for episode in shard.episodes())
    data = folder / "data"
    summary = minari_format.write(data, episodes)
    (data / "metadata.json").write_text(json.dumps(_metadata(task, summary), indent=1))
    manifest = {
        "dataset": task.dataset.model_dump(mode="json", exclude={"rewards"}),
        "constants": {"action_noise": pointmaze.ACTION_NOISE, "shard": pointmaze.SHARD_STEPS},
        "versions": _versions(),
        **summary,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def check_arrays(
    task: TaskSpec, manifest: dict[str, Any], digests: minari_format.Digests
) -> list[str]:
    """One sentence for every digested array that is not what the manifest says."""
    path = DatasetFolder.of(task).data / minari_format.DATA_FILE
    found, problems = digests.summary(), []
    for name, expected in manifest["arrays"].items():
        if name in found and found[name] != expected:
            problems.append(mismatch(task, path, name, expected["sha256"], found[name]["sha256"]))
    return problems


def mismatch(task: TaskSpec, path: Path, array: str, expected: str, found: str) -> str:
    """The message for bytes that are not those of the manifest."""
    return (
        f"{path}: '{array}' is not what its manifest says (sha256 expected {expected[:16]}…, "
        f"found {found[:16]}…). Remake it with: {make_command(task, force=True)}"
    )


def unreadable(task: TaskSpec, path: Path, error: Exception) -> str:
    """The message for a data file that is damaged or gone."""
    return f"{path} cannot be read ({error}). Remake it with: {make_command(task, force=True)}"


def read_checked(
    task: TaskSpec, names: Iterable[str], digests: minari_format.Digests
) -> Iterable[minari_format.EpisodeArrays]:
    """The named arrays episode by episode, digested on the way."""
    for episode in minari_format.read(DatasetFolder.of(task).data, names):
        for name, array in episode.items():
            digests.add(name, array)
        yield episode


def _metadata(task: TaskSpec, summary: dict[str, Any]) -> dict[str, Any]:
    from minari.serialization import serialize_space

    from harness.data.recipes.point_physics import collection_environment
    from harness.data.recipes.pointmaze import ACTION_NOISE
    from harness.tasks.environment import make_unwrapped
    from harness.tasks.mazes import MAZES

    maze = MAZES[str(task.dataset.params["maze"])]
    collection = make_unwrapped(collection_environment(maze), maze.horizon)
    evaluation = make_unwrapped(task.environment, task.horizon)
    assert collection.spec is not None
    assert evaluation.spec is not None
    versions = _versions()
    made_with = ", ".join(f"{name} {versions[name]}" for name in _PACKAGES)
    return {
        "total_episodes": summary["episodes"],
        "total_steps": summary["steps"],
        "data_format": "hdf5",
        "jpeg_encoding": True,
        "observation_space": serialize_space(collection.observation_space),
        "action_space": serialize_space(collection.action_space),
        "env_spec": collection.spec.to_json(),
        "eval_env_spec": evaluation.spec.to_json(),
        "dataset_size": round(summary["bytes"] / 1e6, 1),
        "dataset_id": task.dataset.id,
        "algorithm_name": "waypoint controller (breadth-first plan, PD law)",
        "author": ["made on this machine by decision-flow-harness"],
        "description": (
            "LOCAL, not a download of the public dataset: D4RL's maze2d recipe rerun in "
            f"gymnasium-robotics' {maze.title} maze, {summary['steps']} steps, action noise "
            f"N(0, {ACTION_NOISE}^2), seed {task.dataset.params['seed']}. A new goal on arrival "
            "or after the horizon, no reset in between; every goal-to-goal piece is one episode "
            f"that ends in a truncation. Made with {made_with}."
        ),
        "minari_version": versions["minari"],
        "ref_min_score": task.reference.min,
        "ref_max_score": task.reference.max,
        "requirements": [f"{name}>={versions[name]}" for name in ("gymnasium-robotics", "mujoco")],
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def _describe_namespace(folder: Path) -> None:
    """Minari expects a description in every namespace folder."""
    path = folder / "namespace_metadata.json"
    if not path.exists():
        path.write_text(json.dumps({"description": "made locally by decision-flow-harness"}))
