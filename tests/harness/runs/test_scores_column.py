"""Packed tables lack the scores that returns give back, and come out as they went in."""

from __future__ import annotations

import json
import random

import pytest

from harness.runs.scores_column import with_scores, without_scores
from harness.tasks import get_task

TASK = get_task("pointmaze/umaze")
SPEC = json.dumps({"task": TASK.model_dump(mode="json")}).encode()
HEADER = "seed,step,episode,return,length,terminated,success,normalized_score"


def table(rows: int, *, score: str = "") -> bytes:
    draw = random.Random(rows)
    lines = [HEADER]
    for episode in range(rows):
        value = draw.uniform(-200, 300) * 10 ** draw.randint(-12, 3)
        lines.append(
            f"0,40,{episode},{value!r},300,false,0.0,{score or repr(TASK.normalized_score(value))}"
        )
    return ("\n".join(lines) + "\n").encode()


@pytest.mark.parametrize("file", ["evaluations.csv", "online.csv"])
def test_scores_are_left_out_and_come_back_to_the_bit(file: str) -> None:
    name = f"a-1/seed-0/{file}"
    members = {"a-1/seed-0/spec.json": SPEC, name: table(2000)}
    [(found, emptied)] = without_scores(members).items()
    assert found == name
    lines = emptied.decode().splitlines()
    assert lines[0] == HEADER
    assert all(line.endswith(",0.0,") for line in lines[1:])
    assert with_scores(members | {name: emptied}, [name]) == {name: members[name]}


def test_each_table_has_the_scale_of_its_own_run() -> None:
    other = SPEC.replace(json.dumps(TASK.reference.max).encode(), b"1234.5")
    assert other != SPEC
    rows = f"{HEADER}\n0,40,0,1234.5,300,false,0.0,100.0\n".encode()
    members = {
        "a-1/seed-0/spec.json": SPEC,
        "a-1/seed-0/evaluations.csv": table(3),
        "b-2/seed-0/spec.json": other,
        "b-2/seed-0/evaluations.csv": rows,
    }
    emptied = without_scores(members)
    assert emptied["b-2/seed-0/evaluations.csv"] == rows.replace(b"100.0", b"")
    assert members | with_scores(members | emptied, list(emptied)) == members


@pytest.mark.parametrize(
    "content",
    [
        table(5, score="3.5"),  # of another scale
        table(5).replace(repr(TASK.normalized_score(1.0)).encode(), b"")
        + b"0,40,5,1.0,300,false,0.0,\n",  # one was empty before
        table(5) + b"0,40,5,1.0,300\n0,40,6,,300,false,0.0,\n",  # cut short
        table(5).replace(b"\n", b"\r\n"),
        f"{HEADER}\n".encode(),
        b"seed,step,return\n0,40,1.0\n",
        b"seed,\xff\n",
        b"",
    ],
)
def test_a_table_that_returns_do_not_give_back_is_kept_as_it_is(content: bytes) -> None:
    members = {"a-1/seed-0/spec.json": SPEC, "a-1/seed-0/evaluations.csv": content}
    assert without_scores(members) == {}


def with_reference(low: float, high: float) -> bytes:
    return json.dumps({"task": {"reference": {"min": low, "max": high}}}).encode()


@pytest.mark.parametrize(
    "spec",
    [
        None,
        b"{}",
        b'{"task": 1}',
        b"[",
        b'{"task": {"reference": 2}}',
        with_reference(1.0, 1.0),
        with_reference(0.0, 10**400),
    ],
)
def test_a_run_without_reference_scores_is_kept_and_its_scores_do_not_come_back(
    spec: bytes | None,
) -> None:
    name = "a-1/seed-0/evaluations.csv"
    members = {name: table(3)} | ({"a-1/seed-0/spec.json": spec} if spec is not None else {})
    assert without_scores(members) == {}
    with pytest.raises(ValueError, match=r"reference scores|it lacks|not one|value"):
        with_scores(members, [name])


def test_other_tables_are_not_touched() -> None:
    members = {"a-1/seed-0/spec.json": SPEC, "a-1/seed-0/metrics.csv": table(3)}
    assert without_scores(members) == {}


def test_a_table_that_is_not_there_is_damage() -> None:
    with pytest.raises(ValueError, match=r"it lacks a-1/seed-0/evaluations.csv"):
        with_scores({"a-1/seed-0/spec.json": SPEC}, ["a-1/seed-0/evaluations.csv"])
