"""A results folder knows its suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.execution.plan import Plan
from harness.runs.suite_file import SuiteFile

PlanOf = Callable[..., Plan]


@pytest.mark.parametrize("change", [{"title": "Another"}, {"file": "other.yaml"}], ids=str)
def test_another_suite_of_the_same_name_is_refused_and_changes_nothing(
    plan_of: PlanOf, tmp_path: Path, change: dict[str, str]
) -> None:
    mine = plan_of().suite_file("command")
    mine.write(tmp_path)
    before = (tmp_path / "suite.json").read_bytes()
    with pytest.raises(UserError, match="the results of another suite called 'tiny'") as error:
        mine.model_copy(update=change).write(tmp_path)
    assert "another `name`" in str(error.value)
    assert (tmp_path / "suite.json").read_bytes() == before


def test_the_same_suite_with_other_content_goes_on(plan_of: PlanOf, tmp_path: Path) -> None:
    plan_of().suite_file("command").write(tmp_path)
    other = plan_of(seeds=5, question="Another?").suite_file("command")
    other.write(tmp_path)
    assert SuiteFile.read(tmp_path) == other


@pytest.mark.parametrize("text", ["", "[1]", "{", "null"])
def test_a_damaged_one_is_written_anew(plan_of: PlanOf, tmp_path: Path, text: str) -> None:
    (tmp_path / "suite.json").write_text(text)
    plan_of().suite_file("command").write(tmp_path)
    assert '"name": "tiny"' in (tmp_path / "suite.json").read_text()
