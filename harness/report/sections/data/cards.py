"""What the report says of the data its runs were trained on, where those are on this machine.

Found by the sha256 that the runs recorded, so that other data under the same id are never shown.
"""

from __future__ import annotations

from pathlib import Path

from harness.data.cache import LoadedData, find_rows
from harness.data.facts import facts_of, spread
from harness.data.remarks import remarks
from harness.errors import UserError
from harness.report.notes import SMOKE
from harness.report.records import Records, trained_on
from harness.report.section import Card
from harness.report.sections.data.figure import data_figure
from harness.report.style import Drawing
from harness.tasks.spec import TaskSpec

CAPTION = (
    "{id} as the runs saw it, every one of its {steps:,} steps: how many episodes have which return"
    " and length, and how often each action is at a limit{maze}."
)
_MAZE = "; where the steps are, logarithmic, and the goal's cell"


def data_card(records: Records, task: TaskSpec, folder: Path) -> Card:
    """The card of a task's data; its figure is written into `folder`."""
    hashes = trained_on(records, task.id)
    if len(hashes) != 1:
        several = f"Runs were trained on {len(hashes)} versions of these data, so none is shown."
        return Card(absent=several if hashes else "No run has recorded its data yet.")
    try:
        loaded = find_rows(hashes[0])
    except UserError as error:
        return Card(absent=f"The data are damaged, so they are not shown: {error}")
    stem = f"data-{task.id}".replace("/", "_").replace(".", "_")
    if loaded is None:
        earlier = folder / f"{stem}.png"
        kept = (
            f" {earlier.name}, which an earlier report drew, is left in {folder.name}/, unchecked."
        )
        return Card(
            absent=(
                "The data that the runs were trained on are not on this machine (no rows with the "
                f"sha256 {hashes[0][:16]}…), so nothing more is shown of them. To have it, run "
                f"'python -m harness data make {task.dataset.id}', and build this report again."
                f"{kept if earlier.exists() else ''}"
            )
        )
    return _found(records, task, loaded, folder / stem)


def _found(records: Records, task: TaskSpec, loaded: LoadedData, stem: Path) -> Card:
    rows, facts = loaded.transitions, facts_of(loaded.transitions)
    warning = SMOKE if records.suite.smoke else ""
    files = data_figure(task, rows, facts, stem, warning)
    maze = _MAZE if "maze_map" in task.environment.kwargs else ""
    caption = CAPTION.format(id=task.dataset.id, steps=len(rows), maze=maze)
    score = task.normalized_score(float(facts.returns.mean()))
    return Card(
        facts=(
            ("transitions", f"{len(rows):,}"),
            ("episodes", f"{len(facts.lengths):,}, each {spread(facts.lengths)} steps"),
            (
                "return of an episode",
                f"{spread(facts.returns)}; the mean is a score of {score:.1f}",
            ),
            ("terminals", f"{facts.terminals:,}"),
            ("actions", f"{rows.action_dim} in [-1, 1]; {facts.saturation:.1%} at a limit"),
            ("observations", f"{rows.obs_dim} numbers"),
            *(("warning", odd) for odd in remarks(loaded.manifest["dataset"]).values()),
        ),
        drawing=Drawing(f"Data of {task.title}", caption, tuple(files)),
    )
