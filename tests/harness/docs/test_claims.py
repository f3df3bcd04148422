"""What the pages of results say of numbers is what the committed results say."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from harness.runs.folder import RunFolder
from tests.harness.docs.claims import (
    DOCS,
    REPOSITORY,
    RESULTS,
    SECTIONS,
    average_difference,
    difference,
    paired,
    prose_of,
    scores_of,
    spread,
    suites_of,
)

WITH_SPREAD = re.compile(r"\d+\.\d ± \d+\.\d")
BODIES, FROM_ZERO = (RESULTS / "local" / name for name in ("gym_mujoco", "gym_from_zero"))
MAZES, LONGER, A_HAND = (
    RESULTS / "local" / name for name in ("pointmaze", "gym_longer", "every_method_adroit")
)
HANDS, HANDS_FROM_ZERO, HANDS_LONGER = (
    RESULTS / "local" / name for name in ("adroit_underfit", "adroit_from_zero", "adroit_longer")
)
OWN = "df-div-actor-critic-from-zero"
USABLE = "-made/halfcheetah/medium-expert -made/walker2d/medium-expert"


class Aside(NamedTuple):
    """A difference of two rows that is of a part of the tasks or seeds, or by other scores."""

    suite: Path
    ours: str
    other: str
    part: str = ""  # which tasks, as in `in_part`
    last: bool = False  # of the last evaluation alone
    from_seed: int = 0

    @property
    def text(self) -> str:
        """As prose writes it."""
        suite, ours, other, part, last, from_seed = self
        mean, half = average_difference(suite, ours, other, part, last=last, from_seed=from_seed)
        return spread(abs(mean), half)


# What prose has of them, by its section.
ASIDE = {
    "Locomotion": [
        Aside(BODIES, "df-div", "ifql", USABLE),
        Aside(BODIES, "df-div", "ifql", last=True),
        Aside(BODIES, "cql", "df-div", last=True),
        Aside(BODIES, "bc", "df-div", USABLE),
        Aside(BODIES, "rebrac", "df-div", USABLE),
        Aside(BODIES, "iql", "df-div", USABLE),
        Aside(BODIES, "td3-bc", "df-div", USABLE),
        Aside(BODIES, "iql", "df-div-actor-critic", USABLE),
        Aside(BODIES, "df-div", "bc", "medium-replay halfcheetah"),
        Aside(BODIES, "df-div", "bc", "medium-replay hopper"),
        Aside(BODIES, "df-div", "bc", "medium-replay walker2d"),
    ],
    "Mazes": [Aside(MAZES, "df-div", "diffusion-ql", last=True)],
    "On a hand": [Aside(A_HAND, "df-div", "qdt", last=True)],
    "Bodies from zero, three times as long": [Aside(LONGER, "rebrac", OWN, last=True)],
    "Hands": [
        Aside(HANDS, "diffusion-ql", "df-div", last=True),
        Aside(HANDS, "dt", "df-div", last=True),
    ],
    "From zero instead of noise": [
        Aside(HANDS_FROM_ZERO, "df-div-from-zero", "fql-from-zero", last=True),
        Aside(HANDS_FROM_ZERO, "df-div-from-zero", "ifql", last=True),
        Aside(HANDS_FROM_ZERO, "df-div-from-zero", "iql", last=True),
        Aside(HANDS_FROM_ZERO, "df-div-from-zero", "fql-from-zero", from_seed=15),
        Aside(HANDS_FROM_ZERO, "df-div-from-zero", "ifql", from_seed=15),
        Aside(HANDS_FROM_ZERO, "df-div-from-zero", "iql", from_seed=15),
        Aside(HANDS_FROM_ZERO, "df-div-from-zero", "iql", "door", from_seed=15),
        Aside(HANDS_FROM_ZERO, "df-div-from-zero", "iql", "pen", from_seed=15),
    ],
    "Hands from zero, three times as long": [
        Aside(HANDS_LONGER, "df-div-from-zero", "fql-from-zero", last=True),
        Aside(HANDS_LONGER, "df-div-from-zero", "ifql", last=True),
    ],
    "Bodies from zero": [
        Aside(FROM_ZERO, OWN, "rebrac", last=True),
        Aside(FROM_ZERO, OWN, "iql", last=True),
        Aside(FROM_ZERO, OWN, "td3-bc", last=True),
        Aside(FROM_ZERO, "df-div-from-zero", "rebrac", last=True),
        Aside(FROM_ZERO, "df-div-from-zero", "iql", last=True),
    ],
}


@pytest.mark.parametrize(
    "section", [name for name in SECTIONS if WITH_SPREAD.search(prose_of(name))]
)
def test_every_number_with_its_spread_is_a_cell_or_a_difference_paired_by_seed(
    section: str,
) -> None:
    known: set[str] = set()
    for suite in suites_of(section):
        table = re.sub(r"[*°†]", "", (suite / "table.md").read_text("utf-8"))
        known |= set(WITH_SPREAD.findall(table)) | paired(suite)
    aside = {difference.text for difference in ASIDE.get(section, [])}
    prose = prose_of(section)
    assert set(WITH_SPREAD.findall(prose)) <= known | aside
    assert all(text in prose for text in aside)


def test_rankings_are_as_near_to_d4rls_as_the_page_says() -> None:
    found = {}
    for name in ("pointmaze", "gym_mujoco", "adroit_underfit", "adroit"):
        with (RESULTS / "local" / name / "rankings.csv").open(encoding="utf-8") as file:
            [found[name]] = csv.DictReader(file)
    mazes, hands = found["pointmaze"], found["adroit_underfit"]
    assert (mazes["methods"], mazes["planned_methods"]) == ("6", "6")
    pairs = 6 * 5 / 2
    assert round(float(mazes["tau"]) * pairs) == pairs - 2  # one pair stands the other way
    assert float(mazes["tau_ci95_low"]) > 0
    bodies = found["gym_mujoco"]
    assert (bodies["methods"], round(float(bodies["tau"]), 2)) == ("5", 0.6)
    assert float(bodies["tau_ci95_low"]) < 0
    assert (hands["methods"], round(float(hands["tau"]), 2)) == ("8", 0.57)
    assert float(hands["tau_ci95_low"]) < 0
    assert (found["adroit"]["methods"], float(found["adroit"]["tau"])) == ("5", 0)


def test_committed_figures_are_those_that_a_page_shows() -> None:
    pages = [REPOSITORY / "README.md", *DOCS.rglob("*.md")]
    links = [
        link for page in pages for link in re.findall(r"!\[.*?\]\((.*?)\)", page.read_text("utf-8"))
    ]
    shown = {link.partition("results/")[2] for link in links if "results/" in link}
    lines = (RESULTS / ".gitignore").read_text("utf-8").splitlines()
    kept = [line.removeprefix("!/") for line in lines if line.startswith("!/")]
    assert kept == sorted(shown)
    assert [name for name in kept if not (RESULTS / name).is_file()] == []


def test_the_readmes_scores_are_the_quickstarts() -> None:
    readme = " ".join((REPOSITORY / "README.md").read_text("utf-8").split())
    [rows] = scores_of(RESULTS / "local" / "quickstart").values()
    sentence = readme[readme.index("On this small task") : readme.index("All seven have")]
    said = dict(re.findall(r"`([a-z0-9-]+)` (?:scores )?(-?\d+\.\d ± \d+\.\d)", sentence))
    assert said == {
        label: f"{np.mean([*scores.values()]):.1f} ± {np.std([*scores.values()], ddof=1):.1f}"
        for label, scores in rows.items()
    }
    [more] = scores_of(RESULTS / "local" / "quickstart_settings").values()
    mean, half, _ = difference(more["fql"], more["df-div"])
    assert f"with five seeds `fql` is {mean:.1f} ± {half:.1f} points above `df-div`" in readme


def test_the_quickstarts_runs_left_the_bytes_that_other_stacks_of_seeds_did() -> None:
    """Trained twice, three seeds at once and five: of each run every evaluation."""
    ours, others = (RESULTS / "local" / name for name in ("quickstart", "quickstart_settings"))
    runs = json.loads((ours / "suite.json").read_text("utf-8"))["runs"]
    assert len(runs) == 21
    for run in runs:
        found, again = (
            RunFolder(f / run["path"]).read_table("evaluations") for f in (ours, others)
        )
        assert found is not None
        assert found == again, run["path"]


COUNTS = ["none", "one", "two", "three", "four", "five", "six"]
COUNTS += ["seven", "eight", "nine", "ten", "eleven", "twelve"]


@pytest.mark.parametrize(
    ("suite", "section", "place"),
    [
        ("gym_mujoco", "Locomotion", "bodies"),
        ("adroit_underfit", "Hands", "hands"),
        ("adroit", "Where the clone is as good as the agent", ""),
    ],
)
def test_pages_count_the_methods_that_are_finished(suite: str, section: str, place: str) -> None:
    scores = scores_of(RESULTS / "local" / suite).values()
    planned = json.loads((RESULTS / "local" / suite / "suite.json").read_text("utf-8"))["rows"]
    finished = [row for row in planned if all(len(task[row["label"]]) == 5 for task in scores)]
    assert len(planned) == 12
    done, left = COUNTS[len(finished)], COUNTS[12 - len(finished)]
    folders = (RESULTS / "README.md").read_text("utf-8")
    assert re.search(rf"`local/{suite}/` .* \({done} of twelve methods\) \|", folders)
    said = f"{done} of the twelve" if len(finished) < 12 else "all twelve methods have their scores"
    assert said in prose_of(section).lower()
    readme = " ".join((REPOSITORY / "README.md").read_text("utf-8").split())
    listed = re.search(rf"what is not run yet: [^.]*?\b(\w+)(?: methods?)? on {place}\b", readme)
    assert not place or (listed[1] if listed else "none") == left
