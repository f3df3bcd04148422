from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.runs.folder import read_json
from harness.runs.spec import EvaluationSpec, RunSpec
from harness.tasks import get_task, task_ids, words
from harness.tasks.ids import RewardRule, Scale, Semantics, Source
from harness.tasks.spec import TaskSpec

REPOSITORY = Path(__file__).resolve().parents[3]
BASE = RunSpec(
    task=get_task("pointmaze/umaze"),
    dataset_sha256="ab" * 32,
    algorithm="bc",
    code="0123456789abcdef",
    label="mine",
    config={"learning_rate": 1e-3},
    steps=100,
    evaluation=EvaluationSpec(every=30, episodes=2),
    seed=3,
    compiled=True,
    device="cpu",
    engine_version=1,
)


@pytest.mark.parametrize(
    "change",
    [
        {"task": get_task("pointmaze/umaze-dense")},
        {"task": get_task("pointmaze/umaze", {"transitions": 5})},
        {"task": BASE.task.model_copy(update={"horizon": 299})},
        {"dataset_sha256": "cd" * 32},
        {"algorithm": "iql"},
        {"code": "0123456789abcdee"},
        {"code": ""},
        {"config": {"learning_rate": 1.1e-3}},
        {"steps": 101},
        {"evaluation": EvaluationSpec(every=30, episodes=3)},
        {"evaluation": EvaluationSpec(every=31, episodes=2)},
        {"evaluation": EvaluationSpec(every=30, first=60, episodes=2)},
        {"evaluation": EvaluationSpec(every=30, episodes=2, action_selection="noise-0")},
        {"evaluation": EvaluationSpec(every=30, episodes=2, action_selections=("noise-0",))},
        {"compiled": False},
        {"device": "cuda"},
        {"engine_version": 2},
    ],
    ids=str,
)
def test_everything_that_can_change_a_number_changes_hash_and_cell(change: dict[str, Any]) -> None:
    changed = BASE.model_copy(update=change)
    assert changed.hash != BASE.hash
    assert changed.cell != BASE.cell


def test_the_seed_changes_the_hash_but_not_the_cell() -> None:
    other = BASE.model_copy(update={"seed": 4})
    assert other.hash != BASE.hash
    assert other.cell == BASE.cell


def test_what_is_for_readers_changes_neither() -> None:
    reference = {"source": Source.OWN, "entry": "another page"}
    changes = {"title": "Other", "family": "other", "scale": Scale.OWN, "description": "Hm."}
    changes["reference"] = BASE.task.reference.model_copy(update=reference)
    task = BASE.task.model_copy(update=changes)
    changed = BASE.model_copy(update={"label": "other", "task": task})
    assert (changed.hash, changed.cell) == (BASE.hash, BASE.cell)


def test_rewording_every_id_and_title_changes_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    def hashes() -> dict[str, str]:
        tasks = [get_task(task_id) for task_id in task_ids()]
        return {task.id: BASE.model_copy(update={"task": task}).hash for task in tasks}

    before, said = hashes(), words.semantics(BASE.task)
    for table in (words.REWARDS, words.SEMANTICS, words.SOURCES, words.SCALES, words.ORIGINS):
        for name in table:
            monkeypatch.setitem(table, name, f"other words for {name}")  # type: ignore[misc]
    plain = TaskSpec.__init__

    def retitled(self: TaskSpec, **fields: Any) -> None:
        plain(self, **fields | {"title": "Other", "description": "Other."})

    monkeypatch.setattr(TaskSpec, "__init__", retitled)
    assert words.semantics(BASE.task) != said
    assert {get_task(task_id).title for task_id in ("pointmaze/umaze", "gym/hopper/medium")} == {
        "Other"
    }
    assert hashes() == before


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": BASE.task.dataset.model_copy(update={"rewards": RewardRule.DENSE_GOAL})},
        {"environment": BASE.task.environment.model_copy(update={"semantics": (Semantics.OWN,)})},
        {"values": {"q_noise": 1.0}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_ids_and_values_change_both(change: dict[str, Any]) -> None:
    changed = BASE.model_copy(update={"task": BASE.task.model_copy(update=change)})
    assert changed.hash != BASE.hash
    assert changed.cell != BASE.cell


def test_an_unknown_id_is_refused() -> None:
    fields = json.loads(BASE.task.model_dump_json())
    fields["dataset"]["rewards"] = "as recorded"
    with pytest.raises(ValidationError, match=r"dataset\.rewards"):
        TaskSpec.model_validate(fields)


def test_the_hash_is_that_of_the_files_canonical_json() -> None:
    fields = BASE.to_json()
    for name in ("hash", "cell", "label"):
        del fields[name]
    for name in ("title", "family", "scale"):
        del fields["task"][name]
    fields["task"]["reference"] = {
        name: fields["task"]["reference"][name] for name in ("min", "max")
    }
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    assert BASE.hash == hashlib.sha256(text.encode()).hexdigest()


def test_a_spec_survives_its_file() -> None:
    fields = json.loads(json.dumps(BASE.to_json()))
    assert fields.pop("hash") == BASE.hash
    assert fields.pop("cell") == BASE.cell
    assert RunSpec.model_validate(fields) == BASE


def test_the_folder_names_task_label_cell_and_seed() -> None:
    assert str(BASE.folder) == f"runs/pointmaze_umaze/mine-{BASE.cell[:8]}/seed-3"


@pytest.mark.parametrize(
    ("steps", "every", "expected"),
    [(100, 30, [30, 60, 90, 100]), (90, 30, [30, 60, 90]), (10, 30, [10]), (1, 1, [1])],
)
def test_the_last_step_is_always_evaluated(steps: int, every: int, expected: list[int]) -> None:
    evaluation = EvaluationSpec(every=every, episodes=1)
    spec = BASE.model_copy(update={"steps": steps, "evaluation": evaluation})
    assert spec.evaluation_steps() == expected


@pytest.mark.parametrize(
    ("first", "expected"),
    [(30, [30, 60, 90, 100]), (31, [60, 90, 100]), (60, [60, 90, 100]), (100, [100])],
)
def test_nothing_is_evaluated_before_the_first_step_that_is_to_be(
    first: int, expected: list[int]
) -> None:
    evaluation = EvaluationSpec(every=30, first=first, episodes=1)
    spec = BASE.model_copy(update={"steps": 100, "evaluation": evaluation})
    assert spec.evaluation_steps() == expected
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec


def test_runs_from_before_there_were_other_ways_of_acting_keep_their_hash() -> None:
    fields = BASE.model_dump(mode="json")
    assert fields["evaluation"] == {"every": 30, "episodes": 2}
    evaluation = EvaluationSpec(every=30, episodes=2, action_selections=("noise-0",))
    changed = BASE.model_copy(update={"evaluation": evaluation})
    assert RunSpec.model_validate_json(changed.model_dump_json()) == changed


def test_the_committed_suites_name_the_hash_of_their_committed_runs() -> None:
    folder = REPOSITORY / "results" / "local" / "quickstart"
    planned = json.loads((folder / "suite.json").read_text())["runs"]
    assert planned
    for run in planned:
        spec = read_json(folder / run["path"] / "spec.json")
        assert spec is not None
        assert spec["hash"] == run["hash"]
