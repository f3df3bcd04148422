"""The wheel, built and installed as a stranger would: in an empty folder, with no checkout near.

Other packages come from the environment that runs the tests; ours from the wheel alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

from harness import __version__

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("algorithms", "baselines", "harness")
# Installed under another name.
FOLDERS = {"suites": "harness/suites", "results/published": "harness/published/shipped"}
SOURCES = (*PACKAGES, *FOLDERS, "pyproject.toml", "setup.py", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since building leaves files beside the sources."""
    folder = tmp_path_factory.mktemp("build")
    for name in SOURCES:
        source, copy = REPOSITORY / name, folder / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, copy)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder)
    pip("wheel", *options, folder / "source")
    [built] = folder.glob("*.whl")
    return built


@dataclass(frozen=True)
class Installation:
    """An environment that the wheel was installed into, and an empty folder to work in."""

    environment: Path
    folder: Path

    def __call__(self, *command: str) -> str:
        """What a program of the environment prints; it must succeed."""
        # Neither the checkout nor a folder of the tester's: what a stranger's shell has.
        mine = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HARNESS_"))}
        program, *arguments = command
        result = subprocess.run(
            [self.environment / "bin" / program, *arguments],
            cwd=self.folder,
            env=mine,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False)
    pip("--python", environment / "bin" / "python", "install", "--no-deps", "--no-index", wheel)
    [site] = environment.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    # Folders that a .pth file names follow the environment's own, and their .pth files, such as
    # that of an editable installation of ours, are not read.
    (site / "others.pth").write_text("\n".join(others))
    return Installation(environment, tmp_path_factory.mktemp("empty"))


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_wheel_holds_every_file_of_the_packages_suites_and_licence(wheel: Path) -> None:
    places = {name: name for name in PACKAGES} | FOLDERS
    expected = {
        f"{place}/{path.relative_to(REPOSITORY / name)}"
        for name, place in places.items()
        for path in (REPOSITORY / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    held = set(ZipFile(wheel).namelist())
    assert expected <= held
    others = {name.rpartition("/")[2] for name in held - expected}
    assert others == {
        *("METADATA", "WHEEL", "RECORD", "LICENSE"),
        *("entry_points.txt", "top_level.txt"),
    }


def test_our_packages_are_those_of_the_wheel(installed: Installation) -> None:
    for name in PACKAGES:
        place = installed("python", "-c", f"import {name}; print({name}.__file__)")
        assert Path(place).is_relative_to(installed.environment)
    assert installed("harness", "--version") == f"harness {__version__}\n"


def test_suites_tasks_and_algorithms_are_listed(installed: Installation) -> None:
    suites = json.loads(installed("harness", "list", "suites", "--json"))
    assert len(suites) == len(list((REPOSITORY / "suites").rglob("*.yaml")))
    for what in ("algorithms", "tasks"):
        here = [sys.executable, "-m", "harness", "list", what, "--json"]
        known = subprocess.run(here, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        assert installed("harness", "list", what, "--json") == known.stdout


def test_published_scores_are_found(installed: Installation) -> None:
    program = "from harness.published import shipped; print(len(shipped()))"
    assert int(installed("python", "-c", program)) > 1000


def test_the_quickstart_smokes_in_an_empty_folder(installed: Installation) -> None:
    printed = installed("harness", "run", "quickstart", "--smoke", "--executor", "local")
    assert "runs: 14 done" in printed
    assert sorted(path.name for path in installed.folder.iterdir()) == ["data", "results"]
    results = installed.folder / "results" / "quickstart-smoke"
    assert (results / "report.html").stat().st_size > 0
    suite = json.loads((results / "suite.json").read_text())
    assert suite["command"] == "python -m harness run quickstart --smoke"
