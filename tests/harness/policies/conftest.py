from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.execution.work import work
from tests.harness.conftest import trials_of


@pytest.fixture
def finished(
    plan_of: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[Path]]:
    """Train a tiny suite with some keys changed; its runs' folders. Its data are out of reach."""

    def finish(**changes: Any) -> list[Path]:
        plan = plan_of(**changes)
        for trial in trials_of(plan):
            assert [*work(trial)]
        monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "no data here"))
        return [plan.folder(spec).path for spec in plan.runs]

    return finish
