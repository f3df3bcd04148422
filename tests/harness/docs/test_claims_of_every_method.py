"""What is said of all methods on one maze is what the committed results say."""

from __future__ import annotations

import csv
import re

from tests.harness.docs.claims import RESULTS, corrected_p, prose_of, scores_of

SUITE = RESULTS / "local" / "every_method_pointmaze"
TASK = "pointmaze/umaze"


def rows_where(column: str, value: str) -> set[str]:
    """The rows of the table whose column says so."""
    with (SUITE / "table.csv").open(encoding="utf-8") as file:
        return {line["algorithm"] for line in csv.DictReader(file) if line[column] == value}


def labels_of(bullet: str) -> set[str]:
    """The methods that one item of the page's list names."""
    prose = prose_of("Where they stand")
    [said] = re.findall(rf"- \*\*{re.escape(bullet)}\*\*:? ([^.]*)\.", prose)
    return set(re.findall(r"`([a-z0-9-]+)`", said))


def test_the_page_names_who_is_above_and_below_df_div_after_the_correction() -> None:
    scores = scores_of(SUITE)[TASK]
    mean = {label: sum(found.values()) / len(found) for label, found in scores.items()}
    told = {label for (task, label), p in corrected_p(SUITE).items() if task == TASK and p < 0.05}
    assert labels_of("Above `df-div`") == {k for k in told if mean[k] > mean["df-div"]}
    assert labels_of("Below it") == {k for k in told if mean[k] < mean["df-div"]}
    assert labels_of("Not told apart from it") == {*scores} - told - {"df-div"}


def test_the_page_names_the_best_and_who_is_not_told_apart_from_it() -> None:
    best = rows_where("best", "True")
    assert labels_of("The best mean and what is not told apart from it") == best


def test_the_page_counts_the_rows_that_are_finished_and_names_the_others() -> None:
    finished = {label for label, found in scores_of(SUITE)[TASK].items() if len(found) == 5}
    planned = rows_where("task", TASK)
    said = re.search(r"(\d+) of (\d+) rows are finished", prose_of("Every method on one maze"))
    assert said is not None
    assert (int(said[1]), int(said[2])) == (len(finished), len(planned))
    [left] = re.findall(r"Not finished are ([^;]*);", prose_of("Every method on one maze"))
    assert set(re.findall(r"`([a-z-]+)`", left)) == planned - finished


def test_the_page_names_the_rows_whose_critic_is_not_usable() -> None:
    marked = rows_where("critic_usable", "False")
    [said] = re.findall(r"calls the maze's critic usable: ([^.]*)\.", prose_of("Where they stand"))
    assert set(re.findall(r"`([a-z-]+)`", said)) == marked
