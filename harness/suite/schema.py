"""Suite files: what a suite may say, and every mistake in it explained.

All keys of a suite file are the fields of `Suite` and of the models it is made of.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    field_validator,
)

from algorithms import registry
from algorithms.fields import Precision
from harness.errors import UserError, nearest
from harness.statistics.protocols import parse_protocol
from harness.suite.entry import AlgorithmEntry, Overrides, Selection, SuiteSection, check_seeds
from harness.suite.figures import parse_figures
from harness.suite.problems import explain, unknown
from harness.suite.published import PublishedSection, published_problems
from harness.suite.rows import Row, expand, label_problems, row_count, settings
from harness.suite.tuning import Tuning, tuning_problems
from harness.suite.yaml_file import Document, KeyPath, Problem, read_yaml
from harness.tasks import get_task
from harness.tasks.spec import TaskSpec

_WORD = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
Name = Annotated[str, Field(pattern=f"^{_WORD}$", max_length=60)]
_MOST_TASKS = 1000
_MOST_ROWS = 1000  # of all entries together
_MOST_EVALUATIONS = 100_000  # of a run
# What a results folder holds beside the suites in it.
_RESERVED = re.compile(r"runs|figures|logs|pretrained|published|.*\.(json|csv|md|tex|html|lock)")


def _is_free(name: str) -> str:
    for word in name.split("/"):
        if _RESERVED.fullmatch(word):
            raise ValueError(f"'{word}' is a file or folder of results, and names no suite")
    return name


SuiteName = Annotated[
    str, Field(pattern=f"^({_WORD}/)?{_WORD}$", max_length=60), AfterValidator(_is_free)
]


def _protocol(name: str) -> str:
    parse_protocol(name)
    return name


class Training(SuiteSection):
    """The budget of every run."""

    steps: int = Field(ge=1, le=10**9)  # gradient steps on the data
    # Then steps in the environment, a gradient step after each, on data and what was seen; every
    # method must be able to.
    online_steps: int = Field(0, ge=0, le=10**8)
    # Of matrix products. mixed: they may round, to TF32 on GPUs, to bfloat16 on some CPUs. bf16:
    # those of losses do, to bfloat16, everywhere.
    precision: Precision = "fp32"
    compile: bool = True  # part of a run's identity: eager code rounds differently


class EvaluationPlan(SuiteSection):
    """When policies are evaluated, and which evaluation a table reports."""

    # Gradient steps between evaluations; must divide training.steps, online_steps, entries' own.
    every: int = Field(ge=1)
    first: int = Field(0, ge=0)  # none before so many gradient steps; at most the shortest entry's
    episodes: int = Field(ge=1, le=10_000)  # per seed and evaluation
    # Which evaluations make a score: last, mean-of-last-5, best, expected-best-of-5 (or others).
    protocol: Annotated[str, AfterValidator(_protocol)] = "last"
    # By which to act, too, after the last step, for methods that can; scored under `last` alone.
    action_selections: list[Selection] = Field([])


class Resources(SuiteSection):
    """What a trial gets: runs that train stacked. No number depends on it, but on GPU or CPU."""

    cpus_per_trial: int = Field(1, ge=1)  # reserved cores: one trains, others evaluate beside it
    gpus_per_trial: float = Field(0, ge=0, le=1)  # above 0 runs train on a GPU
    seeds_per_trial: int = Field(4, ge=1)  # seeds that train stacked in one process


class Suite(SuiteSection):
    """A comparison: every algorithm on every task with every seed."""

    # Letters, digits, . - _ + and at most one /; the folder under results/.
    name: SuiteName
    title: str  # above tables and on the page
    question: str  # what the comparison is to answer
    # An id, or {id: options}: transitions and data_seed of data made here, and a task's own.
    tasks: list[str | dict[str, Overrides]] = Field(min_length=1, max_length=_MOST_TASKS)
    defaults: Overrides = Field({})  # config for every algorithm that has such a field
    # By label: letters, digits, . - _ +.
    algorithms: dict[Name, AlgorithmEntry] = Field(min_length=1)
    compare_to: str = ""  # a row, such as fql.alpha-1: tables have differences to it, by seed
    # A count (5: seeds 0 to 4), or the seeds themselves.
    seeds: Annotated[int | list[int], AfterValidator(check_seeds)]
    training: Training  # the budget
    evaluation: EvaluationPlan  # what makes a score
    tuning: Tuning | None = None  # of every entry, before its final runs
    resources: Resources = Resources()  # of a trial
    published: PublishedSection = PublishedSection()  # what others printed; or only its `file`
    figures: list[Overrides] = Field([])  # what the report draws more, each of a `kind`

    @field_validator("published", mode="before")
    @classmethod
    def _read_file_alone(cls, given: Any) -> Any:
        return {"file": given} if isinstance(given, str) else given

    @property
    def seed_list(self) -> list[int]:
        return self.seeds if isinstance(self.seeds, list) else list(range(self.seeds))

    @property
    def rows(self) -> list[Row]:
        """The rows of the comparison, in the file's order."""
        return [row for label, entry in self.algorithms.items() for row in expand(label, entry)]

    @property
    def settings(self) -> list[Row]:
        """The rows, each followed by the settings that its tuning tries beside its own."""
        tried = self.tuning.settings if self.tuning else {}
        return [each for row in self.rows for each in settings(row, tried.get(row.base, []))]

    @property
    def method_names(self) -> set[str]:
        """The labels of entries and the ids of their algorithms."""
        return {*self.algorithms, *(row.algorithm for row in self.rows)}

    def steps_of(self, entry: AlgorithmEntry) -> int:
        """Gradient steps on the data."""
        return entry.steps or self.training.steps


