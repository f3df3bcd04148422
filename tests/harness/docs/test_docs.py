"""What generates parts of the pages under docs/."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, Field, ValidationError

from algorithms import registry
from harness.docs.config_tables import config_tables, describe
from harness.docs.place import Place
from harness.docs.render import render
from harness.docs.write import write_docs
from harness.errors import UserError
from harness.suite.yaml_file import read_yaml
from tests.harness.conftest import REPOSITORY

QUICKSTART = REPOSITORY / "results" / "local" / "quickstart"

WritePage = Callable[..., Path]
Generate = Callable[[], list[Path]]


@pytest.fixture
def write_page(tmp_path: Path) -> WritePage:
    """Write lines to a page of a docs folder of this test."""

    def write(*lines: str, name: str = "page.md") -> Path:
        page = tmp_path / "docs" / "deep" / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("\n".join(lines) + "\n")
        return page

    return write


@pytest.fixture
def generate(tmp_path: Path) -> Generate:
    return lambda: write_docs(tmp_path / "docs", tmp_path / "results")


@pytest.fixture
def quickstart(tmp_path: Path) -> Path:
    """A copy of committed results, unpacked, under the results folder of this test.

    Its one figure is the README's copy, as that of the results is not committed.
    """
    folder = tmp_path / "results" / "here" / "quickstart"
    shutil.copytree(QUICKSTART, folder, ignore=shutil.ignore_patterns("figures"))
    (folder / "figures").mkdir()
    shutil.copy(REPOSITORY / "docs" / "quickstart.png", folder / "figures" / "curves.png")
    for packed in folder.rglob("*.tar.xz"):
        with tarfile.open(packed) as archive:
            archive.extractall(packed.parent / packed.name.removesuffix(".tar.xz"), filter="data")
        packed.unlink()
    return folder


def block(request: str, *content: str) -> list[str]:
    return [f"<!-- generated: {request} -->", *content, "<!-- end -->"]


# --- settings -------------------------------------------------------------------------------


def rows(markdown: str) -> list[list[str]]:
    """The cells of every row below a table's header."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if row[0] not in {"Field", "---", "Method"}]


@pytest.mark.parametrize("algorithm_id", registry.algorithms())
def test_config_tables_hold_every_field_with_what_a_suite_would_say(
    algorithm_id: str, tmp_path: Path
) -> None:
    model = registry.load(algorithm_id).Config
    fields = {name: getattr(model(), name) for name in model.model_fields}
    defaults = json.loads(json.dumps(fields))
    table = {row[0].strip("`"): row[1:] for row in rows(config_tables(algorithm_id))}
    assert table.keys() == defaults.keys()
    file = tmp_path / "suite.yaml"
    file.write_text("".join(f"{name}: {row[0].strip('`')}\n" for name, row in table.items()))
    assert read_yaml(file).data == defaults
    for name, (_, allowed, comment) in table.items():
        assert comment, f"{name} has no comment in the code"
        if re.fullmatch(r"`\w[\w-]*`(, `\w[\w-]*`)+", allowed):
            for word in re.findall(r"`(.*?)`", allowed):
                model.model_validate({name: yaml.safe_load(word)})


class Base(BaseModel):
    """What every toy has.

    And more."""

    share: float = Field(0.5, gt=0, lt=1)  # of | the whole
    kind: Literal["plain", "fancy"] = "plain"  # how it looks
    many: tuple[Annotated[int, Field(ge=0)], ...] = (1, 2)  # µ-numbers


class Toy(Base):
    """The toy's own."""

    count: int = Field(
        3,
        ge=1,
    )  # at the end of several lines, é too
    maybe: float | None = None  # or not
    kind: Literal["plain", "fancy"] = "fancy"  # changed here


def test_own_fields_come_first_with_defaults_bounds_and_comments() -> None:
    assert describe(Toy).split("\n\n") == [
        "`Toy`: The toy's own.",
        "| Field | Default | Allowed | What it is |\n"
        "| --- | --- | --- | --- |\n"
        "| `count` | `3` | whole number, ≥ 1 | at the end of several lines, é too |\n"
        "| `maybe` | `null` | number or `null` | or not |\n"
        "| `kind` | `fancy` | `plain`, `fancy` | changed here |",
        "`Base`: What every toy has.",
        "| Field | Default | Allowed | What it is |\n"
        "| --- | --- | --- | --- |\n"
        "| `share` | `0.5` | number, > 0, < 1 | of \\| the whole |\n"
        "| `many` | `[1, 2]` | list of whole numbers, ≥ 0 | µ-numbers |",
    ]
    with pytest.raises(ValidationError):
        Toy(count=0)


