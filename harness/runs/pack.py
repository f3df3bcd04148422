"""Making results small enough to share or to commit; reports and `run` read them as before."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from pathlib import Path

from harness.files import write_bytes
from harness.runs.archive import archive_bytes, archive_path, members_of
from harness.runs.folder import RunFolder

_LEARNING_STATE = "checkpoint."
_PACKED = ".packed"  # ends the name of a folder that is in the archive and about to go


def pack_suite(directory: Path) -> str:
    """Pack every finished run below results/<suite>. Returns what was done, in a sentence.

    What is lost is the learning state and what trackers left in the run's folder: a finished run
    needs them no more. Killed at any time, every
    run is whole in its folder or in the archive. Raises UserError for an archive that is damaged.
    """
    before = _megabytes(directory)
    for leftover in directory.rglob(f".*{_PACKED}"):
        shutil.rmtree(leftover)
    folders = [path.parent for path in directory.rglob("status.json") if not path.is_symlink()]
    done = [folder for folder in folders if RunFolder(folder).is_done()]
    cells: dict[Path, list[Path]] = defaultdict(list)
    for folder in done:
        cells[folder.parent].append(folder)
    for cell, runs in cells.items():
        _pack(cell, runs)
    left = len(folders) - len(done)
    return (
        f"{len(done)} finished runs packed, {left} others left as they are: {directory} has "
        f"{_megabytes(directory):.1f} MB now, and had {before:.1f}."
    )


def _pack(cell: Path, runs: list[Path]) -> None:
    """Add the runs to the cell's archive, and delete their folders once it is on the disk."""
    names = {run.name for run in runs}
    members = {
        name: content
        for name, content in members_of(cell).items()
        if name.partition("/")[0] not in names
    }
    for run in runs:
        for file in run.iterdir():
            kept = file.is_file() and not file.is_symlink()
            if kept and not file.name.startswith(_LEARNING_STATE):
                members[f"{run.name}/{file.name}"] = file.read_bytes()
    write_bytes(archive_path(cell), archive_bytes(members), durable=True)
    for run in runs:
        # A folder hides the archive's run: it goes in one step, however long its files take.
        gone = run.with_name(f".{run.name}{_PACKED}")
        os.replace(run, gone)
        shutil.rmtree(gone)
    if not any(cell.iterdir()):
        cell.rmdir()


def _megabytes(directory: Path) -> float:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6
