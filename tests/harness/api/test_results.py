"""What `harness.run` takes and returns, of a suite that has been run before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.execution.plan import Plan
from harness.execution.work import work
from tests.harness.conftest import trials_of

TWO = {"algorithms": {"bc": {}, "slow-bc": {"algorithm": "bc"}}, "seeds": 2}


@pytest.fixture
def again(
    plan_of: Callable[..., Plan], write_suite: Callable[..., Path], tmp_path: Path
) -> Callable[..., harness.Results]:
    """Gives `harness.run` of a finished suite what it is given."""
    for trial in trials_of(plan_of(**TWO)):
        list(work(trial))
    suite = write_suite(**TWO)

    def run(**asked: Any) -> harness.Results:
        return harness.run(suite, folder=tmp_path / "results", **asked)

    return run


def test_one_pattern_is_not_taken_for_its_letters(
    again: Callable[..., harness.Results], capsys: pytest.CaptureFixture[str]
) -> None:
    again(only="slow-bc")
    assert "2 runs of 40 steps, 2 done already" in capsys.readouterr().out
    again(only=["slow-bc", "bc"], quiet=True)
    with pytest.raises(harness.UserError, match="--only dqn selects nothing"):
        again(only="dqn", quiet=True)
    with pytest.raises(harness.UserError, match="no tracker 'wandbb'"):
        again(log="wandbb", quiet=True)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"seeds": 0}, "seeds is a number of seeds, 1 to 1,000: 0"),
        ({"seeds": 2.5}, "seeds is a number of seeds, 1 to 1,000: 2.5"),
        ({"seeds": "3"}, "seeds is a number of seeds, 1 to 1,000: '3'"),
        ({"executor": "slurm"}, "no executor 'slurm': it is local or ray"),
        ({"executor": "local", "address": "auto"}, "needs the executor ray"),
        ({"fresh": True, "keep": True}, "give one of them"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_for_is_one_sentence_also_of_a_finished_suite(
    asked: dict[str, Any], sentence: str, again: Callable[..., harness.Results]
) -> None:
    with pytest.raises(harness.UserError, match=sentence):
        again(quiet=True, **asked)


def test_results_print_as_counts(again: Callable[..., harness.Results]) -> None:
    found = again(quiet=True)
    counts = (
        f"4 runs (4 done), {len(found.evaluations)} episodes, {len(found.curves)} evaluations, "
        f"{len(found.metrics)} training metrics, 0 damaged"
    )
    assert repr(found) == f"<Results in {found.folder}: {counts}>"