def test_the_methods_are_those_of_this_repository(
    write_page: WritePage, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = registry.AlgorithmInfo(
        "theirs", "Theirs", "", "third party", "their_package.module:Theirs"
    )
    ours = registry.algorithms()
    known = {name for name, entry in ours.items() if entry.family != registry.ABLATIONS}
    monkeypatch.setattr(registry, "algorithms", lambda: ours | {"theirs": theirs})
    page = write_page(*block("methods"))
    write_page("# A page of its own", name="iql.md")
    generate()
    table = {row[0]: row[1:] for row in rows(page.read_text())}
    assert table.keys() == {f"`{name}`" for name in known if name != "iql"} | {"[`iql`](iql.md)"}
    title, paper, link = table["[`iql`](iql.md)"]
    assert (title, paper[:18]) == ("Implicit Q-Learning", "[arXiv:2110.06169]")
    target = re.findall(r"\((.*)\)", link)[0]
    assert (page.parent / target).resolve() == REPOSITORY / "baselines" / "iql.py"


def test_the_oracles_of_a_method_stand_in_its_rows_with_their_differences(
    write_page: WritePage, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = registry.algorithms()
    monkeypatch.setattr(registry, "algorithms", lambda: {"iql": known["iql"]})
    page = write_page(*block("oracles"))
    file = page.with_name("oracles.json")
    monkeypatch.setattr("harness.docs.oracles._FILE", file)
    oracle = {"method": "iql", "version": "", "file": "baselines/iql.py", "compared": "all of it"}
    libraries = [
        {
            **oracle,
            "oracle": "one",
            "version": "1.2",
            "differences": {"losses": 3e-7, "weights": 0},
        },
        {**oracle, "oracle": "two", "differences": {"weights": 1.26e-6}},
    ]
    file.write_text(json.dumps(libraries))
    generate()
    first, second = rows(page.read_text())
    assert (first[0], first[4:]) == ("`iql`", ["1.2", "all of it", "losses 3e-07, weights 0"])
    assert (second[0], second[4:]) == ("`iql`", ["–", "all of it", "weights 1e-06"])
    target = re.findall(r"\[two\]\((.*)\)", second[3])[0]
    assert (page.parent / target).resolve() == REPOSITORY / "baselines" / "iql.py"

    file.write_text("[]")
    with pytest.raises(UserError, match="has no oracle of 'iql'"):
        generate()
    file.unlink()
    with pytest.raises(UserError, match=r"oracles.json cannot be read"):
        generate()


def test_a_sampler_stands_in_its_row_with_its_difference(
    write_page: WritePage, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_page(*block("samplers"))
    file = page.with_name("samplers.json")
    monkeypatch.setattr("harness.docs.samplers._FILE", file)
    sampler = {"library": "a", "version": "1.2", "block": "algorithms/blocks/flow.py"}
    sampler |= {"compared": "all of it", "difference": 1.26e-6}
    file.write_text(json.dumps([sampler, {**sampler, "difference": 0}]))
    generate()
    _, first, second = rows(page.read_text())
    assert first[1:] == ["a", "1.2", "all of it", "1e-06"]
    assert second[-1] == "0"
    target = re.findall(r"\[flow\]\((.*)\)", first[0])[0]
    assert (page.parent / target).resolve() == REPOSITORY / "algorithms" / "blocks" / "flow.py"

    file.unlink()
    with pytest.raises(UserError, match=r"samplers.json cannot be read"):
        generate()


# --- results --------------------------------------------------------------------------------


def test_a_table_stands_under_what_made_it(
    write_page: WritePage, generate: Generate, quickstart: Path
) -> None:
    page = write_page(*block("results here/quickstart"))
    generate()
    written = page.read_text()
    suite: dict[str, Any] = json.loads((quickstart / "suite.json").read_text())
    days = [json.loads(f.read_text())["finished"][:10] for f in quickstart.rglob("status.json")]
    assert f"Made by `{suite['command']}` on {max(days)} at {commit_of(quickstart)}: " in written
    seeds = ", ".join(map(str, suite["seeds"]))
    assert f"{len(suite['seeds'])} seeds ({seeds}), {suite['steps']:,} gradient steps" in written
    assert "(../../results/here/quickstart/table.md)" in written
    lines = (quickstart / "table.md").read_text().splitlines()
    assert {line for line in lines if line.startswith(("|", "**"))} <= set(written.splitlines())
    assert not any(line.startswith("- ") for line in written.splitlines())


def commit_of(suite: Path) -> str:
    """Of a suite's first run, in seven letters."""
    provenance = json.loads(next(suite.rglob("provenance.json")).read_text())
    return str(provenance["git"]["commit"])[:7]


def test_results_of_several_commits_or_of_changed_files_are_said_to_be(
    quickstart: Path, tmp_path: Path
) -> None:
    place = Place(tmp_path / "docs" / "page.md", tmp_path / "results")
    commit = commit_of(quickstart)
    one, other, *_ = sorted(quickstart.rglob("provenance.json"))
    for path, git in ((one, {"commit": "0" * 40, "dirty": True}), (other, {"unknown": "no git"})):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"git": git}))
    said = f" at 0000000, {commit}, 1 of the runs with uncommitted changes: "
    assert said in render("results here/quickstart run", place)


