"""Making results small enough to share or to commit; reports and `run` read them as before."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from harness.errors import UserError
from harness.files import json_bytes, parse_object
from harness.runs.archive import archive_path, cell_archives, members_of, write_members
from harness.runs.folder import RunFolder
from harness.runs.suite_file import SuiteFile

_LEARNING_STATE = "checkpoint."
_DRAWN = ("paths.csv", "values.csv")  # in pictures of mazes: most of a run's room
_PACKED = ".packed"  # ends the name of a folder that is in the archive and about to go


def pack_suite(directory: Path) -> str:
    """Pack every finished run below results/<suite>. Returns what was done, in a sentence.

    What is lost is the learning state, what trackers left in the run's folder and, of runs that no
    picture shows, what pictures are made of: a finished run needs them no more. Killed at any time,
    every run is whole in its folder or in the archive. Raises UserError for an archive that is
    damaged, whether or not it would be added to.
    """
    before = _megabytes(directory)
    below = directory / "runs"  # beside it there may be a suite whose name begins with this one's
    for leftover in below.rglob(f".*{_PACKED}"):
        shutil.rmtree(leftover)
    folders = [path.parent for path in below.rglob("status.json") if not path.is_symlink()]
    done = [folder for folder in folders if RunFolder(folder).is_done()]
    suite = None
    with suppress(UserError):  # runs are packed as well without their suite
        suite = SuiteFile.read(directory)
    tasks: dict[Path, list[Path]] = {task: [] for task in _packed_before(directory, suite)}
    for folder in done:
        tasks.setdefault(folder.parent.parent, []).append(folder)
    undrawn = _undrawn(directory, suite)
    for task, runs in tasks.items():
        _pack(task, runs, undrawn)
    left = len(folders) - len(done)
    return (
        f"{len(done)} finished runs packed, {left} others left as they are: {directory} has "
        f"{_megabytes(directory):.1f} MB now, and had {before:.1f}."
    )


def _packed_before(directory: Path, suite: SuiteFile | None) -> set[Path]:
    """The tasks that have archives, perhaps of an earlier version; others are left alone."""
    runs = [*suite.runs, *(suite.tuning.runs if suite.tuning else [])] if suite else []
    planned = {(directory / run.path).parent.parent for run in runs}
    found = {task for task in directory.glob("runs/*/") if cell_archives(task)}
    found |= {task for task in planned if archive_path(task).is_file()}
    return {task for task in found if not task.is_symlink()}


def _undrawn(directory: Path, suite: SuiteFile | None) -> frozenset[Path]:
    """The runs that no picture shows: of settings that were tried, and of seeds after the first."""
    if suite is None:
        return frozenset()
    first = {
        (run.task, run.label)
        for run in suite.runs
        if run.seed == suite.seeds[0] and RunFolder(directory / run.path).is_done()
    }
    later = [run for run in suite.runs if run.seed != suite.seeds[0]]
    undrawn = [run for run in later if (run.task, run.label) in first]
    undrawn += suite.tuning.runs if suite.tuning else []
    return frozenset(directory / run.path for run in undrawn)


def _pack(task: Path, runs: list[Path], undrawn: frozenset[Path]) -> None:
    """Add the runs to the task's archives, and delete their folders once these are on the disk."""
    new = {run: run.relative_to(task).as_posix() for run in runs}
    replaced = set(new.values())
    members = {
        name: content
        for name, content in members_of(task).items()
        if name.rpartition("/")[0] not in replaced
    }
    for run, place in new.items():
        files = _without_drawn(_files(run)) if run in undrawn else _files(run)
        members |= {f"{place}/{name}": content for name, content in files.items()}
    write_members(task, members)
    for run in runs:
        # A folder hides the archive's run: it goes in one step, however long its files take.
        gone = run.with_name(f".{run.name}{_PACKED}")
        os.replace(run, gone)
        shutil.rmtree(gone)
    for cell in {run.parent for run in runs}:
        if not any(cell.iterdir()):
            cell.rmdir()
    if task.is_dir() and not any(task.iterdir()):
        task.rmdir()


def _files(run: Path) -> dict[str, bytes]:
    """What is kept of a run, by name."""
    return {
        file.name: file.read_bytes()
        for file in run.iterdir()
        if file.is_file() and not file.is_symlink() and not file.name.startswith(_LEARNING_STATE)
    }


def _without_drawn(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same without what pictures are made of, and with a status that seals the others alone."""
    status = parse_object(files["status.json"])
    seals = status.get("seals", {})  # earlier versions have none
    status["seals"] = {name: seal for name, seal in seals.items() if name not in _DRAWN}
    kept = {name: content for name, content in files.items() if name not in _DRAWN}
    return kept | {"status.json": json_bytes(status)}


def _megabytes(directory: Path) -> float:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6
