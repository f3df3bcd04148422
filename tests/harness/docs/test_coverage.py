from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.docs.coverage import coverage_table
from harness.docs.place import Place
from harness.errors import UserError

FOUND = [
    {"statistic": "t", "population": "normal", "seeds": 3, "share": 0.951},
    {"statistic": "t", "population": "normal", "seeds": 5, "share": 0.94},
]


def test_coverage_stands_by_statistic_population_and_seeds(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"simulations": 2000, "coverage": FOUND}))
    text = coverage_table(Place(tmp_path / "page.md", tmp_path), "c.json")
    assert text.startswith("2,000 simulations")
    assert text.splitlines()[2:] == [
        "| interval | normal, 3 | normal, 5 |",
        "| --- | ---: | ---: |",
        "| t | 0.95 | 0.94 |",
    ]


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="harness bench --coverage --json"):
        coverage_table(Place(tmp_path / "page.md", tmp_path), "c.json")