def test_parts_of_a_table_can_be_asked_for(quickstart: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "docs" / "page.md", tmp_path / "results")
    origin = render("results here/quickstart run", place)
    assert "\n" not in origin

    summary = render("results here/quickstart summary-of", place).removeprefix(origin)
    assert summary.startswith("\n\n**Summary of ")
    assert "Normalized score" not in summary

    notes = render("results here/quickstart notes", place).removeprefix(origin).strip()
    assert all(line.startswith("- ") for line in notes.splitlines())
    assert (quickstart / "table.md").read_text().endswith(f"\n\n{notes}\n")


def test_scores_are_followed_by_which_rows_still_moved(quickstart: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "docs" / "page.md", tmp_path / "results")
    warning = "NOT FLAT on maze: these rise: bc by 5.0 ± 1.0."
    tried = "**Tuning on maze**\n\n| Setting | Mean |\n| --- | ---: |\n| bc | 1.0 |\n\n"
    table = (quickstart / "table.md").read_text("utf-8").replace("**Summary", f"{tried}**Summary")
    (quickstart / "table.md").write_text(f"{table}- {warning}\n", "utf-8")
    assert render("results here/quickstart summary-of", place).endswith(f"\n\n{warning}")
    assert warning not in render("results here/quickstart run", place)
    assert warning not in render("results here/quickstart tuning-on", place)


def test_rows_of_another_budget_are_named_beside_the_budget(
    quickstart: Path, tmp_path: Path
) -> None:
    place = Place(tmp_path / "docs" / "page.md", tmp_path / "results")
    suite = json.loads((quickstart / "suite.json").read_text())
    steps = suite["steps"]
    suite["rows"][0]["steps"], suite["rows"][1]["steps"] = 12_000, steps
    (quickstart / "suite.json").write_text(json.dumps(suite))
    named = f"{steps:,} gradient steps a run ({suite['rows'][0]['label']}: 12,000), "
    assert named in render("results here/quickstart run", place)


def test_runs_that_are_not_done_are_counted(quickstart: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "docs" / "page.md", tmp_path / "results")
    planned = len(json.loads((quickstart / "suite.json").read_text())["runs"])
    assert "runs are done" not in render("results here/quickstart run", place)
    next(quickstart.rglob("status.json")).unlink()
    counted = f"{planned - 1} of {planned} runs are done."
    assert counted in render("results here/quickstart run", place)
    suite = json.loads((quickstart / "suite.json").read_text())
    gone = next(
        run for run in suite["runs"] if not (quickstart / run["path"] / "status.json").exists()
    )
    undecided = [run for run in suite["runs"] if run != gone]  # tuning has to choose its setting
    (quickstart / "suite.json").write_text(json.dumps(suite | {"runs": undecided}))
    assert counted in render("results here/quickstart run", place)


def test_all_pages_of_a_figure_stand_over_its_caption(quickstart: Path, tmp_path: Path) -> None:
    shutil.copy(quickstart / "figures" / "curves.png", quickstart / "figures" / "curves-2.png")
    place = Place(tmp_path / "page.md", tmp_path / "results")
    written = render('figure here/quickstart/figures/curves*.png "Curves: it\'s all."', place)
    images = re.findall(r"^!\[Curves: it's all\.\]\((.*)\)$", written, flags=re.MULTILINE)
    assert [Path(image).name for image in images] == ["curves.png", "curves-2.png"]
    assert all((place.page.parent / image).is_file() for image in images)
    assert written.endswith("\n\n*Curves: it's all.*")


