"""The suites that this project ships."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import data
from harness.suite.schema import load_suite, suite_tasks

SUITES = Path(__file__).resolve().parents[3] / "suites"
SAID = {  # by what the message about an absent thing holds
    "HARNESS_POLICIES": r"local policies",
    "HARNESS_LOCAL_DATA": r"local (policies and )?dataset",
    "data fetch": r"harness data fetch",
}


@pytest.mark.parametrize(
    "name", sorted(str(path.relative_to(SUITES)) for path in SUITES.rglob("*.yaml"))
)
def test_a_suites_first_lines_say_what_data_must_be_brought(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HARNESS_LOCAL_DATA", "HARNESS_POLICIES", "HARNESS_D4RL_DATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    command, paragraph, *_ = (SUITES / name).read_text().split("\n#\n")
    assert command == f"# python -m harness run suites/{name}"
    missing = "\n".join(data.missing(suite_tasks(load_suite(SUITES / name)[0])))
    assert paragraph.startswith("# Needs ") == bool(missing)
    for mark, words in SAID.items():
        if missing:
            assert bool(re.search(words, paragraph)) == (mark in missing)
