"""SAC's trainings beside published ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.docs.sac_trainings import sac_trainings_table
from harness.errors import UserError

CURVE = """step,episodes,score,mean_return,mean_length
90001,1,1,100,1
95500,1,1,1000,1
100300,1,1,2000,1
104999,1,1,3000,1
105001,1,1,9000,1
500010,1,1,3210,1
"""


def test_a_body_stands_beside_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation comes after the first episode to end after a multiple of 5,000 steps."""
    (tmp_path / "hopper").mkdir()
    (tmp_path / "hopper" / "curve.csv").write_text(CURVE)
    monkeypatch.setattr("harness.docs.sac_trainings.FOLDER", tmp_path)
    header, _, ours, theirs, _, note = sac_trainings_table().splitlines()
    assert header.startswith("| Return after | 100,000 | 200,000 |")
    assert ours.startswith("| hopper, here | 2,000 |")  # of 1,000, 2,000 and 3,000
    assert theirs.startswith("| hopper, published | 2,613 ± 991 |")
    assert "thu-ml/tianshou" in note


def test_a_damaged_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.docs.sac_trainings._FILE", tmp_path / "published.json")
    with pytest.raises(UserError, match=r"published.json cannot be read"):
        sac_trainings_table()