def test_averages_stand_side_by_side_best_first(tmp_path: Path) -> None:
    results = REPOSITORY / "results"
    suites = ("local/quickstart_settings", "decision_flow/held_back", "local/later")
    page = REPOSITORY / "docs" / "page.md"
    written = render(f"averages {' '.join(suites)}", Place(page, results))
    table, legend, missing = written.split("\n\n")
    assert ("ᵗ: " in legend, "†: " in legend) == (True, "†" in table)
    assert missing == "*Not run yet. `python -m harness run later` makes these results.*"
    head, _, *lines = [
        [cell.strip() for cell in line[1:-1].split("|")] for line in table.split("\n")
    ]
    assert head[1:] == [
        "[pointmaze/umaze](../results/local/quickstart_settings/table.md)",
        "[pointmaze, 2 tasks](../results/decision_flow/held_back/table.md)",
    ]
    rows = {label: cells for label, *cells in lines}
    assert [*rows][:3] == ["fql", "df-dir", "df-div"]
    for suite, column in zip(suites[:2], (0, 1), strict=True):
        means = averages_by_hand(results / suite)
        found = {
            label: float(cells[column].replace("*", "").replace("ᵗ", "").split()[0])
            for label, cells in rows.items()
            if cells[column] != "–"
        }
        assert found == pytest.approx(means, abs=0.05)
    assert rows["fql"][0].startswith("**")
    assert rows["iql"] == [rows["iql"][0], "–"]
    assert all(cells[0] == "–" or "ᵗ" in cells[0] for cells in rows.values())
    assert not any("ᵗ" in cells[1] for cells in rows.values())


def test_a_family_that_no_row_has_finished_is_no_column_of_dashes(tmp_path: Path) -> None:
    """And marks that no number has are not explained."""
    place = Place(tmp_path / "docs" / "page.md", tmp_path / "results")
    for name, suite in (("some", "held_back"), ("none", "held_back")):
        copy = tmp_path / "results" / "here" / name
        shutil.copytree(REPOSITORY / "results" / "decision_flow" / suite, copy)
    table = tmp_path / "results" / "here" / "none" / "table.csv"
    lines = [*csv.DictReader(table.read_text().splitlines())]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(line | {"mean": ""} for line in lines)
    written = render("averages here/some here/none", place)
    numbers, legend, unfinished = written.split("\n\n")
    assert numbers.split("\n")[0].count("|") == 3
    assert "ᵗ" not in legend
    assert unfinished == (
        "[pointmaze, 2 tasks](../results/here/none/table.md): no row is finished on all of them."
    )


def test_averages_say_what_earlier_code_made_and_what_online_returns_chose(tmp_path: Path) -> None:
    copy = tmp_path / "results" / "here" / "some"
    shutil.copytree(REPOSITORY / "results" / "decision_flow" / "held_back", copy)
    place = Place(tmp_path / "docs" / "page.md", tmp_path / "results")
    before = render("averages here/some", place)
    assert not any(mark in before for mark in ("¶", "ONLINE"))
    for name, changed in (
        ("table.csv", {"protocol": "best", "online_selection": "True", "mean": "-0.04"}),
        ("scores.csv", {"code": "made by earlier code of this method"}),
    ):
        lines = [*csv.DictReader((copy / name).read_text().splitlines())]
        with (copy / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, lines[0])
            writer.writeheader()
            writer.writerows(x | changed if x.get("label", "fql") == "fql" else x for x in lines)
    table, legend = render("averages here/some", place).split("\n\n")
    assert "(best: ONLINE SELECTION)" in table.split("\n")[0]
    marked = [line.split(" | ")[0] for line in table.split("\n") if "¶" in line]
    assert marked == ["| fql"]
    assert "-0.0 " not in table.split("\n")[2]
    assert "¶: made by earlier code" in legend


def test_of_tasks_that_rank_nothing_there_are_no_averages() -> None:
    page = Place(REPOSITORY / "docs" / "page.md", REPOSITORY / "results")
    head, *_ = render("averages decision_flow/rho", page).split("\n")
    assert head.count("|") == 3
    assert "[pointmaze, 2 tasks]" in head


def averages_by_hand(suite: Path) -> dict[str, float]:
    """Mean over tasks of the mean over seeds, of rows with all seeds on all tasks."""
    planned = json.loads((suite / "suite.json").read_text())
    found: dict[str, list[float]] = {}
    for line in csv.DictReader((suite / "scores.csv").read_text().splitlines()):
        found.setdefault(line["label"], []).extend([float(line["score"])] if line["score"] else [])
    cells = len(planned["tasks"]) * len(planned["seeds"])
    return {label: sum(x) / cells for label, x in found.items() if len(x) == cells}


