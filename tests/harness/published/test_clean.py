"""From numbers as sources print them to the lines of the shipped file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from harness.published.clean import clean
from harness.published.scores import PublishedScore

HEAD = "task,method,family,score,std,n_seeds,protocol,confidence,source,reported_by,note\n"
CORL = "primary,CORL README,reproduction in CORL,"
FQL = "secondary,FQL paper,copied in FQL,"
EPQ = "secondary,EPQ paper,copied in EPQ,"


def cleaned(folder: Path, *lines: str) -> list[PublishedScore]:
    path = folder / "source.csv"
    path.write_text(HEAD + "".join(f"hopper-medium-v2,IQL,x,{line}\n" for line in lines))
    return [score for score in clean(path) if score.method == "iql"]


def test_a_rounded_copy_goes_into_the_line_of_its_number(tmp_path: Path) -> None:
    [score] = cleaned(tmp_path, f"67,,,last,{FQL}", f"67.45,3.1,4,last,{CORL}")
    assert (score.score, score.spread, score.seeds) == (67.45, 3.1, 4)
    assert score.spread_kind == "sd-population"
    assert score.source.startswith("CORL")
    assert score.also_in.startswith("FQL")


def test_a_copy_of_another_protocol_stays_apart(tmp_path: Path) -> None:
    numbers = [f"67.4,,,{p},{EPQ}" for p in ("unknown", "best")]
    found = cleaned(tmp_path, *numbers, f"67.4,3.1,4,last,{CORL}")
    assert [(s.protocol, s.score, s.also_in) for s in found] == [
        ("best", 67.4, ""),
        ("last", 67.4, ""),
        ("unknown", 67.4, ""),
    ]


def test_two_independent_runs_with_one_number_stay_apart(tmp_path: Path) -> None:
    other = "primary,ReBRAC paper,reproduction in ReBRAC,"
    found = cleaned(tmp_path, f"67.4,3.1,4,last,{CORL}", f"67.4,2.2,10,last,{other}")
    assert [s.standing for s in found] == ["library", "reproduction"]


def test_contradictions_stay_a_line_each(tmp_path: Path) -> None:
    found = cleaned(tmp_path, f"50,,,unknown,{EPQ}", f"67.4,,,unknown,{FQL}")
    assert {s.score for s in found} == {50.0, 67.4}


def test_trials_are_no_seeds(tmp_path: Path) -> None:
    own = "primary,Diffuser (arXiv 2205.09991) table,own paper,"
    [score] = cleaned(tmp_path, f"58.5,1.3,150,unknown,{own}")
    assert (score.seeds, score.spread_kind) == (None, "other")


def test_another_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"other\.csv is no collection of published scores"):
        clean(path)
