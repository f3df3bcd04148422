"""Sections are independent: each knows the common ground of the report, and no other section."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.report.sections import SECTIONS
from tests.test_architecture import REPOSITORY, modules_of

FOLDER = "harness/report/sections"
NAMES = sorted(
    path.stem for path in (REPOSITORY / FOLDER).iterdir() if not path.name.startswith("__")
)


def files_of(section: str) -> list[Path]:
    folder = REPOSITORY / FOLDER / section
    return [*folder.rglob("*.py")] if folder.is_dir() else [folder.with_suffix(".py")]


@pytest.mark.parametrize("section", NAMES)
def test_a_section_knows_no_other(section: str) -> None:
    own = f"harness.report.sections.{section}"
    for path in files_of(section):
        for module in modules_of(path):
            if module.startswith("harness.report.sections"):
                assert f"{module}.".startswith(f"{own}."), f"{path} imports {module}"


def test_every_section_is_in_the_report() -> None:
    listed = {section.__module__.rpartition(".")[2] for section in SECTIONS}
    assert sorted(listed) == NAMES