def test_the_readme_beside_the_folder_is_rewritten_too(
    write_page: WritePage, generate: Generate, tmp_path: Path
) -> None:
    page = write_page("Nothing generated.")
    readme = tmp_path / "README.md"
    readme.write_text("\n".join(block("averages later")))
    assert generate() == [readme]
    assert "Not run yet" in readme.read_text()
    assert page.read_text() == "Nothing generated.\n"


@pytest.mark.parametrize(
    ("request_", "suite"),
    [
        ("results here/later", "later"),
        ('figure here/later/figures/curves.png "Curves."', "later"),
        ("results local/gym_mujoco", "local/gym_mujoco"),  # gym_mujoco is another suite
    ],
)
def test_what_was_not_run_says_how_to_run_it(request_: str, suite: str, tmp_path: Path) -> None:
    written = render(request_, Place(Path("docs/page.md"), tmp_path))
    assert written == f"*Not run yet. `python -m harness run {suite}` makes these results.*"


def test_a_smoke_runs_numbers_are_called_meaningless(quickstart: Path, tmp_path: Path) -> None:
    suite = json.loads((quickstart / "suite.json").read_text())
    (quickstart / "suite.json").write_text(json.dumps(suite | {"smoke": True}))
    place = Place(tmp_path / "docs" / "page.md", tmp_path / "results")
    assert "numbers mean nothing" in render("results here/quickstart", place)


# --- rewriting ------------------------------------------------------------------------------


def test_only_what_is_between_markers_changes_and_only_once(
    write_page: WritePage, generate: Generate
) -> None:
    around = ["# Title", "", "`<!-- generated: nonsense -->` in a line is text.", "  indented  "]
    page = write_page(*around, *block("config bc", "old"), "between", *block("methods"), "after")
    still = write_page("No blocks, no change.\r", name="plain.md")
    before = still.read_bytes()
    assert generate() == [page]
    written = page.read_text()
    outside = re.sub(r"(?s)(-->)\n\n.*?\n\n(<!-- end)", r"\1\n\2", written)
    expected = [*around, *block("config bc"), "between", *block("methods"), "after", ""]
    assert outside.split("\n") == expected
    assert "old" not in written
    assert "`hidden_dims`" in written

    assert generate() == []
    assert page.read_text() == written
    assert still.read_bytes() == before


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        (block("confg bc"), 1, "unknown block 'confg'. Did you mean 'config'?"),
        (block("config td3-b"), 1, "There is no algorithm 'td3-b'. Did you mean 'td3-bc'?"),
        (block("config"), 1, "write `config METHOD`, found `config`"),
        (block('figure a/figures/b.png "open'), 1, "the marker cannot be read"),
        (block("results here/quickstart sumary-of"), 1, "unknown table 'sumary-of'."),
        (
            block('figure here/quickstart/figures/curve.png ""'),
            1,
            "unknown figure 'curve.png'. Did you mean 'curves.png'?",
        ),
        (["", "<!-- generated: methods -->"], 2, "this block never ends"),
        ([*block("methods")[:1], *block("methods")], 1, "this block never ends"),
        (["text", *block("methods"), "<!-- end -->"], 4, "'<!-- end -->' ends nothing"),
    ],
)
def test_mistakes_are_shown_by_file_and_line_and_nothing_is_written(
    write_page: WritePage,
    generate: Generate,
    quickstart: Path,
    lines: list[str],
    line: int,
    message: str,
) -> None:
    stale = write_page(*block("methods"), name="a.md")
    before = stale.read_text()
    wrong = write_page(*lines)
    write_page("", "", *block("another mistake"), name="z.md")
    with pytest.raises(UserError) as error:
        generate()
    assert f"{wrong}:{line}: {message}" in str(error.value)
    assert f"{wrong.with_name('z.md')}:3: unknown block 'another'" in str(error.value)
    assert stale.read_text() == before


def test_the_command_rewrites_the_pages_here(
    write_page: WritePage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    page = write_page(*block("methods"))
    command = [sys.executable, "-m", "harness", "docs"]
    printed = [subprocess.check_output(command, cwd=tmp_path, text=True) for _ in range(2)]
    assert printed == ["rewrote docs/deep/page.md\n", "docs/ is up to date\n"]
    assert "`df-dir`" in page.read_text()


def test_a_folder_without_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There are no pages"):
        write_docs(tmp_path, tmp_path)
