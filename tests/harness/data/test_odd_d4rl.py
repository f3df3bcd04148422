"""HDF5 files in D4RL's place that cannot be trained on: one sentence with the file and the row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import data
from harness.errors import UserError
from harness.tasks import d4rl_files, get_task
from tests.harness.data.tiny import endless, leave_d4rl


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    """The folder of D4RL's files, still empty; any bytes may be theirs."""
    monkeypatch.setenv("HARNESS_D4RL_DATA", str(tmp_path / "files"))
    monkeypatch.setattr(d4rl_files, "CHECKSUMS", {})
    return tmp_path / "files"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"actions": np.zeros((20, 3), np.uint8)}, "'actions' holds uint8, as discrete"),
        ({"actions": np.arange(20)}, "'actions' holds int64, as discrete"),
        ({"rewards": np.where(np.arange(20) == 7, np.nan, 0)}, "row 7 of its rewards holds nan"),
        ({"rewards": np.full(20, 1e300)}, "row 0 of its rewards holds 1e+300"),
        ({"actions": np.full((20, 3), np.inf)}, "row 0 of its actions holds [inf, inf, inf]"),
        ({"rewards": np.zeros(19)}, "19 rewards"),
        ({"rewards": np.float32(1)}, "'rewards' of the file is no array"),
        ({"rewards": ["a"] * 20}, "holds Python objects"),
        (
            {"rewards": np.zeros(20, complex)},
            "'rewards' of the file holds complex128 and not numbers",
        ),
        ({"rewards": endless}, "there is not enough memory"),
        ({"terminals": None}, "it has no terminals"),
        ({"terminals": np.full(20, np.nan)}, "terminals are not all 0 or 1"),
        ({"observations": np.zeros((20, 8, 8, 3))}, "observations have the shape [20, 8, 8, 3]"),
        ({"observations": None, "observations/a": np.zeros(20)}, "but a group, of 'a'"),
        ({"observations": np.zeros((20, 17))}, "have 17 and 3 numbers, those of Hopper-v5"),
    ],
)
def test_the_file_and_the_row_are_named(
    changes: dict[str, Any], problem: str, here: Path, root: Path
) -> None:
    path = leave_d4rl(here, **changes)
    with pytest.raises(UserError) as error:
        data.ensure(get_task("gym/hopper/medium"))
    assert str(path) in str(error.value)
    assert problem in str(error.value)
    assert not list(root.glob("*.lock.json"))
    assert not list(root.glob("minari/**/main_data.hdf5"))
