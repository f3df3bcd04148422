"""Making a dataset by its recipe, as a Minari dataset with a manifest, and checking its bytes."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from harness.data import dataset_lock, minari_format
from harness.data.checks.incoming import checked
from harness.data.recipe import Recipe, recipe_of
from harness.data.store import (
    MANIFEST,
    DatasetFolder,
    appearing,
    data_root,
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

    Raises UserError when the disk is full, or when the lock file has other bytes for the same id;
    nothing half-written is left behind then, and what was there stays.
    """
    folder = DatasetFolder.of(task)
    with write_errors_explained(folder.path), lock(task.dataset.id):
        if force or not folder.exists:
            with appearing(folder.path) as partial:
                arrays = _write(task, partial, workers, progress)
                dataset_lock.admit(task.dataset.id, arrays)
            _describe_namespaces(task.dataset.id)
    return folder


def _write(task: TaskSpec, folder: Path, workers: int | None, progress: Progress) -> dict[str, Any]:
    """Write data, metadata and manifest; returns the digests of the arrays."""
    recipe, what = recipe_of(task), f"making {task.dataset.id}"
    asked = task.dataset.params.get("transitions")

    def heard(done: int) -> None:
        # An import may not know how many steps there are.
        progress(what, done, asked if isinstance(asked, int) else done + 1)

    recipe.prepare(task, progress)
    heard(0)
    episodes = recipe.episodes(task, workers, heard)
    data = folder / "data"
    summary = minari_format.write(data, checked(task.dataset.id, episodes))
    progress(what, summary["steps"], summary["steps"])
    (data / "metadata.json").write_text(json.dumps(_metadata(task, recipe, summary), indent=1))
    manifest = {
        "dataset": task.dataset.model_dump(mode="json", exclude={"rewards"}),
        "constants": recipe.constants(task),
        "versions": _versions(),
        **summary,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    arrays: dict[str, Any] = summary["arrays"]
    return arrays


def another_dataset(task: TaskSpec, manifest: dict[str, Any]) -> list[str]:
    """One sentence for everything in which the folder's dataset is not the one the task names.

    The same id from another version of its recipe is another dataset.
    """
    path, asked = DatasetFolder.of(task).path, task.dataset.model_dump(mode="json")
    return [
        f"{path} holds another dataset than {task.dataset.id}: its {key} is "
        f"{manifest['dataset'].get(key)!r} and not {value!r}. Move it away, and make the right one "
        f"with: {make_command(task)}"
        for key, value in asked.items()
        if key != "rewards" and manifest["dataset"].get(key) != value
    ]


def check_arrays(
    task: TaskSpec, manifest: dict[str, Any], digests: minari_format.Digests
) -> list[str]:
    """One sentence for every digested array that is not what the manifest says.

    Arrays whose episodes are all there, but in another order, share one.
    """
    path = DatasetFolder.of(task).data / minari_format.DATA_FILE
    remake, found = make_command(task, force=True), digests.summary()
    problems, reordered = [], []
    for name, expected in manifest["arrays"].items():
        if name not in found or expected.items() <= found[name].items():
            continue
        if expected.get("any_order") == found[name]["any_order"]:
            reordered.append(name)
        else:
            sha256 = found[name]["sha256"]
            problems.append(mismatch(path, name, expected["sha256"], sha256, remake))
    if reordered:
        problems.append(
            f"{path}: the episodes of {', '.join(reordered)} are in another order than its "
            f"manifest says: some were exchanged. Remake it with: {remake}"
        )
    return problems


def mismatch(path: Path, array: str, expected: str, found: str, remake: str) -> str:
    """The message for bytes that are not those of the manifest."""
    return (
        f"{path}: '{array}' is not what its manifest says (sha256 expected {expected[:16]}…, "
        f"found {found[:16]}…). Remake it with: {remake}"
    )


def unreadable(path: Path, error: Exception, remake: str) -> str:
    """The message for a data file that is damaged or gone."""
    return f"{path} cannot be read ({error}). Remake it with: {remake}"


def read_checked(
    task: TaskSpec, names: Iterable[str], digests: minari_format.Digests
) -> Iterable[minari_format.EpisodeArrays]:
    """The named arrays episode by episode, digested on the way."""
    for episode in minari_format.read(DatasetFolder.of(task).data, names):
        for name, array in episode.items():
            digests.add(name, array)
        yield episode


def _metadata(task: TaskSpec, recipe: Recipe, summary: dict[str, Any]) -> dict[str, Any]:
    from minari.serialization import serialize_space

    from harness.tasks.environment import make_unwrapped

    origin = recipe.origin(task)
    evaluation = make_unwrapped(task.environment, task.horizon)
    assert origin.environment.spec is not None
    assert evaluation.spec is not None
    versions = _versions()
    made_with = ", ".join(f"{name} {versions[name]}" for name in _PACKAGES)
    return {
        "total_episodes": summary["episodes"],
        "total_steps": summary["steps"],
        "data_format": "hdf5",
        "jpeg_encoding": True,
        "observation_space": serialize_space(origin.environment.observation_space),
        "action_space": serialize_space(origin.environment.action_space),
        "env_spec": origin.environment.spec.to_json(),
        "eval_env_spec": evaluation.spec.to_json(),
        "dataset_size": round(summary["bytes"] / 1e6, 1),
        "dataset_id": task.dataset.id,
        "algorithm_name": origin.algorithm,
        "author": ["made on this machine by decision-flow-harness"],
        "description": f"{origin.text} Made with {made_with}.",
        "minari_version": versions["minari"],
        "ref_min_score": task.reference.min,
        "ref_max_score": task.reference.max,
        "requirements": [f"{name}>={versions[name]}" for name in origin.requirements],
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def _describe_namespaces(dataset_id: str) -> None:
    """Minari expects a description in every namespace folder."""
    for namespace in list(PurePosixPath(dataset_id).parents)[:-1]:
        path = data_root() / "minari" / namespace / "namespace_metadata.json"
        if not path.exists():
            path.write_text(json.dumps({"description": "made locally by decision-flow-harness"}))
