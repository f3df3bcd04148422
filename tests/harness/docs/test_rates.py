"""The table of how fast methods train, from a file of `harness bench --methods`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.docs.place import Place
from harness.docs.rates import gpu_rates_table, rates_table
from harness.errors import UserError


def rate(name: str, **numbers: Any) -> dict[str, Any]:
    """A stage's line of the file, as the bench writes it."""
    known = {"median": 10.0, "low": 9.0, "high": 11.0, "ratio": 0.5, "base": "bc", "flop": 2e6}
    return {"name": name, **known, "bound": 20.0, "share": 0.5, "peak_memory_mb": 1.0, **numbers}


def place(folder: Path) -> Place:
    return Place(page=folder / "docs" / "speed.md", results=folder)


def test_every_stage_has_a_line_and_the_lowest_shares_are_named(tmp_path: Path) -> None:
    stages = [rate("bc", share=0.9, ratio=1.0), rate("slow, stage 2 of 2", share=0.41)]
    stages += [rate("unknown", flop=None, bound=None, share=None), rate("middle", share=0.6)]
    found = {"training": stages, "failed": {"odd": "it broke"}, "cpu": "a CPU"}
    (tmp_path / "rates.json").write_text(json.dumps({**found, "packages": {"torch": "2"}}))
    table = rates_table(place(tmp_path), "rates.json")
    assert "| slow, stage 2 of 2 | 10 | 9 – 11 | 0.50 | 2 | 20 | 41% |" in table
    assert "| unknown | 10 | 9 – 11 | 0.50 |  |  |  |" in table
    assert "of bc's" in table
    assert "The lowest of 3 shares: slow, stage 2 of 2 41%, middle 60%, bc 90%." in table
    assert "- odd: not measured: it broke" in table


def test_a_gpus_rates_are_compared_with_what_the_file_says(tmp_path: Path) -> None:
    one = rate("iql, 1 seeds", median=4400.0, ratio=1.0, base="iql, 1 seeds")
    five = rate("iql, 5 seeds", ratio=3.66, base="iql, 1 seeds", peak_memory_mb=300.2)
    found = {"training": [one, five], "failed": {}, "cpu": "a CPU", "gpu": "a GPU"}
    (tmp_path / "gpu.json").write_text(json.dumps({**found, "packages": {"torch": "2"}}))
    table = gpu_rates_table(place(tmp_path), "gpu.json")
    assert "a GPU, torch 2, a CPU." in table
    assert "| iql, 1 seeds | 4,400 | 9 – 11 |  | 1 |" in table
    assert "| iql, 5 seeds | 10 | 9 – 11 | 3.66 × iql, 1 seeds | 300 |" in table


@pytest.mark.parametrize(
    ("git", "words"),
    [
        ({"commit": "1a2b3c4d5e", "dirty": False}, ", at 1a2b3c4."),
        ({"commit": "1a2b3c4d5e", "dirty": True}, ", at 1a2b3c4 with changes."),
        ({"unknown": "it is in no git checkout"}, "."),
    ],
)
def test_the_commit_that_was_measured_is_said(
    tmp_path: Path, git: dict[str, Any], words: str
) -> None:
    found = {"training": [rate("bc")], "failed": {}, "cpu": "a CPU", "gpu": "a GPU", "git": git}
    (tmp_path / "gpu.json").write_text(json.dumps({**found, "packages": {"torch": "2"}}))
    assert gpu_rates_table(place(tmp_path), "gpu.json").startswith(f"a GPU, torch 2, a CPU{words}")


@pytest.mark.parametrize(
    ("table", "file", "command"),
    [
        (rates_table, "methods.json", "harness bench --methods '\\*' --json"),
        (rates_table, "cpu.json", "harness bench --json"),
        (gpu_rates_table, "gpu.json", "harness bench --device cuda --json"),
        (gpu_rates_table, "gpu_unifloral.json", "--device cuda --unifloral FOLDER --json"),
    ],
)
def test_a_file_that_is_not_there_is_a_sentence_with_the_command(
    table: Callable[[Place, str], str], file: str, command: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=command):
        table(place(tmp_path), file)
