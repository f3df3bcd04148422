"""The runs on the page: by cell with what it was set to and made from, failures, and costs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.report.comparison import Comparison
from harness.report.layout import MISSING, points
from harness.report.page.anchors import Anchors
from harness.report.page.curve import SeedCurves, seed_curves
from harness.report.page.settings import SettingDifference, Settings, differences
from harness.report.page.words import duration, number, plural
from harness.report.records import Records
from harness.report.style import by_score
from harness.runs.archive import archive_of

UNNAMED = "failed without a message"


@dataclass(frozen=True)
class SeedLine:
    """One planned run as it is printed; `folder` is relative to the page, empty without files."""

    seed: int
    state: str
    score: str
    step: str
    wall: str
    folder: str
    packed: bool


@dataclass(frozen=True)
class CellRuns:
    """All runs of a task and a row.

    Attributes:
        unlike: settings in which the row is not as most others on the task.
        origins: where the numbers come from: commit, data, times, by name.
    """

    id: str
    label: str
    summary: str
    states: Counter[str]
    unlike: list[SettingDifference]
    curves: SeedCurves | None
    origins: list[tuple[str, str]]
    seeds: list[SeedLine]


@dataclass(frozen=True)
class TaskRuns:
    """The cells of a task."""

    title: str
    cells: list[CellRuns]
    states: Counter[str]


@dataclass(frozen=True)
class Failure:
    """One way in which runs failed: its first sentence, all that was recorded, and which runs.

    `runs` are names and the ids of their cells.
    """

    sentence: str
    trace: str
    runs: list[tuple[str, str]]


@dataclass(frozen=True)
class RowCost:
    """What a row's runs took; text with the number that it is sorted by."""

    label: str
    id: str
    runs: str
    wall: tuple[str, float]
    evaluation: str
    speed: str
    latency: str


def runs_by_task(
    records: Records,
    comparison: Comparison,
    cells: Mapping[tuple[str, str], Settings],
    anchors: Anchors,
) -> list[TaskRuns]:
    """Every planned run, by task and row, in the suite's order."""
    table = records.runs.assign(score=comparison.scores["score"].to_numpy())
    runs: dict[tuple[str, str], list[dict[Hashable, Any]]] = defaultdict(list)
    for line in table.to_dict("records"):
        runs[line["task"], line["label"]].append(line)
    evaluations = _evaluations(records)
    tasks = []
    for task in records.suite.tasks:
        here = {label: settings for (of, label), settings in cells.items() if of == task.id}
        made = [
            _cell(records, comparison, runs[key], here, evaluations.get(key, {}), anchors)
            for label in comparison.labels
            if (key := (task.id, label)) in runs
        ]
        states = sum((cell.states for cell in made), Counter[str]())
        tasks.append(TaskRuns(task.title, made, states))
    return tasks


def failures(records: Records, anchors: Anchors) -> list[Failure]:
    """Runs that failed or have an error, together where they failed alike; the commonest first."""
    alike: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for run in records.runs.to_dict("records"):
        error = run["error"] if isinstance(run["error"], str) else ""
        if error or run["state"] == "failed":
            name = f"{run['task']}, {run['label']}, seed {run['seed']}: {run['state']}"
            alike[error or UNNAMED].append((name, anchors.cells[run["task"], run["label"]]))
    found = []
    for error, names in alike.items():
        sentence, _, trace = error.partition("\n")
        found.append(Failure(sentence, trace.strip("\n"), names))
    return sorted(found, key=lambda failure: -len(failure.runs))


