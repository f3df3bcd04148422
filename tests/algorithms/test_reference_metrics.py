"""Code that all methods share stands in no digest of theirs: its numbers are held to a file."""

from __future__ import annotations

import json
import math

import pytest

from algorithms.engine.version import ENGINE_VERSION
from tests.algorithms.reference_metrics import FILE, Numbers, measure, our_algorithms

# Other instruction sets moved these numbers by up to 3e-6 of themselves.
RELATIVE, ABSOLUTE = 5e-4, 1e-6
ANEW = "write the file anew with: python -m tests.algorithms.reference_metrics"
MOVED = (
    "the numbers of shared code moved: if on purpose, raise ENGINE_VERSION in "
    f"algorithms/engine/version.py and {ANEW}"
)
KEPT = json.loads(FILE.read_text())


def differences(found: Numbers, kept: Numbers) -> list[str]:
    """What is another number than it was, a line each."""
    flat, reference = (
        {(step, name): values for step, group in side.items() for name, values in group.items()}
        for side in (found, kept)
    )
    return [
        f"{name} after {step} updates: {flat.get((step, name))}, was {reference.get((step, name))}"
        for step, name in flat.keys() | reference.keys()
        if not close(flat.get((step, name), []), reference.get((step, name), []))
    ]


def close(found: list[float], kept: list[float]) -> bool:
    return len(found) == len(kept) and all(
        math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
        for a, b in zip(found, kept, strict=True)
    )


@pytest.mark.parametrize("algorithm_id", our_algorithms())
def test_shared_code_computes_what_it_did(algorithm_id: str) -> None:
    assert algorithm_id in KEPT["numbers"], f"{algorithm_id} is new: {ANEW}"
    moved = differences(measure(algorithm_id), KEPT["numbers"][algorithm_id])
    assert not moved, "\n".join([f"{MOVED} (a method's own code needs the latter alone)", *moved])


def test_the_file_is_of_this_engine_and_of_these_methods() -> None:
    assert KEPT["engine_version"] == ENGINE_VERSION, ANEW
    assert KEPT["numbers"].keys() == set(our_algorithms()), ANEW


def test_a_number_that_moves_is_told() -> None:
    kept: Numbers = {"4": {"critic/loss": [1.0, 2.0], "value/loss": [0.5, 0.5]}}
    moved: Numbers = {"4": {"critic/loss": [1.0, 2.002], "value/loss": [0.5, 0.5]}}
    assert differences(kept, kept) == []
    assert differences(moved, kept) == ["critic/loss after 4 updates: [1.0, 2.002], was [1.0, 2.0]"]
    assert len(differences({}, kept)) == 2