def load_suite(path: Path) -> tuple[Suite, Document]:
    """Read and check a suite file. Raises UserError that lists every problem found."""
    document = read_yaml(path)
    try:
        suite = Suite.model_validate_json(json.dumps(document.data, default=str), strict=True)
    except ValidationError as error:
        raise document.error(explain(error, document.data, Suite)) from error
    if too_many := [*_row_count_problems(suite)]:
        raise document.error(too_many)
    problems = [
        *_algorithm_problems(suite),
        *_task_problems(suite),
        *label_problems(suite.settings),
    ]
    problems += [*_interval_problems(suite), *_budget_problems(suite), *_report_problems(suite)]
    if suite.tuning is not None:
        problems += tuning_problems(suite.tuning, suite.algorithms, suite.seed_list)
    problems += parse_figures(suite.figures)[1]
    problems += published_problems(suite.published, path, suite.method_names)
    if problems:
        raise document.error(problems)
    return suite, document


def _row_count_problems(suite: Suite) -> Iterator[Problem]:
    """Sweeps of more rows than a table can have; counted before any row is made."""
    counts = {label: row_count(entry) for label, entry in suite.algorithms.items()}
    most = f"and a suite may have at most {_MOST_ROWS:,}: sweep fewer values or fields"
    if sum(counts.values()) > _MOST_ROWS >= max(counts.values()):
        message = f"its entries stand for {sum(counts.values()):,} rows together, {most}"
        yield Problem(("algorithms",), message)
    for label, count in counts.items():
        if count > _MOST_ROWS:
            yield Problem(("algorithms", label, "sweep"), f"it stands for {count:,} rows, {most}")


