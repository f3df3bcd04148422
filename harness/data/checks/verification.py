"""What `data verify` looks at: whether the bytes are the recorded ones, and then what they say.

In this order, each only where the one before could be done: manifest and lock file, the file's
size, every array's sha256 and every episode, the rows that training reads. Nothing is repaired.
"""

from __future__ import annotations

from typing import Any

from harness.data import dataset_lock
from harness.data.cache import cache_folder, open_rows, pack_rows
from harness.data.checks import rewards as reward_checks
from harness.data.checks import rows as row_checks
from harness.data.checks.episodes import EpisodeProblems, expected_of
from harness.data.checks.published import is_by_people, published_counts
from harness.data.datasets import another_dataset, check_arrays, read_checked, silent, unreadable
from harness.data.minari_format import DATA_FILE, Digests, labels
from harness.data.store import MANIFEST, DatasetFolder, make_command
from harness.errors import UserError
from harness.files import parse_object
from harness.tasks.spec import TaskSpec


def verify(task: TaskSpec) -> list[str]:
    """What is wrong with the task's data on disk, a sentence each; empty when all is well."""
    folder = DatasetFolder.of(task)
    if not folder.exists:
        return [f"{task.dataset.id} is not made. Make it with: {make_command(task)}"]
    problems: list[str] = []
    try:
        manifest = folder.manifest()
        anew = make_command(task, force=True) if manifest.get("sources") else ""
        problems += dataset_lock.compare(task.dataset.id, manifest["arrays"], anew=anew)
        metadata = parse_object((folder.data / "metadata.json").read_bytes())
        problems += _identity(task, manifest, metadata)
        if cut := _cut_short(task, manifest):
            return [*problems, cut]
        found, packable = _arrays(task, manifest, metadata)
        return problems + found + _rows(task, packable=packable)
    except UserError as error:
        return [*problems, str(error)]
    except (OSError, AssertionError, KeyError, TypeError, ValueError) as error:
        remake = make_command(task, force=True)
        return [*problems, unreadable(folder.data, error, remake)]


def _identity(task: TaskSpec, manifest: dict[str, Any], metadata: dict[str, Any]) -> list[str]:
    """The folder holds the dataset that it is named after."""
    folder, problems = DatasetFolder.of(task), another_dataset(task, manifest)
    for key, there in (("total_steps", "steps"), ("total_episodes", "episodes")):
        if metadata[key] != manifest[there]:
            problems.append(
                f"{folder.data / 'metadata.json'} says {metadata[key]:,} {there}, and the manifest "
                f"{manifest[there]:,}. Remake it with: {make_command(task, force=True)}"
            )
    return problems


def _cut_short(task: TaskSpec, manifest: dict[str, Any]) -> str:
    path = DatasetFolder.of(task).data / DATA_FILE
    found = path.stat().st_size if path.exists() else 0
    if found >= manifest["bytes"]:
        return ""
    return (
        f"{path} is cut short: it has {found:,} bytes and its manifest says {manifest['bytes']:,}. "
        f"Remake it with: {make_command(task, force=True)}"
    )


def _arrays(
    task: TaskSpec, manifest: dict[str, Any], metadata: dict[str, Any]
) -> tuple[list[str], bool]:
    """What is wrong with the arrays, and whether rows can be made of them all the same."""
    folder, digests = DatasetFolder.of(task), Digests()
    looking = EpisodeProblems(
        task.dataset.id, expected_of(metadata, demonstrations=is_by_people(task))
    )
    said, steps = labels(folder.data), []
    for number, episode in enumerate(read_checked(task, manifest["arrays"], digests)):
        looking.look(number, episode)
        steps.append(len(episode["actions"]))
    problems = check_arrays(task, manifest, digests)
    packable = not problems and looking.regular
    for number, ((label, length), there) in enumerate(zip(said, steps, strict=True)):
        if (label, length) != (number, there):
            problems.append(
                f"{task.dataset.id}: where episode {number} should be, with {there} steps, is what "
                f"says that it is episode {label} with {length}. {_remedy(task)}"
            )
            break
    if (len(steps), sum(steps)) != (manifest["episodes"], manifest["steps"]):
        problems.append(
            f"{task.dataset.id}: it has {len(steps):,} episodes with {sum(steps):,} steps, and its "
            f"manifest says {manifest['episodes']:,} with {manifest['steps']:,}. {_remedy(task)}"
        )
    said_of_it = [*looking.sentences(), *published_counts(task, sum(steps), len(steps))]
    return problems + [f"{sentence} {_remedy(task)}" for sentence in said_of_it], packable


def _rows(task: TaskSpec, *, packable: bool) -> list[str]:
    """The stored rows, if there are any; and if they can be made, what rows of the dataset hold."""
    problems, stored = [], None
    if (cache_folder(task) / MANIFEST).exists():
        try:
            stored = open_rows(task)
        except UserError as error:
            problems.append(str(error))
    if not packable:
        return problems
    rows = pack_rows(task, silent)
    if stored is not None and stored.transitions.rows.tobytes() != rows.rows.tobytes():
        problems.append(
            f"{cache_folder(task)}: the rows are not those that its dataset makes. Make them again "
            f"with: {make_command(task, force=True)}"
        )
    for check in (*row_checks.CHECKS, *reward_checks.CHECKS):
        found = check(task, rows)
        problems += [f"{sentence} {_remedy(task)}" for sentence in found]
        if found and check in (row_checks.dimensions, row_checks.finite):
            break  # what follows would only repeat it
    return problems


def _remedy(task: TaskSpec) -> str:
    return (
        f"Remake it with: {make_command(task, force=True)} (if that is no better, its source is "
        "at fault)"
    )
