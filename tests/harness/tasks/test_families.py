"""Families of tasks that installed packages offer, and what is left out of them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import data
from harness.data import catalog
from harness.data.recipe import recipe_of
from harness.errors import UserError
from harness.tasks import find_task, get_task, pointmaze_task, task_ids, task_of_dataset
from harness.tasks.families import _import_installed
from harness.tasks.mazes import maze_of

REPOSITORY = Path(__file__).resolve().parents[3]
RING = ("#####", "#  G#", "# # #", "#   #", "#####")
GOOD = """
from harness.tasks import TaskList, pointmaze_task
FAMILY = TaskList(pointmaze_task("mine/ring", layout=("####", "# G#", "####"), horizon=20))
"""


@pytest.fixture
def install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], Path]]:
    """Put a package on the path whose entry point is `<name>:FAMILY`; returns its folder."""

    def put(name: str, text: str) -> Path:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[harness.tasks]\n{name} = {name}:FAMILY\n")
        monkeypatch.syspath_prepend(tmp_path)
        _import_installed.cache_clear()
        return tmp_path

    yield put
    _import_installed.cache_clear()


def test_an_installed_family_stands_beside_ours(install: Callable[[str, str], Path]) -> None:
    before = task_ids()
    install("good_tasks", GOOD)
    assert task_ids() == [*before, "mine/ring"]
    task = get_task("mine/ring", {"transitions": 500, "data_seed": 2})
    assert task.dataset.id == "mine/ring-500-seed2-v0"
    assert task_of_dataset(task.dataset.id) == task


def test_our_own_tasks_are_found_without_importing_any(
    install: Callable[[str, str], Path],
) -> None:
    install("exploding_tasks", "raise SystemExit('boom')")
    assert get_task("multimodal/modes-2-dim-2").known_q
    assert "exploding_tasks" not in sys.modules


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        ("raise SystemExit('boom')", "boom"),
        ("OTHER = 1", "has no attribute 'FAMILY'"),
        ("FAMILY = 3", "is not a Family but int"),
        (GOOD.replace("mine/ring", "pointmaze/umaze"), "is one of the harness's own"),
        (GOOD.replace("mine/ring", "mine/ring-2k"), "must not end like a size"),
        (GOOD.replace("# G#", "#  #"), "a maze has one goal 'G'"),
        (
            GOOD.replace(", horizon=20", ""),
            "TypeError: pointmaze_task() missing 1 required keyword-only argument: 'horizon' "
            "(odd_tasks.py:3)",
        ),
        (GOOD.replace("20", "0"), "its horizon must be at least 1 step, found 0 (odd_tasks.py:3)"),
        (
            "from harness.tasks import ReferenceScores\n\n"
            "SCORES = ReferenceScores(min=1, max=1, source='own')",
            "left out: ReferenceScores cannot be: the reference scores are equal, so nothing can "
            "be normalised by them (odd_tasks.py:3)",
        ),
        (
            "from harness.tasks import ReferenceScores\nSCORES = ReferenceScores(min=1, source=2)",
            "left out: ReferenceScores's 'max' cannot be: Field required (odd_tasks.py:2)",
        ),
        (
            GOOD
            + "class Odd(TaskList):\n    def build(self, task_id, options): return None\n"
            + "FAMILY = Odd(*FAMILY._tasks.values())",
            "it lists 'mine/ring' and does not build it",
        ),
    ],
)
def test_what_cannot_be_used_is_left_out_in_one_line(
    install: Callable[[str, str], Path], text: str, reason: str
) -> None:
    folder = install("odd_tasks", text)
    result = subprocess.run(
        [sys.executable, "-m", "harness", "list", "tasks"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{REPOSITORY}"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "pointmaze/umaze" in result.stdout
    assert "mine/ring" not in result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: the tasks 'odd_tasks' of the package odd_tasks are left out")
    assert reason in line


def test_a_task_of_a_family_that_is_left_out_is_answered_with_that(
    install: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    install("pointmase", "FAMILY = 3")
    with pytest.raises(UserError, match=r"'pointmase/umaze'\. Its family could not be used"):
        get_task("pointmase/umaze")
    with pytest.raises(UserError, match=r"'pointmase/umaze'\. Its family could not be used"):
        catalog.resolve("pointmase/umaze")
    assert "warning: the tasks 'pointmase'" in capsys.readouterr().err
    with pytest.raises(UserError, match="Did you mean 'pointmaze/umaze'"):
        get_task("pointmaz/umaze")


RECIPE = """
import numpy as np
from harness.data.recipe import Origin, Recipe
from harness.tasks import OwnTask, TaskList, get_task
from harness.tasks.environment import make_unwrapped

class Still(Recipe):
    def episodes(self, task, workers, progress):
        yield {
            "observations": np.zeros((4, 11)), "actions": np.zeros((3, 3), np.float32),
            "rewards": np.arange(3.0), "terminations": np.zeros(3, bool),
            "truncations": np.arange(3) == 2,
        }
    def origin(self, task):
        env = make_unwrapped(task.environment, task.horizon)
        return Origin("nobody", "Nothing moves.", env, ("gymnasium",))

def build(options):
    base = get_task("gym/hopper/medium")
    data = base.dataset.model_copy(update={
        "id": "mine/still-v0", "source": "recipe", "recipe": "still", "params": {},
    })
    return base.model_copy(update={"id": "mine/still", "dataset": data})

STILL = Still()
FAMILY = TaskList(OwnTask("mine/still", build), recipes={"still": "still_tasks:STILL"})
"""


def test_a_family_brings_the_recipe_of_its_data(
    install: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    install("still_tasks", RECIPE)
    loaded = data.ensure(get_task("mine/still"))
    assert loaded.transitions.rewards.tolist() == [0.0, 1.0, 2.0]
    assert loaded.manifest["dataset"]["dataset"]["recipe"] == "still"


@pytest.mark.parametrize("name", ["still", "os", "recipe", "kept-policies", "..store"])
def test_only_recipes_that_somebody_offers_are_imported(name: str) -> None:
    task = get_task("pointmaze/umaze")
    dataset = task.dataset.model_copy(update={"recipe": name})
    with pytest.raises(UserError, match="Nobody offers the recipe"):
        recipe_of(task.model_copy(update={"dataset": dataset}))


def test_a_layout_is_a_maze_with_its_goal_and_rewards_are_for_it() -> None:
    task = pointmaze_task("mine/ring", layout=RING, horizon=50).build({})
    maze = maze_of(task.dataset.params)
    assert (maze.goal, maze.horizon) == ((1, 3), 50)
    assert len(maze.free_cells()) == 8
    assert task.environment.kwargs["maze_map"][1] == [1, 0, 0, "g", 1]  # type: ignore[index, call-overload]
    assert task.normalized_score(25.0) == 50.0
    assert find_task("mine/ring") is None  # it is in no installed family


@pytest.mark.parametrize(
    ("layout", "complaint"),
    [
        (("###", "#G#"), "no wall all around"),
        (("####", "#G #", "###"), "rows of one length"),
        (("####", "#Gx#", "####"), "made of '#'"),
        (("###", "#G#", "###"), "one more free cell; found 1 goals and 0 free"),
        (("#####", "#G# #", "#####"), r"no way to the goal from the cells \[\(1, 3\)\]"),
    ],
)
def test_what_is_no_maze_is_refused(layout: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        pointmaze_task("mine/x", layout=layout, horizon=50)
