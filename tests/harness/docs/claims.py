"""What committed results say, calculated anew, and what pages say of it."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from harness.report.records import Records, read_records

REPOSITORY = Path(__file__).resolve().parents[3]
RESULTS = REPOSITORY / "results"
DOCS = REPOSITORY / "docs"
EXPERIMENTS = ("experiments", "modes", "choices", "online", "flow-mdp")
FAMILIES = ("mazes", "bodies", "hands", "every_method")
PAGES = [
    DOCS / "results.md",
    *(DOCS / "results" / f"{name}.md" for name in FAMILIES),
    *(DOCS / "algorithms" / f"{name}.md" for name in EXPERIMENTS),
]
SECTIONS = {
    part.partition("\n")[0]: part
    for page in PAGES
    for part in re.split(r"(?m)^#+ ", page.read_text("utf-8"))
}
Scores = dict[str, dict[str, dict[int, float]]]  # by task, label and seed


def prose_of(section: str) -> str:
    """A section's own words, without what is generated, in one line."""
    own = re.sub(r"<!-- generated: .*?<!-- end -->", "", SECTIONS[section], flags=re.DOTALL)
    return " ".join(own.split())


def readme() -> str:
    """The README in one line."""
    return " ".join((REPOSITORY / "README.md").read_text("utf-8").split())


def suites_of(section: str) -> set[Path]:
    names = re.findall(r"generated: (?:results|figure) (\w+/\w+)", SECTIONS[section])
    return {RESULTS / name for name in names}


@cache
def records_of(suite: Path) -> Records:
    return read_records(suite)


@cache
def scores_of(suite: Path, *, last: bool = False) -> Scores:
    """As declared or, of the last evaluation alone, by the rows' own action selections."""
    found: Scores = defaultdict(lambda: defaultdict(dict))
    if last:
        table = records_of(suite).evaluations
        ends = table[table["step"] == table.groupby("label")["step"].transform("max")]
        means = ends.groupby(["task", "label", "seed"])["normalized_score"].mean()
        for (task, label, seed), score in means.items():
            found[str(task)][str(label)][int(seed)] = float(score)
        return found
    with (suite / "scores.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if line["score"]:
                found[line["task"]][line["label"]][int(line["seed"])] = float(line["score"])
    return found


def last_scores(suite: Path, step: int) -> dict[tuple[str, str, str], float]:
    """Means of the final runs at `step`, by task, label and action selection."""
    records = records_of(suite)
    found = pd.concat([records.evaluations, records.other_selections])
    last = found[(found["step"] == step) & (found["seed"] < 100)]
    groups = last.groupby(["task", "label", "action_selection"])["normalized_score"]
    return dict(groups.mean())


def tuning_of(suite: Path) -> list[dict[str, str]]:
    """Every trial that chooses a setting."""
    with (suite / "tuning.csv").open(encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def corrected_p(suite: Path) -> dict[tuple[str, str], float]:
    """Of the differences to the reference, after Holm's correction, by task or average and row."""
    with (suite / "table.csv").open(encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file) if line["p_holm"]]
    return {(line["task"], line["algorithm"]): float(line["p_holm"]) for line in lines}


def difference(a: dict[int, float], b: dict[int, float]) -> tuple[float, float, float]:
    """Mean, half of the 95% interval and p of the paired t-test, by SciPy."""
    both = sorted(a.keys() & b.keys())
    test = stats.ttest_rel([a[seed] for seed in both], [b[seed] for seed in both])
    low, high = test.confidence_interval(0.95)
    return float(low + high) / 2, float(high - low) / 2, float(test.pvalue)


def average_difference(
    suite: Path, a: str, b: str, part: str = "", *, last: bool = False, from_seed: int = 0
) -> tuple[float, float]:
    """Mean over tasks and half of its 95% interval, by Welch and Satterthwaite.

    part: which tasks, as in `in_part`.
    from_seed: smaller ones are left out.
    """
    pairs = [
        np.array(
            [
                rows[a][seed] - rows[b][seed]
                for seed in sorted(rows[a].keys() & rows[b].keys())
                if seed >= from_seed
            ]
        )
        for task, rows in scores_of(suite, last=last).items()
        if in_part(task, part)
    ]
    variances = np.array([pair.var(ddof=1) / len(pair) for pair in pairs])
    freedom = variances.sum() ** 2 / sum(variances**2 / [len(pair) - 1 for pair in pairs])
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variances.sum()) / len(pairs)
    return float(np.mean([pair.mean() for pair in pairs])), float(half)


def in_part(task: str, part: str) -> bool:
    """Whether a task has all words of the part, and none that follows a minus.

    A word is a task's name or what stands between its slashes, such as a body or a level.
    """
    words = {task, *task.split("/")}
    return all((word.removeprefix("-") in words) is not (word[0] == "-") for word in part.split())


def sides(
    suite: Path, ours: str, others: Iterable[str], part: str = "", *, last: bool = False
) -> dict[str, int]:
    """Of every other row: 1 where ours is above it, -1 below it, 0 not told apart."""
    found = {}
    for other in others:
        mean, half = average_difference(suite, ours, other, part, last=last)
        found[other] = (mean > half) - (mean < -half)
    return found


def spread(mean: float, half: float) -> str:
    """As prose writes it."""
    return f"{mean:.1f} ± {half:.1f}"


def paired(suite: Path) -> set[str]:
    """All differences of two rows on a task, and on average, as prose writes them.

    Averages are over all tasks, those of one level or one body, and all but these or one task.
    """
    found = set()
    scores = scores_of(suite)
    for rows in scores.values():
        for a, b in permutations(rows, 2):
            if len(rows[a].keys() & rows[b].keys()) > 1:
                found.add(spread(*difference(rows[a], rows[b])[:2]))
    complete = set.intersection(
        *({k for k, v in rows.items() if len(v) > 1} for rows in scores.values())
    )
    words = {word for task in scores for word in task.split("/")}
    tasks = {word: {task for task in scores if word in task.split("/")} for word in words}
    several = {word for word in words if len(tasks[word]) > 1 and tasks[word] != scores.keys()}
    left_out = several | (set(scores) if len(scores) > 1 else set())
    for (a, b), part in product(
        permutations(complete, 2), {"", *several, *(f"-{word}" for word in left_out)}
    ):
        found.add(spread(*average_difference(suite, a, b, part)))
    return found
