"""What methods' files list under *Deviations*: the form that all keep, and the table of it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from algorithms import registry
from harness.docs import deviations
from harness.docs.deviations import CHECKLIST, deviations_table, parse_deviations
from harness.docs.methods import is_ours
from harness.docs.place import Place
from harness.errors import UserError
from tests.harness.conftest import REPOSITORY

MODULES = sorted({entry.module for entry in registry.algorithms().values() if is_ours(entry)})


def docstring(module: str) -> str:
    source = (REPOSITORY / f"{module.replace('.', '/')}.py").read_text("utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


@pytest.mark.parametrize("module", MODULES)
def test_every_method_lists_its_deviations_by_the_checklist(module: str) -> None:
    points = [point for point, _ in parse_deviations(docstring(module), module)]
    assert points == sorted(points, key=list(CHECKLIST).index), "in the checklist's order"
    assert points.count("Budget") <= 1
    assert points.count("Selection") <= 1


@pytest.mark.parametrize("module", MODULES)
def test_every_method_names_a_paper_and_the_commit_of_its_code(module: str) -> None:
    text = docstring(module)
    assert re.search(r"^Paper: \S", text, re.MULTILINE)
    code = re.search(r"^Code: (.*?)\n\n", text, re.DOTALL | re.MULTILINE)
    assert code is not None
    assert code[1].startswith("none") or re.search(r"\S+/\S+ at\s[0-9a-f]{7}\b", code[1])


def test_items_are_read_with_the_lines_that_continue_them() -> None:
    text = """A method.

Deviations:
    - Update order: V first.
      Official: Q first, and
      V - late: after it.
    - Data: all of them.
    - Data: and once more.

What follows is as in the code:
    - Anything goes.
"""
    assert parse_deviations(text, "method.py") == [
        ("Update order", "V first. Official: Q first, and V - late: after it."),
        ("Data", "all of them."),
        ("Data", "and once more."),
    ]


def test_no_deviations_are_said_to_be_none() -> None:
    assert parse_deviations("A method.\n\nDeviations: none.", "method.py") == []


@pytest.mark.parametrize(
    ("listed", "named"),
    [
        ("\n    - Data: all of them.\n    - Gradients: clipped\n      twice.", "clipped twice."),
        ("\n    - No colon at all.", "No colon at all."),
        ("\n    - data: in small letters.", "data: in small letters."),
        (" none known; as the paper.", "none known; as the paper."),
    ],
)
def test_an_item_under_no_point_of_the_checklist_is_refused(listed: str, named: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_deviations(f"A method.\n\nDeviations:{listed}", "baselines/method.py")
    assert "baselines/method.py" in str(caught.value)
    assert named in str(caught.value)
    assert "Update order" in str(caught.value), "says what is allowed"


def test_a_file_without_a_list_is_refused() -> None:
    with pytest.raises(UserError, match=r"^method\.py lists no deviations"):
        parse_deviations("A method.\n\nCode: none.", "method.py")


def test_the_table_has_a_dot_under_each_point_that_a_file_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path("toy.py")
    items = "    - Budget: small.\n    - Losses: other ones.\n    - Losses: and others.\n"
    (tmp_path / file).write_text(f'"""A toy.\n\nDeviations:\n{items}"""\n')
    toy = registry.AlgorithmInfo("toy", "Toy", "", "toys", "toy:Toy")
    monkeypatch.setattr(deviations, "ROOT", tmp_path)
    monkeypatch.setattr(deviations, "methods", lambda: iter([(toy, file)]))
    table = deviations_table(Place(tmp_path / "docs" / "page.md", tmp_path))
    heads, _, row = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.split("\n"))
    assert row[0] == "[`toy`](../toy.py)"
    dotted = {head for head, cell in zip(heads, row, strict=True) if cell == "•"}
    assert dotted == {"Losses", "Budget"}


def test_contributors_are_told_the_same_points_in_the_same_order() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    assert re.findall(r"^\d+\. \*\*(.+?)\*\*", text, re.MULTILINE) == list(CHECKLIST)
