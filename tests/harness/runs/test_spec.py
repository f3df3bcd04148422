from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from harness.runs.spec import EvaluationSpec, RunSpec
from harness.tasks import get_task

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


def test_words_change_neither() -> None:
    reference = BASE.task.reference.model_copy(update={"source": "another page"})
    task = BASE.task.model_copy(update={"title": "Other", "reference": reference})
    changed = BASE.model_copy(update={"label": "other", "task": task})
    assert (changed.hash, changed.cell) == (BASE.hash, BASE.cell)


def test_the_hash_is_that_of_the_files_canonical_json() -> None:
    fields = BASE.to_json()
    for name in ("hash", "cell", "label"):
        del fields[name]
    del fields["task"]["title"], fields["task"]["suite"], fields["task"]["reference"]["source"]
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


def test_runs_from_before_there_were_other_ways_of_acting_keep_their_hash() -> None:
    fields = BASE.model_dump(mode="json")
    assert fields["evaluation"] == {"every": 30, "episodes": 2}
    evaluation = EvaluationSpec(every=30, episodes=2, action_selections=("noise-0",))
    changed = BASE.model_copy(update={"evaluation": evaluation})
    assert RunSpec.model_validate_json(changed.model_dump_json()) == changed


def test_runs_from_before_code_was_recorded_keep_their_hash() -> None:
    assert "code" not in BASE.model_copy(update={"code": ""}).to_json()


def test_the_committed_runs_still_have_the_hash_they_were_written_with() -> None:
    files = sorted((REPOSITORY / "results" / "local" / "quickstart").rglob("spec.json"))
    assert files
    for file in files:
        fields = json.loads(file.read_text())
        written = fields.pop("hash"), fields.pop("cell")
        spec = RunSpec.model_validate(fields)
        assert (spec.hash, spec.cell) == written
