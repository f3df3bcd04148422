from __future__ import annotations

import pytest

from algorithms.action_selection import ActionSelection, parse_action_selection


@pytest.mark.parametrize(
    ("name", "noise_scale", "candidates", "softmax"),
    [
        ("noise-0", 0.0, 1, False),
        ("noise-0.5", 0.5, 1, False),
        ("noise-1", 1.0, 1, False),
        ("noise-2", 2.0, 1, False),
        ("best-of-1", 1.0, 1, False),
        ("best-of-4", 1.0, 4, False),
        ("best-of-32", 1.0, 32, False),
        ("softmax-of-1", 1.0, 1, True),
        ("softmax-of-32", 1.0, 32, True),
    ],
)
def test_a_name_says_how_much_noise_how_many_candidates_and_how_one_is_chosen(
    name: str, noise_scale: float, candidates: int, softmax: bool
) -> None:
    assert parse_action_selection(name) == ActionSelection(noise_scale, candidates, softmax)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "mean",
        "noise",
        "noise-",
        "noise-.5",
        "noise--1",
        "noise-1e3",
        "noise-0.5.1",
        "best-of-0",
        "best-of-4.5",
        "best-of--4",
        "best-of-",
        "a best-of-4",
        "Best-of-4",
        "best-of-4\n",
        "softmax-of-0",
        "softmax-4",
        "worst-of-4",
    ],
)
def test_anything_else_is_refused_with_what_to_write(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"is no action selection; write noise-<scale>.*best-of-4.*softmax-of-4"
    ):
        parse_action_selection(name)