def _interval_problems(suite: Suite) -> Iterator[Problem]:
    """An interval of evaluations that does not end with the run, or with its offline part."""
    every, training = suite.evaluation.every, suite.training
    own = {f"algorithms.{k}.steps": e.steps for k, e in suite.algorithms.items() if e.steps}
    longest = max([training.steps, *own.values()])
    if (count := (longest + training.online_steps) // every) > _MOST_EVALUATIONS:
        message = f"{every} makes {count:,} evaluations a run, at most {_MOST_EVALUATIONS:,} can be"
        yield Problem(("evaluation", "every"), message)
        return
    budgets = {"training.steps": training.steps, "training.online_steps": training.online_steps}
    for name, steps in (budgets | own).items():
        if steps % every == 0:
            continue
        fault = "exceeds" if every > steps else "does not divide"
        fitting = " or ".join(map(str, _divisors_near(every, steps)))
        yield Problem(
            ("evaluation", "every"),
            f"{every} {fault} {name}, which is {steps}: make it {fitting}",
        )


def _budget_problems(suite: Suite) -> Iterator[Problem]:
    """Entries with a budget of their own, in a suite that goes on online after a common one."""
    for label, entry in suite.algorithms.items():
        if entry.steps and suite.training.online_steps:
            yield Problem(
                ("algorithms", label, "steps"),
                "all entries go online after training.steps: leave it out, or set "
                "training.online_steps to 0",
            )


def _report_problems(suite: Suite) -> Iterator[Problem]:
    """A reference that is no row, and a protocol that needs more evaluations than runs have."""
    labels = [row.label for row in suite.rows]
    if suite.compare_to and suite.compare_to not in labels:
        yield Problem(("compare_to",), unknown("row", suite.compare_to, labels))
    plan, needed = suite.evaluation, parse_protocol(suite.evaluation.protocol).evaluations
    shortest = min(suite.steps_of(entry) for entry in suite.algorithms.values())
    if plan.first > shortest:
        message = f"the shortest runs have {shortest:,} steps: begin by then"
        yield Problem(("evaluation", "first"), message)
        return
    last = shortest + suite.training.online_steps
    found = last // plan.every - max(0, math.ceil(plan.first / plan.every) - 1)
    if found < needed:
        message = f"'{plan.protocol}' needs {needed:,} evaluations, and the shortest runs have "
        yield Problem(("evaluation", "protocol"), f"{message}{found:,}: evaluate more often")


def _divisors_near(number: int, of: int) -> list[int]:
    """The divisors next to a number, below and above."""
    small = [n for n in range(1, math.isqrt(of) + 1) if of % n == 0]
    divisors = sorted({*small, *(of // n for n in small)})
    below, above = [n for n in divisors if n <= number], [n for n in divisors if n > number]
    return [*below[-1:], *above[:1]]


def suite_tasks(suite: Suite) -> list[TaskSpec]:
    """The specs of the suite's tasks, in its order."""
    return [get_task(task_id, options) for task_id, options in task_entries(suite)]


def task_entries(suite: Suite) -> Iterable[tuple[str, Overrides | None]]:
    """Task ids and their options, in the suite's order."""
    for entry in suite.tasks:
        if isinstance(entry, str):
            yield entry, None
        else:
            yield from entry.items()


def _task_problems(suite: Suite) -> Iterable[Problem]:
    paths: dict[str, list[KeyPath]] = {}  # by the id that the task has with its options
    for i, entry in enumerate(suite.tasks):
        if isinstance(entry, dict) and len(entry) != 1:
            message = f"one task and its options a line, found {len(entry)} tasks"
            yield Problem(("tasks", i), message)
            continue
        task_id, options = (entry, None) if isinstance(entry, str) else next(iter(entry.items()))
        path: KeyPath = ("tasks", i) if options is None else ("tasks", i, task_id)
        try:
            paths.setdefault(get_task(task_id, options).id, []).append(path)
        except UserError as error:
            yield Problem(path, str(error))
    for task_id, found in paths.items():
        if len(found) > 1:
            message = f"task '{task_id}' is listed {len(found)} times; keep one"
            yield from (Problem(path, message) for path in found)


def _algorithm_problems(suite: Suite) -> Iterable[Problem]:
    known = registry.algorithms()
    for label, entry in suite.algorithms.items():
        found = entry.algorithm or label
        if found not in known:
            path: KeyPath = ("algorithms", label) + (("algorithm",) if entry.algorithm else ())
            yield Problem(path, unknown("algorithm", found, known))


def find_suite(name: str) -> Path:
    """The file of a suite given by path, or by name under suites/. Raises UserError."""
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        if path.is_file():
            return path
        beside = [str(file) for file in path.parent.glob(f"*{path.suffix}")]
        near = nearest(name, beside) or nearest(path.stem, suite_names())
        raise UserError(f"There is no suite file {name}.{near}")
    for folder in _suite_folders():
        # `adroit` is suites/adroit.yaml and not suites/local/adroit.yaml.
        for file in sorted(folder.rglob("*.yaml"), key=lambda file: (len(file.parts), file)):
            if name in {file.stem, str(file.relative_to(folder).with_suffix(""))}:
                return file
    names = ", ".join(suite_names()) or "none"
    raise UserError(
        f"There is no suite '{name}'.{nearest(name, suite_names())} Suites here: {names}; "
        "or give the path of a YAML file."
    )


def suite_files() -> list[Path]:
    """The suite files of this project and of the current folder, sorted."""
    return sorted({p.resolve() for folder in _suite_folders() for p in folder.rglob("*.yaml")})


def suite_names() -> list[str]:
    """What `run` can be given instead of a path: the stem, with its folder if that is needed."""
    files = suite_files()
    shallow = {path.stem: path for path in sorted(files, key=lambda file: -len(file.parts))}
    return [
        path.stem if shallow[path.stem] == path else f"{path.parent.name}/{path.stem}"
        for path in files
    ]


def _suite_folders() -> list[Path]:
    """The current folder's, and the shipped one: in the package if installed, else above it."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "suites"
    return [Path("suites"), installed if installed.is_dir() else package.parent / "suites"]
