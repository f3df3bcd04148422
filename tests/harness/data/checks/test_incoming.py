"""What cannot be trained on is refused as it comes in, with its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.data.checks.incoming import checked
from harness.errors import UserError

Arrays = dict[str, Any]


def episode(**changes: Any) -> Arrays:
    """Four steps with two-dimensional observations and actions, truncated at the end."""
    last = np.arange(4) == 3
    return {
        "observations": np.zeros((5, 2)),
        "actions": np.zeros((4, 2), np.float32),
        "rewards": np.ones(4),
        "terminations": np.zeros(4, bool),
        "truncations": last,
    } | changes


def put(array: Any, step: int, value: float) -> Any:
    array = np.array(array, float)
    array[step] = value
    return array


def test_good_episodes_pass_as_they_are() -> None:
    given = [episode(), episode(truncations=np.zeros(4, bool), terminations=np.arange(4) == 3)]
    assert [*checked("x", given)] == given


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rewards": put(np.ones(4), 2, np.nan)}, r"'rewards' holds nan in step 2"),
        ({"rewards": put(np.ones(4), 1, np.inf)}, r"'rewards' holds inf in step 1"),
        ({"rewards": put(np.ones(4), 0, 1e300)}, r"'rewards' holds 1e\+300 in step 0"),
        ({"observations": put(np.zeros((5, 2)), 4, -np.inf)}, r"'observations' holds .* in step 4"),
        ({"rewards": np.ones(3)}, r"'rewards' has the shape \[3\], expected \[4\]"),
        ({"observations": np.zeros((4, 2))}, r"4 actions and 4 of 'observations', expected 5"),
        ({"actions": np.zeros(4)}, r"'actions' have the shape \[4\]"),
        ({"actions": np.zeros((0, 2))}, "it has no steps"),
        ({"truncations": np.zeros(4, bool)}, "neither terminated nor truncated"),
        ({"rewards": np.array(["a"] * 4)}, "'rewards' holds <U1 and not numbers"),
    ],
)
def test_the_place_of_what_is_wrong_is_named(changes: Arrays, problem: str) -> None:
    with pytest.raises(UserError, match=f"hands/x-v0: episode 1: .*{problem}"):
        list(checked("hands/x-v0", [episode(), episode(**changes)]))
