"""Samplers take the steps that libraries were recorded with."""

from __future__ import annotations

import json

import pytest

from tests.oracles.samplers.__main__ import TABLE
from tests.oracles.samplers.replay import RECORDS, difference, load

# What is compared is around 1, mostly in single precision; of a plan, shares of 4000 draws.
TOLERANCE = 1e-4


@pytest.mark.parametrize("name", RECORDS)
def test_steps_equal_the_recorded_ones(name: str) -> None:
    assert difference(name) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("diffusers_actions", "posterior_5", "added_5"),
        ("diffusers_actions", "added_5", "point_5"),
        ("diffusers_plans", "sample_20", "epsilon_20"),
        ("dpm-solver_ode", "free_8", "bounded_8"),
        ("torchcfm_paths", "linear_points", "cosine_points"),
        ("torchcfm_coupling", "plan_0", "plan_1"),
        ("torchdiffeq_flows", "euler_10", "midpoint_10"),
    ],
)
def test_a_record_tells_samplers_apart(name: str, one: str, other: str) -> None:
    """Were these alike, one could stand for the other, or nothing be clipped."""
    found = load(name).found
    assert float((found[one] - found[other]).abs().max()) > 100 * TOLERANCE


def test_the_table_has_every_record() -> None:
    rows = json.loads(TABLE.read_text("utf-8"))
    told = [{key: row[key] for key in row if key != "difference"} for row in rows]
    expected = [load(name).about for name in RECORDS]
    assert told == expected, "run `python -m tests.oracles.samplers`"
    assert max(row["difference"] for row in rows) < TOLERANCE
