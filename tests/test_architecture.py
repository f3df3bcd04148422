"""Imports point one way, and starting is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "ray", "gymnasium", "gymnasium_robotics", "mujoco", "minari"}
SIMULATION = {"gymnasium", "gymnasium_robotics", "mujoco", "minari", "h5py"}
OUTPUT = {"rich", "typer", "matplotlib", "pandas", "seaborn", "jinja2"}

# The one task file that makes a network; only runs that are given a known Q import it.
CLOSED_FORM_NETWORK = "harness/tasks/multimodal_value.py"

# What `harness new` copies: a method, which is no part of the harness.
TEMPLATE = REPOSITORY / "harness" / "new" / "template"


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions, but not for types alone."""
    tree = ast.parse(path.read_text())
    typing_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield str(node.module)


def packages(path: Path) -> set[str]:
    return {module.partition(".")[0] for module in imports(path)}


# Rooms in the order in which they may know each other: each only those before it.
GROUND = ("harness.errors", "harness.files")
ROOMS = (
    "algorithms",
    "algorithms.engine",
    "algorithms.blocks",
    "algorithms.decision_flow",
    "algorithms.contract",
    "baselines",
    "harness.tasks",
    "harness.rollouts",
    "harness.data",
    "harness.published",
    "harness.statistics",
    "harness.suite",
    "harness.runs",
    "harness.execution",
    "harness.policies",
    "harness.report",
    "harness.docs",
    "harness.bench",
    "harness.costs",
    "harness.check",
    "harness.new",
    "harness.commands",
    "harness.api",
)


def modules_of(path: Path) -> Iterator[str]:
    """Every module of ours that a file imports, also for types alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = REPOSITORY / f"{node.module}.{alias.name}".replace(".", "/")
                is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def room_of(module: str) -> str | None:
    """The room a module is in; None for the ground and for other people's packages."""
    if module in GROUND:
        return None
    rooms = [room for room in ROOMS if f"{module}.".startswith(f"{room}.")]
    return max(rooms, key=len, default=None)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_only_those_before_it(room: str) -> None:
    folder = REPOSITORY / room.replace(".", "/")
    below = [r for r in ROOMS if r.startswith(f"{room}.")]
    files = [
        path
        for path in folder.rglob("*.py")
        if not any((REPOSITORY / inner.replace(".", "/")) in path.parents for inner in below)
    ]
    assert files
    for path in files:
        for module in modules_of(path):
            other = room_of(module)
            if other is not None:
                assert ROOMS.index(other) <= ROOMS.index(room), f"{path} imports {module}"


def test_no_file_needs_a_file_that_needs_it() -> None:
    """Inside rooms too, and through imports inside functions or for types alone."""
    needed: dict[Path, set[Path]] = {}
    for package in ("algorithms", "baselines", "harness"):
        for path in (REPOSITORY / package).rglob("*.py"):
            inner = [REPOSITORY / module.replace(".", "/") for module in modules_of(path)]
            files = {p / "__init__.py" if p.is_dir() else p.with_suffix(".py") for p in inner}
            needed[path] = {file for file in files if file.is_file()}
    del needed[REPOSITORY / "harness" / "__init__.py"]  # offers what it imports when asked
    TopologicalSorter(needed).prepare()  # raises CycleError with the files


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("algorithms", {"harness", "baselines", "ray"} | SIMULATION | OUTPUT),
        ("baselines", {"harness", "ray"} | SIMULATION | OUTPUT),
        ("harness/statistics", {"torch", "ray", "algorithms", "baselines"} | SIMULATION | OUTPUT),
        ("harness/suite", {"torch", "ray", "baselines"} | SIMULATION | OUTPUT),
        ("harness/runs", {"ray", "baselines"} | SIMULATION | OUTPUT),
        ("harness/report", {"torch", "ray", "algorithms", "baselines"} | SIMULATION),
        ("harness/tasks", {"torch", "ray", "algorithms", "baselines"}),
        ("harness/data", {"torch", "ray", "baselines"}),
    ],
)
def test_rooms_stay_clear_of_what_is_not_theirs(folder: str, forbidden: set[str]) -> None:
    files = {*(REPOSITORY / folder).rglob("*.py")} - {REPOSITORY / CLOSED_FORM_NETWORK}
    assert files
    found = {str(path.relative_to(REPOSITORY)): packages(path) & forbidden for path in files}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_harness_reaches_algorithms_through_the_registry() -> None:
    allowed = {
        "registry",
        "base",
        "action_selection",
        "contract",
        "fields",
        "networks",
        "errors",
        "source",
        "transitions",
    }
    allowed |= {f"engine.{name}" for name in ("draws", "engine", "version", "seeding")}
    allowed |= {f"engine.{name}" for name in ("precision", "preflight", "preprocessing")}
    allowed |= {f"engine.{name}" for name in ("pretraining", "schedule", "trained")}
    for path in (REPOSITORY / "harness").rglob("*.py"):
        if TEMPLATE in path.parents:
            continue
        for module in imports(path):
            package, _, name = module.partition(".")
            assert package != "baselines", path
            if package == "algorithms" and name:
                assert name in allowed, f"{path} imports {module}"


def test_one_file_knows_ray() -> None:
    files = [path for path in (REPOSITORY / "harness").rglob("*.py") if "ray" in packages(path)]
    assert [path.name for path in files] == ["ray_tune.py"]


def loaded_after(program: str) -> set[str]:
    """The heavy packages in memory after a program."""
    watch = f"import sys\n{program}\nprint(*sorted({HEAVY!r} & sys.modules.keys()))"
    result = subprocess.run(
        [sys.executable, "-c", watch], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "--version",
        "list algorithms",
        "list tasks",
        "list suites",
        "list datasets",
        "data --help",
    ],
)
def test_starting_is_light(arguments: str) -> None:
    program = (
        f"sys.argv = ['harness', *{arguments.split()!r}]\n"
        "from harness.commands.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code"
    )
    assert loaded_after(program) == set()


@pytest.mark.parametrize(
    "module",
    [
        "harness",
        "harness.report",
        "harness.commands.report",
        "harness.suite.schema",
        "algorithms.registry",
    ],
)
def test_importing_is_light(module: str) -> None:
    assert loaded_after(f"import {module}") == set()


def test_a_worker_imports_torch_once_its_run_is_on_disk() -> None:
    assert "torch" not in loaded_after("import harness.execution.worker, harness.execution.work")


def test_the_local_executor_does_not_import_ray() -> None:
    modules = "harness.commands.run, harness.execution.local, harness.execution.worker"
    assert "ray" not in loaded_after(
        f"import {modules}, algorithms.engine.engine, harness.rollouts.evaluation"
    )
