"""docs/tasks.md is run as it is written: its files as an installed package, then its commands."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "docs" / "tasks.md").read_text()

# Of jax, which Minari's writer needs and this project does not: what it uses for flat arrays.
TREE_UTIL = """
def tree_map(function, tree, *rest):
    if isinstance(tree, dict):
        return {k: tree_map(function, v, *(r[k] for r in rest)) for k, v in tree.items()}
    return function(tree, *rest)
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files, installed as far as Python can tell."""
    folder = tmp_path_factory.mktemp("package")
    for text in (*blocks("python"), *blocks("yaml")):
        name = text.splitlines()[0].removeprefix("# ")
        (folder / name).write_text(text)
    info = folder / "my_tasks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-tasks\nVersion: 1.0\n")
    (toml,) = blocks("toml")
    points = tomllib.loads(toml)["project"]["entry-points"]["harness.tasks"]
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[harness.tasks]", *lines]) + "\n")
    if importlib.util.find_spec("jax") is None:
        (folder / "jax").mkdir()
        (folder / "jax" / "__init__.py").touch()
        (folder / "jax" / "tree_util.py").write_text(TREE_UTIL)
    return folder


def run(command: str, folder: Path) -> str:
    """What a line of the page prints; it must end well."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}{os.pathsep}{REPOSITORY}",
        "HARNESS_DATA": str(folder / "data"),
        "MINARI_DATASETS_PATH": str(folder / "minari"),
        "COLUMNS": "200",
    }
    line = command.replace("python", sys.executable, 1)
    result = subprocess.run(
        line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=250
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "warning:" not in result.stderr
    return result.stdout


@pytest.mark.timeout(600)  # a page of real commands
@pytest.mark.parametrize("suite", ["ring", "puck"])
def test_the_commands_of_the_page_do_what_it_says(package: Path, suite: str) -> None:
    (commands,) = (block.splitlines() for block in blocks("") if f"run {suite}.yaml" in block)
    printed = {command: run(command, package) for command in commands}
    task = {"ring": "my-mazes/ring", "puck": "puck/random"}[suite]
    made = next(text for command, text in printed.items() if "data make" in command)
    assert re.search(rf"{task}\S* is ready: [23],000 transitions", made)
    for command, text in printed.items():
        assert "list tasks" not in command or f"\n{task} " in text
        assert "verify" not in command or "every check passes" in text
    table = (package / "results" / suite / "table.md").read_text()
    assert re.search(rf"\| ({task}|bc) \| \S*[0-9]", table)
    (said,) = re.findall(rf"Semantics of {task}: (.*)", table)
    assert re.search(r"Two ways lead around a block|Driving to the corner", said)
    specs = list((package / "results" / suite / "runs").rglob("spec.json"))
    assert specs
    for path in specs:
        assert json.loads((path.parent / "status.json").read_text())["state"] == "done"
