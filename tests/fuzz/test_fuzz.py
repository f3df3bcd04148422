"""No damage gives a traceback, hangs, writes elsewhere, or puts another number in a table."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from tests.fuzz import cases
from tests.fuzz.cases import KINDS, WrongError, read_results, run_cases
from tests.fuzz.originals import Originals, make

CASES = 500
CopyOf = Callable[[str], Path]
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Originals]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_DATA", "set by make, and put back after the last test")
        yield make(tmp_path_factory.mktemp("originals"))


@pytest.fixture
def copy_of(originals: Originals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CopyOf:
    for name in ("HARNESS_DATA", "HARNESS_LOCAL_DATA"):
        monkeypatch.setenv(name, str(originals.root / "data"))

    def copy(kind: str) -> Path:
        return Path(shutil.copytree(originals.root / KINDS[kind][0], tmp_path / kind))

    return copy


@pytest.mark.slow
def test_damage_is_a_sentence_or_harmless(originals: Originals, tmp_path: Path) -> None:
    outcome = run_cases(originals, tmp_path, range(CASES), seed=0)
    assert not outcome.failures, "\n\n".join(outcome.failures)
    assert sum(outcome.counts.values()) == CASES
    for kind in KINDS:
        assert outcome.counts[kind, "refused"] > 0
        assert outcome.counts[kind, "harmless"] > 0  # some damaged runs are left out by name


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_damaged_is_read(originals: Originals, copy_of: CopyOf, kind: str) -> None:
    KINDS[kind][1](copy_of(kind), originals)


def test_another_number_in_a_table_is_noticed(originals: Originals, copy_of: CopyOf) -> None:
    other = replace(originals, scores=dict.fromkeys(originals.scores, -1.0))
    with pytest.raises(WrongError, match=r"has the score .*, and had -1\.0"):
        read_results(copy_of("results"), other)


def _crash(*_: Any) -> None:
    raise KeyError("a")


def _hang(*_: Any) -> None:
    while True:
        pass


def _refuse(*_: Any) -> None:
    raise UserError("Do this.")


@pytest.mark.parametrize(
    ("read", "end", "seen"),
    [(_crash, "failed", "KeyError"), (_hang, "failed", "HungError"), (_refuse, "refused", "")],
)
def test_a_traceback_and_a_hang_are_failures_and_a_sentence_is_none(
    originals: Originals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read: Any,
    end: str,
    seen: str,
) -> None:
    monkeypatch.setattr(cases, "SECONDS", 0.2)
    monkeypatch.setitem(KINDS, "suites", ("suite", read))
    outcome = run_cases(originals, tmp_path, range(1), seed=0)
    assert dict(outcome.counts) == {("suites", end): 1}
    assert all(seen in failure for failure in outcome.failures)
    assert len(outcome.failures) == (end == "failed")


def test_a_file_written_elsewhere_is_noticed(
    originals: Originals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(folder: Path, _: Originals) -> None:
        (folder.parent.parent / "elsewhere").write_text("")

    monkeypatch.setitem(KINDS, "suites", ("suite", write))
    with pytest.raises(WrongError, match=r"wrote outside its folder: .*elsewhere"):
        run_cases(originals, tmp_path, range(1), seed=0)
