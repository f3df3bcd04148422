"""Making a dataset by its recipe, as a Minari dataset with a manifest, and checking its bytes."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from harness.data import dataset_lock, minari_format
from harness.data.checks.incoming import NOTHING_TAKEN, Intake
from harness.data.checks.rows import environment_dims
from harness.data.recipe import Recipe, recipe_of
from harness.data.remarks import remarks
from harness.data.sources import download_lock
from harness.data.sources.download_lock import SourceFile
from harness.data.store import (
    MANIFEST,
    DatasetFolder,
    appearing,
    data_root,
    lock,
    make_command,
    write_errors_explained,
)
from harness.errors import UserError
from harness.files import write_json
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

    What is odd about it goes to stderr, and so does every entry of a lock file that is replaced,
    which `force` does for a dataset that is made of files. Raises UserError for data that cannot be
    trained on, when the disk is full, or when a lock file has other bytes; then no lock file knows
    of it, nothing half-written is left behind, and what was there stays.
    """
    folder, anew = DatasetFolder.of(task), make_command(task, force=True)
    with write_errors_explained(folder.path), lock(task.dataset.id):
        if force or not folder.exists:
            files = recipe_of(task).sources(task)
            digests = download_lock.check(files, anew, taken_anew=force)
            with appearing(folder.path) as partial:
                manifest = _write(task, partial, workers, progress, files, digests)
                replaced = dataset_lock.admit(
                    task.dataset.id,
                    manifest["arrays"],
                    anew=anew if files else "",
                    taken_anew=force,
                )
                _describe_namespaces(task.dataset.id)
            replaced += download_lock.record(files, digests)
            for line in [*replaced, *(f"warning: {odd}" for odd in remarks(manifest).values())]:
                print(line, file=sys.stderr, flush=True)
    return folder


def changed_sources(task: TaskSpec) -> list[str]:
    """A sentence on every file that is not what the dataset, which exists, was made of.

    Files that are gone since are not missed.
    """
    folder = DatasetFolder.of(task)
    known = folder.manifest().get("sources")
    if not known:  # made here, or by a version that did not record them
        return []
    try:
        files = recipe_of(task).sources(task)
    except UserError:
        return []
    digests = {file: download_lock.sha256_of(file.path) for file in files if file.name in known}
    manifest, anew = str(folder.path / MANIFEST), make_command(task, force=True)
    return [
        download_lock.changed(
            file.path, sha256, download_lock.ExpectedHash(known[file.name], manifest), anew
        )
        for file, sha256 in digests.items()
        if sha256 != known[file.name]
    ]


def _write(
    task: TaskSpec,
    folder: Path,
    workers: int | None,
    progress: Progress,
    files: list[SourceFile],
    digests: dict[str, str],
) -> dict[str, Any]:
    """Write data, metadata and manifest; returns the latter."""
    recipe, what = recipe_of(task), f"making {task.dataset.id}"
    where = ", ".join([task.dataset.id, *(str(file.path) for file in files)])
    intake = Intake()
    asked = task.dataset.params.get("transitions")

    def heard(done: int) -> None:
        # An import may not know how many steps there are.
        progress(what, done, asked if isinstance(asked, int) else done + 1)

    recipe.prepare(task, progress)
    heard(0)
    episodes = recipe.episodes(task, workers, heard)
    data = folder / "data"
    taken = _of_the_task(task, where, intake.take(where, episodes))
    summary = minari_format.write(data, taken)
    progress(what, summary["steps"], summary["steps"])
    (data / "metadata.json").write_text(json.dumps(_metadata(task, recipe, summary), indent=1))
    manifest = {
        "dataset": task.dataset.model_dump(mode="json", exclude={"rewards"}),
        "constants": recipe.constants(task),
        "sources": digests,
        "versions": _versions(),
        "intake": intake.facts(rewarded="rewards" in recipe.inputs),
        **summary,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    return manifest


def _of_the_task(
    task: TaskSpec, where: str, episodes: Iterable[minari_format.EpisodeArrays]
) -> Iterator[minari_format.EpisodeArrays]:
    """The episodes, if the first has observations and actions as long as the environment's."""
    recipe = recipe_of(task)
    for number, episode in enumerate(episodes):
        if number == 0:
            seen = recipe.seen(task, {name: episode[name] for name in recipe.inputs})
            columns = recipe.columns(seen)
            found = (columns["observations"].shape[1], columns["actions"].shape[1])
            expected = environment_dims(task)
            if found != expected:
                raise UserError(
                    f"{where}: episode 0: its observations and actions have {found[0]} and "
                    f"{found[1]} numbers, those of {task.environment.id} {expected[0]} and "
                    f"{expected[1]}. {NOTHING_TAKEN}"
                )
        yield episode


def another_dataset(task: TaskSpec, manifest: dict[str, Any]) -> list[str]:
    """A sentence on the folder's dataset, if that is not the one the task names.

    The same id from another version of its recipe, or with other settings, is another dataset.
    """
    asked = _settings(task.dataset.model_dump(mode="json", exclude={"rewards"}))
    found = _settings(manifest["dataset"])
    differ = [key for key in asked | found if asked.get(key) != found.get(key)]
    if not differ:
        return []
    return [
        f"{DatasetFolder.of(task).path} holds another dataset than {task.dataset.id} is now: it "
        f"was made with another {' and another '.join(differ)}. Give the task another id; or move "
        f"the folder away, delete the entry '{task.dataset.id}' from {dataset_lock.lock_file()} if "
        f"there is one, and make the dataset anew with: {make_command(task)}"
    ]


def _settings(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """What a dataset is made with, by name: its parameters beside its id, source and recipe."""
    return {key: value for key, value in dataset.items() if key not in {"params", "rewards"}} | {
        f"'{key}'": value for key, value in (dataset.get("params") or {}).items()
    }


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
            write_json(path, {"description": "made locally by decision-flow-harness"})
