"""Making results small enough to share or to commit; reports and `run` read them as before."""

from __future__ import annotations

from pathlib import Path

from harness.results import RunFolder


def pack_suite(directory: Path) -> str:
    """Pack every finished run below results/<suite>. Returns what was done, in a sentence.

    What is lost is the learning state: a finished run needs it no more.
    """
    before = _megabytes(directory)
    folders = [RunFolder(path.parent) for path in directory.rglob("status.json")]
    done = [folder for folder in folders if folder.is_done()]
    for folder in done:
        folder.pack()
    left = len(folders) - len(done)
    return (
        f"{len(done)} finished runs packed, {left} others left as they are: {directory} has "
        f"{_megabytes(directory):.1f} MB now, and had {before:.1f}."
    )


def _megabytes(directory: Path) -> float:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6
