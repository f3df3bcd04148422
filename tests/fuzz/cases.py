"""A case: copy something good, damage a file of it, read it, and judge what comes of it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness import data
from harness.data import recipe
from harness.data.checks.incoming import checked
from harness.errors import UserError
from harness.execution.draft import draft
from harness.report.comparison import compare
from harness.report.layout import Grid
from harness.report.notes import write_notes
from harness.report.page import page
from harness.report.records import read_records
from harness.report.sections import SECTIONS
from harness.report.tables import latex, markdown
from harness.runs.pack import pack_suite
from harness.tasks import get_task
from tests.fuzz.damage import Damage, bytes_of, csv_of, hdf5_of, json_of, tar_of, yaml_of
from tests.fuzz.originals import LOCAL, TASK, Originals, scores_of

SECONDS = 20  # of a case
_DAMAGES: dict[str, Damage] = {
    ".json": json_of,
    ".yaml": yaml_of,
    ".csv": csv_of,
    ".xz": tar_of,
    ".hdf5": hdf5_of,
}


class HungError(BaseException):
    """A case that takes too long; no handler of errors takes it for one."""


class WrongError(Exception):
    """A case that ended in numbers that nobody measured."""


@dataclass
class Outcome:
    """Cases by kind and end, and the failures: what was damaged, and the traceback."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def read_suite(folder: Path, originals: Originals) -> None:
    draft(folder / "tiny.yaml", folder / "results")


def read_results(folder: Path, originals: Originals) -> None:
    """A report but for its figures, which take long; then packing."""
    directory = folder / "tiny"
    records = read_records(directory)
    comparison = compare(records)
    for run, score in scores_of(comparison).items():
        if originals.scores.get(run) != score:
            raise WrongError(f"{run} has the score {score}, and had {originals.scores.get(run)}")
    counted = len(scores_of(comparison))
    named = (records.runs["state"] != "done").sum()
    if counted + named != len(records.runs):
        raise WrongError(f"{len(records.runs)} runs, {counted} counted and {named} named")
    sections = [each for kind in SECTIONS[:-1] for each in kind.all_of(records, comparison)]
    grids: list[Grid] = [grid for section in sections for grid in section.grids()]
    for section in sections:
        section.tables()
    notes = write_notes(comparison, [note for section in sections for note in section.notes()])
    markdown(records.suite.title, grids, notes)
    latex(records.suite.title, grids, notes)
    page(records, comparison, grids, notes, [], {})
    pack_suite(directory)


def read_data(folder: Path, originals: Originals) -> None:
    """What training would be given, and what `data verify` says."""
    os.environ["HARNESS_DATA"] = str(folder)
    task = get_task(*TASK)
    data.verify(task)
    loaded = data.ensure(task, make=False)
    if loaded.sha256 != originals.rows_sha256:
        raise WrongError("training would be given other rows")
    if (loaded.transitions.obs_dim, loaded.transitions.action_dim) != (4, 2):
        raise WrongError("training would take the rows for others")


def import_data(folder: Path, originals: Originals) -> None:
    """Taking in what somebody else recorded, but for the environment of its metadata."""
    os.environ["HARNESS_LOCAL_DATA"] = str(folder)
    task = get_task(LOCAL)
    for _ in checked(task.dataset.id, recipe.recipe_of(task).episodes(task, None, lambda _: None)):
        pass


KINDS: dict[str, tuple[str, Callable[[Path, Originals], None]]] = {
    "suites": ("suite", read_suite),
    "results": ("results", read_results),
    "archives": ("packed", read_results),
    "datasets": ("data", read_data),
    "recordings": ("local", import_data),
}


@patch.dict(os.environ)  # put back afterwards
def run_cases(originals: Originals, work: Path, numbers: range, seed: int) -> Outcome:
    """Carry out cases by their numbers; each is the same whatever others are carried out."""
    outcome = Outcome()
    before = _everything(originals.root)
    for number in numbers:
        kind = [*KINDS][number % len(KINDS)]
        rng = random.Random(f"{seed} {number}")
        folder = work / "case" / kind
        shutil.copytree(originals.root / KINDS[kind][0], folder)
        done = f"case {number}: {kind}"
        try:
            os.environ["HARNESS_DATA"] = str(originals.root / "data")
            done += f": {_damaged(rng, folder)}"
            with _limit():
                KINDS[kind][1](folder, originals)
            end = "harmless"
        except UserError as error:
            end = "refused" if str(error) else "an error without words"
        except (Exception, HungError):
            end = "failed"
            outcome.failures.append(f"{done}\n{traceback.format_exc()}")
        outcome.counts[kind, end] += 1
        strangers = {path.name for path in work.iterdir()} - {"case"}
        if strangers or _everything(originals.root) != before:
            raise WrongError(f"{done}: it wrote outside its folder: {strangers or 'the originals'}")
        shutil.rmtree(work / "case")
    return outcome


def _damaged(rng: random.Random, folder: Path) -> str:
    """Damage one file, or seldom two; says which and how."""
    said = []
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    files = [path for path in files if path.suffix not in {".lock", ".md"}]
    for _ in range(rng.choice((1, 1, 1, 2))):
        kind = rng.choice(sorted({path.suffix for path in files}))
        path = rng.choice([path for path in files if path.suffix == kind])
        damage = _DAMAGES.get(kind, bytes_of) if rng.random() < 0.7 else bytes_of
        try:
            damage(rng, path)
        except Exception:  # the second damage may find no form left
            damage = bytes_of
            damage(rng, path)
        said.append(f"{path.relative_to(folder)} by {damage.__name__}")
    return ", ".join(said)


def _everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file but locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@contextmanager
def _limit() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise HungError

    earlier = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
