"""What is said of all methods on one task of a family is what the committed results say."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.harness.docs.claims import RESULTS, corrected_p, prose_of, scores_of


class Part(NamedTuple):
    """A part of the page, by its heading, and the suite that it is about."""

    heading: str
    suite: Path
    task: str

    @property
    def scores(self) -> dict[str, dict[int, float]]:
        return scores_of(self.suite)[self.task]


PARTS = [
    Part("On a maze", RESULTS / "local" / "every_method_pointmaze", "pointmaze/umaze"),
    Part("On a body", RESULTS / "local" / "every_method_gym", "made/hopper/medium-replay"),
    Part("On a hand", RESULTS / "local" / "every_method_adroit", "local/pen/underfit-clone"),
]
every_part = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.heading)


def rows_where(part: Part, column: str, value: str) -> set[str]:
    """The rows of the table whose column says so."""
    with (part.suite / "table.csv").open(encoding="utf-8") as file:
        return {line["algorithm"] for line in csv.DictReader(file) if line[column] == value}


def labels_of(part: Part, bullet: str) -> set[str]:
    """The methods that one item of a part's list names; none if there is no such item."""
    said = re.findall(rf"- \*\*{re.escape(bullet)}\*\*:? ([^.]*)\.", prose_of(part.heading))
    assert len(said) <= 1
    return set(re.findall(r"`([a-z0-9-]+)`", " ".join(said)))


@every_part
def test_the_page_names_who_is_above_and_below_df_div_after_the_correction(part: Part) -> None:
    mean = {label: sum(found.values()) / len(found) for label, found in part.scores.items()}
    corrected = corrected_p(part.suite).items()
    told = {label for (task, label), p in corrected if task == part.task and p < 0.05}
    assert labels_of(part, "Above `df-div`") == {k for k in told if mean[k] > mean["df-div"]}
    assert labels_of(part, "Below it") == {k for k in told if mean[k] < mean["df-div"]}
    assert labels_of(part, "Not told apart from it") == {*part.scores} - told - {"df-div"}


@every_part
def test_the_page_names_the_best_and_who_is_not_told_apart_from_it(part: Part) -> None:
    best = rows_where(part, "best", "True")
    assert labels_of(part, "The best mean and what is not told apart from it") == best


@every_part
def test_the_page_counts_the_rows_that_are_finished_and_names_the_others(part: Part) -> None:
    finished = {label for label, found in part.scores.items() if len(found) == 5}
    planned = rows_where(part, "task", part.task)
    prose = prose_of(part.heading)
    said = re.search(r"(\d+) of (\d+) rows are finished", prose)
    assert said is not None
    assert (int(said[1]), int(said[2])) == (len(finished), len(planned))
    left = re.findall(r"Not finished: ([^.;]*)[.;]", prose)
    assert set(re.findall(r"`([a-z0-9-]+)`", " ".join(left))) == planned - finished


@every_part
def test_the_page_names_the_rows_whose_critic_is_not_usable(part: Part) -> None:
    marked = rows_where(part, "critic_usable", "False") & part.scores.keys()
    said = re.findall(r"Marked † [^:]*: ([^.]*)\.", prose_of(part.heading))
    if said == ["all of them"]:
        assert marked == {*part.scores}
    else:
        assert set(re.findall(r"`([a-z0-9-]+)`", " ".join(said))) == marked
