from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.suite.schema import find_suite, load_suite, suite_files, suite_names, suite_tasks

WriteSuite = Callable[..., Path]


@pytest.mark.parametrize("path", suite_files(), ids=lambda path: path.stem)
def test_every_shipped_suite_is_valid_and_headed_by_its_command(path: Path) -> None:
    suite, _ = load_suite(path)
    assert suite.name.rpartition("/")[2] == path.stem
    shown = path.relative_to(path.parents[[p.name for p in path.parents].index("suites")])
    assert path.read_text().startswith(f"# python -m harness run suites/{shown}\n")
    assert suite_tasks(suite)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algoritms": {}}, "algoritms: unknown key 'algoritms'. Did you mean 'algorithms'?"),
        (
            {"training": {"steps": 10, "compiled": True}},
            "training.compiled: unknown key 'compiled'. Did you mean 'compile'? "
            "Allowed: steps, online_steps, precision, compile.",
        ),
        (
            {"algorithms": {"bc": {"cofnig": {}}}},
            "algorithms.bc.cofnig: unknown key 'cofnig'. Did you mean 'config'? "
            "Allowed: algorithm, config, steps, sweep, per_task, tasks, action_selection.",
        ),
        (
            {"training": {"steps": "10"}},
            "training.steps: expected a whole number, found the text '10'",
        ),
        (
            {"training": {"steps": 10, "compile": "yes please"}},
            "training.compile: expected true or false, found the text 'yes please'",
        ),
        (
            {"training": {"steps": -5}},
            "training.steps: expected a number of at least 1 and of at most 1,000,000,000, found",
        ),
        (
            {"evaluation": {"every": 10, "episodes": 0}},
            "evaluation.episodes: expected a number of at least 1 and of at most 10,000, found",
        ),
        (
            {"evaluation": {"every": 10, "episodes": 1, "protocol": "lats"}},
            "evaluation.protocol: 'lats' is no protocol; there are last, mean-of-last-K, best, ",
        ),
        (
            {"evaluation": {"every": 20, "episodes": 1, "protocol": "mean-of-last-3"}},
            "evaluation.protocol: 'mean-of-last-3' needs 3 evaluations, and the shortest runs have",
        ),
        (
            {"evaluation": {"every": 10, "first": 21, "episodes": 1, "protocol": "mean-of-last-3"}},
            "evaluation.protocol: 'mean-of-last-3' needs 3 evaluations, and the shortest runs have "
            "2: evaluate more often",
        ),
        (
            {"evaluation": {"every": 10, "first": 41, "episodes": 1}},
            "evaluation.first: the shortest runs have 40 steps: begin by then",
        ),
        (
            {"compare_to": "bcc"},
            "compare_to: unknown row 'bcc'. Did you mean 'bc'?",
        ),
        (
            {"evaluation": {"every": 10, "episodes": 1, "action_selections": ["noise-0", "mean"]}},
            "evaluation.action_selections[1]: 'mean' is no action selection; write noise-<scale>",
        ),
        (
            {"resources": {"gpus_per_trial": 2}},
            "resources.gpus_per_trial: expected a number of at least 0 and of at most 1, found",
        ),
        ({"seeds": 0}, "seeds: seeds must be a count of at least 1"),
        ({"seeds": 10**12}, "at most 1,000, or as many distinct numbers from 0 to 2,147,483,647"),
        ({"seeds": [2**31]}, "seeds: seeds must be a count of at least 1 and at most 1,000"),
        (
            {"evaluation": {"every": 10, "episodes": 10**5}},
            "evaluation.episodes: expected a number of at least 1 and of at most 10,000, found",
        ),
        (
            {"seeds": [1, 1]},
            "seeds: seeds must be a count of at least 1 and at most 1,000, or as many distinct",
        ),
        (
            {"seeds": "three"},
            "seeds: expected a whole number or a list, found the text 'three'",
        ),
        ({"tasks": []}, "tasks: expected at least 1, found the list []"),
        (
            {"tasks": ["pointmaze/umaz"]},
            "tasks[0]: There is no task 'pointmaze/umaz'. Did you mean 'pointmaze/umaze'?",
        ),
        (
            {"tasks": [{"pointmaze/umaze": {"transitons": 5}}]},
            "tasks[0].pointmaze/umaze: pointmaze/umaze has no option 'transitons'",
        ),
        (
            {"tasks": ["pointmaze/umaze", {"pointmaze/umaze": {"transitions": 5}}]},
            "tasks[0]: task 'pointmaze/umaze' is listed 2 times",
        ),
        (
            {"tasks": [3]},
            "tasks[0]: expected a text or a mapping, found the number 3",
        ),
        (
            {"algorithms": {"iqll": {}}},
            "algorithms.iqll: unknown algorithm 'iqll'. Did you mean 'iql'?",
        ),
        (
            {"algorithms": {"mine": {"algorithm": "td3bc"}}},
            "algorithms.mine.algorithm: unknown algorithm 'td3bc'. Did you mean 'td3-bc'?",
        ),
        (
            {"algorithms": {"bc": None}},
            "algorithms.bc: expected a mapping, found nothing; write `bc: {}` for an empty one",
        ),
        (
            {"algorithms": {"a/b": {"algorithm": "bc"}}},
            "algorithms.a/b: expected letters, digits, dots",
        ),
        ({"name": "../elsewhere"}, "name: expected letters, digits, dots"),
        ({"name": "mine/runs"}, "name: 'runs' is a file or folder of results, and names no suite"),
        ({"name": "mine/suite.json"}, "name: 'suite.json' is a file or folder of results"),
    ],
)
def test_a_mistake_is_shown_with_its_place_and_what_is_allowed(
    write_suite: WriteSuite, changes: dict[str, Any], message: str
) -> None:
    path = write_suite(**changes)
    with pytest.raises(UserError) as error:
        load_suite(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "line " in str(error.value)


@pytest.mark.parametrize(
    ("steps", "online_steps", "every", "message"),
    [
        (40, 0, 41, "41 exceeds training.steps, which is 40: make it 40"),
        (40, 0, 15, "15 does not divide training.steps, which is 40: make it 10 or 20"),
        (97, 0, 2, "2 does not divide training.steps, which is 97: make it 1 or 97"),
        (40, 30, 20, "20 does not divide training.online_steps, which is 30: make it 15 or 30"),
        (40, 10, 20, "20 exceeds training.online_steps, which is 10: make it 10"),
    ],
)
def test_evaluations_at_equal_distances_end_with_the_run(
    write_suite: WriteSuite, steps: int, online_steps: int, every: int, message: str
) -> None:
    training = {"steps": steps, "online_steps": online_steps, "compile": False}
    path = write_suite(training=training, evaluation={"every": every, "episodes": 1})
    with pytest.raises(UserError, match=r"line \d+, evaluation\.every: ") as error:
        load_suite(path)
    assert str(error.value).endswith(f"evaluation.every: {message}")


def test_a_missing_key_is_named(write_suite: WriteSuite) -> None:
    path = write_suite("name: x\ntitle: X\n")
    with pytest.raises(UserError) as error:
        load_suite(path)
    for key in ("question", "tasks", "algorithms", "seeds", "training", "evaluation"):
        assert f"{key}: this key is missing" in str(error.value)


def test_all_mistakes_are_listed_at_once_with_their_lines(write_suite: WriteSuite) -> None:
    text = """\
name: tiny
title: Tiny
question: Why?
tasks:
  - pointmaze/umaze
  - pointmaze/nowhere
algorithms:
  bc: {}
  cqll: {}
seeds: 1
training: {steps: 10}
evaluation: {every: 5, episodes: 1}
"""
    with pytest.raises(UserError) as error:
        load_suite(write_suite(text))
    assert "has 2 problems" in str(error.value)
    assert "line 6, tasks[1]: There is no task 'pointmaze/nowhere'" in str(error.value)
    assert "line 9, algorithms.cqll: unknown algorithm 'cqll'" in str(error.value)


def test_seeds_are_a_count_or_a_list(write_suite: WriteSuite) -> None:
    assert load_suite(write_suite(seeds=3))[0].seed_list == [0, 1, 2]
    assert load_suite(write_suite(seeds=[7, 2]))[0].seed_list == [7, 2]


def test_a_suite_is_found_by_name_or_path(
    write_suite: WriteSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_suite()
    assert find_suite(str(path)) == path
    assert find_suite("quickstart").name == "quickstart.yaml"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suites" / "ablations").mkdir(parents=True)
    file = tmp_path / "suites" / "ablations" / "paths.yaml"
    file.write_bytes(path.read_bytes())
    assert find_suite("paths").resolve() == find_suite("ablations/paths").resolve() == file
    assert file in suite_files()
    with pytest.raises(UserError, match=r"no suite 'quikstart'\. Did you mean 'quickstart'\?"):
        find_suite("quikstart")
    with pytest.raises(UserError, match=r"no suite file nowhere/quickstart\.yaml"):
        find_suite("nowhere/quickstart.yaml")
    near = (
        r"no suite file suites/ablations/pths\.yaml\. Did you mean 'suites/ablations/paths\.yaml'\?"
    )
    with pytest.raises(UserError, match=near):
        find_suite("suites/ablations/pths.yaml")


def test_a_name_means_the_suite_that_lies_highest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("suites", "suites/a"):
        (tmp_path / folder).mkdir()
        for name in ("mine", "adroit"):
            (tmp_path / folder / f"{name}.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    assert find_suite("mine") == Path("suites/mine.yaml")
    assert find_suite("a/mine") == Path("suites/a/mine.yaml")
    names = suite_names()
    assert {"mine", "a/mine"} <= set(names)
    assert len(names) == len(set(names))


def test_an_entry_may_train_for_steps_of_its_own(write_suite: WriteSuite) -> None:
    algorithms = {"bc": {}, "long": {"algorithm": "bc", "steps": 40}}
    suite, _ = load_suite(write_suite(algorithms=algorithms))
    assert [suite.steps_of(row.entry) for row in suite.rows] == [suite.training.steps, 40]


@pytest.mark.parametrize(
    ("training", "steps", "message"),
    [
        (
            {"steps": 20},
            25,
            "evaluation.every: 10 does not divide algorithms.bc.steps, which is 25",
        ),
        ({"steps": 20, "online_steps": 10}, 40, "algorithms.bc.steps: all entries go online after"),
    ],
)
def test_steps_that_an_entry_cannot_have(
    write_suite: WriteSuite, training: dict[str, int], steps: int, message: str
) -> None:
    evaluation = {"every": 10, "episodes": 1}
    algorithms = {"bc": {"steps": steps}}
    with pytest.raises(UserError, match=re.escape(message)):
        load_suite(write_suite(algorithms=algorithms, training=training, evaluation=evaluation))
