"""Losses, gradients and weights equal those that other people's code was recorded with."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.oracles.__main__ import TABLE
from tests.oracles.plain import SHARE, plain_oracles
from tests.oracles.replay import RECORDS, differences, load

TOLERANCE = 1e-5  # what is compared is around 1, in single precision, and a step is 1e-2


@pytest.mark.parametrize("name", RECORDS)
def test_updates_equal_the_recorded_ones(name: str) -> None:
    found = differences(load(name))
    assert found.keys() >= {"losses", "gradients", "weights"}
    assert max(found.values()) < TOLERANCE, found


def test_a_recorded_update_moves_what_it_trains() -> None:
    """Were the weights after those before, nothing would be compared."""
    for name in RECORDS:
        before, after = (load(name).group(group) for group in ("before", "after"))
        assert {key for key in after if not key.startswith("adam")} == before.keys()
        trained = {key.split("/")[1] for key in after if key.startswith("adam")}
        moved = {key for key in before if not np.array_equal(before[key], after[key])}
        assert moved >= {key for key in before if key.split("/")[1] in trained}, name


def test_the_table_has_every_record_and_every_method() -> None:
    rows = json.loads(TABLE.read_text("utf-8"))
    told = [{key: row[key] for key in row if key != "differences"} for row in rows]
    for name in RECORDS:
        assert load(name).row() in told, f"{name}: run `python -m tests.oracles`"
    assert {row["method"] for row in rows} == plain_oracles().keys()
    for row in rows:
        for kind, difference in row["differences"].items():
            assert difference < (1e-2 if kind == SHARE else 1e-4)