def costs(records: Records, comparison: Comparison, anchors: Anchors) -> list[RowCost]:
    """What every row's runs took, the best row first; a trial's time counts once."""
    found = []
    for label in by_score(comparison):
        runs = records.runs[records.runs["label"] == label]
        if not (runs["wall_seconds"] > 0).any():
            continue
        trials = runs.drop_duplicates(["task", "started", "wall_seconds"]).dropna(
            subset="wall_seconds"
        )
        wall, evaluating = trials["wall_seconds"].sum(), trials["evaluation_seconds"].sum()
        found.append(
            RowCost(
                label=label,
                id=anchors.methods[label],
                runs=f"{(runs['state'] == 'done').sum():,} of {len(runs):,}",
                wall=(duration(wall), wall),
                evaluation=f"{evaluating / wall:.0%}",
                speed=number(runs["steps_per_second"].median(), ",.0f"),
                latency=number(runs["amortized_action_ms"].median(), ".3f"),
            )
        )
    return found


def _cell(
    records: Records,
    comparison: Comparison,
    runs: list[dict[Hashable, Any]],
    here: Mapping[str, Settings],
    scores: Mapping[int, list[tuple[int, float]]],
    anchors: Anchors,
) -> CellRuns:
    task, label = runs[0]["task"], runs[0]["label"]
    cell = comparison.cells[task, label]
    mean = f"mean {points(cell.mean)}" if len(cell.scores) else MISSING
    states = Counter(str(run["state"]) for run in runs)
    return CellRuns(
        id=anchors.cells[task, label],
        label=label,
        summary=mean,
        states=states,
        unlike=differences(label, records.suite.rows, here),
        curves=seed_curves(scores),
        origins=_origins(records, runs),
        seeds=[_line(records.folder, run) for run in runs],
    )


def _line(folder: Path, run: Mapping[Hashable, Any]) -> SeedLine:
    path = folder / run["path"]
    archive = None if path.is_dir() or run["state"] == "missing" else archive_of(path)
    packed = archive is not None
    link = quote((archive or path).relative_to(folder).as_posix()) + ("" if packed else "/")
    return SeedLine(
        seed=run["seed"],
        state=run["state"],
        score=number(run["score"], ".1f"),
        step=number(run["step"], ",.0f"),
        wall=duration(run["wall_seconds"]),
        folder=link if packed or path.is_dir() else "",
        packed=packed,
    )


def _origins(records: Records, runs: Iterable[Mapping[Hashable, Any]]) -> list[tuple[str, str]]:
    """Commit, data and times that the runs recorded; where they differ, each value."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for run in runs:
        spec = records.specs.get(run["path"])
        if spec is None:
            continue
        provenance = records.provenance.get(run["path"], {})
        code = provenance.get("algorithm", {})
        found["commit"][_commit(provenance.get("git") or {})] = None
        if "code" in code:
            found["method's code"][f"{code['code']} ({code.get('module', '')})"] = None
        found["data sha256"][spec["dataset_sha256"]] = None
        found["started"][str(run["started"])] = None
        if run["finished"]:
            found["finished"][str(run["finished"])] = None
    return [(name, "; ".join(values)) for name, values in found.items()]


def _commit(git: Mapping[str, Any]) -> str:
    if "commit" not in git:
        return f"unknown: {git.get('unknown', 'not recorded')}"
    return f"{git['commit']}{' with changes' if git.get('dirty') else ''}"


def _evaluations(records: Records) -> dict[tuple[str, str], dict[int, list[tuple[int, float]]]]:
    """Steps and mean scores by seed, of each cell."""
    keys = ["task", "label", "seed", "step"]
    means = records.evaluations.groupby(keys, as_index=False)["normalized_score"].mean()
    found: dict[tuple[str, str], dict[int, list[tuple[int, float]]]] = {}
    columns = (means[name].tolist() for name in [*keys, "normalized_score"])
    for task, label, seed, step, score in zip(*columns, strict=True):
        found.setdefault((task, label), {}).setdefault(seed, []).append((step, score))
    return found


def in_words(states: Counter[str]) -> str:
    """`3 done, 1 failed of 6 runs`; `6 runs done` where all are; `none yet`."""
    total = states.total()
    if not states:
        return "none yet"
    if len(states) == 1:
        return f"{plural(total, 'run')} {next(iter(states))}"
    counted = ", ".join(f"{count:,} {state}" for state, count in states.items())
    return f"{counted} of {plural(total, 'run')}"
