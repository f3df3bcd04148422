"""What `harness eval` and `harness export` print and write."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scipy import stats

from harness.commands.eval import evaluate_run
from harness.commands.export import export_run
from harness.errors import UserError
from harness.policies.evaluation import evaluate
from harness.policies.saved import open_run

Finished = Callable[..., list[Path]]
BANDIT = {"multimodal/modes-2-dim-2": {"transitions": 200}}  # episodes of one step


def evaluated(folder: Path, capsys: pytest.CaptureFixture[str], **changes: Any) -> str:
    asked = {"episodes": None, "seed": None, "video": None, "action_selection": None}
    evaluate_run(folder, **(asked | changes), console=Console(width=200))
    return capsys.readouterr().out


def test_eval_prints_the_score_its_interval_and_that_it_is_the_stored_one(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, *_ = finished(tasks=[BANDIT], algorithms={"iql": {}})
    text = evaluated(folder, capsys)
    assert "stored    the same returns, bit for bit" in text
    assert re.search(r"decision  [\d.]+ ms for one observation", text)
    run = open_run(folder)
    scores = [run.spec.task.normalized_score(value) for value in evaluate(run).returns]
    low, high = stats.t.interval(
        0.95, len(scores) - 1, loc=sum(scores) / len(scores), scale=stats.sem(scores)
    )
    printed = re.search(r"interval  (\S+) to (\S+) ", text)
    assert printed is not None
    assert [float(value) for value in printed.groups()] == pytest.approx((low, high), abs=0.02)


def test_eval_says_when_the_stored_returns_are_others(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, *_ = finished(tasks=[BANDIT], algorithms={"iql": {}})
    path = folder / "evaluations.csv"
    last = path.read_text().splitlines()[-1].split(",")
    changed = [*last[:4], repr(float(last[4]) + 2), *last[5:]]
    path.write_text(path.read_text().replace(",".join(last), ",".join(changed)))
    text = evaluated(folder, capsys)
    assert "stored    not the same returns: they differ by up to 2 " in text


def test_a_task_without_pictures_cannot_be_filmed(
    finished: Finished, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder, *_ = finished(tasks=[BANDIT])
    with pytest.raises(UserError, match="draws no pictures: leave the video out"):
        evaluated(folder, capsys, video=tmp_path / "film.gif")


@pytest.mark.parametrize("folder", [".", "/", "policies"])
def test_export_needs_a_file_to_write(
    folder: str, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, *_ = finished(tasks=[BANDIT])
    (tmp_path / "policies").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is a folder: give the file to write, as "):
        export_run(run, Path(folder), action_selection=None, console=Console())


def test_export_says_what_it_wrote(
    finished: Finished, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder, *_ = finished(tasks=[BANDIT])
    export_run(folder, tmp_path / "policy.pt", None, Console(width=200))
    assert "differ by at most 0" in capsys.readouterr().out
    assert (tmp_path / "policy.pt").stat().st_size > 0
