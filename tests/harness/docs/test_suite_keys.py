"""The page about suite files has every key, and what it shows is accepted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from harness.docs.suite_keys import SECTIONS, suite_keys_tables
from harness.suite.schema import load_suite
from tests.harness.conftest import REPOSITORY

ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| .* \| (.*) \|$", re.MULTILINE)


@pytest.mark.parametrize("place", SECTIONS)
def test_every_key_has_a_comment_and_its_default_means_the_same_written_out(place: str) -> None:
    fields = SECTIONS[place].model_fields
    table = suite_keys_tables().partition(f"`{place}`: ")[2].partition("\n\n`")[0]
    keys = {name: (default, comment) for name, default, comment in ROW.findall(table)}
    assert keys.keys() == fields.keys()
    for name, (default, comment) in keys.items():
        assert comment, f"{name} has no comment in the code"
        assert (default == "required") == fields[name].is_required()
        if default not in ("required", "–"):
            assert yaml.safe_load(default.strip("`")) == fields[name].get_default()


def test_the_suites_that_the_page_shows_are_accepted(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "suites.md").read_text("utf-8")
    whole, tuning, figures = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    file = tmp_path / "suite.yaml"
    file.write_text(whole + figures)
    suite, _ = load_suite(file)
    labels = ["fql.alpha-1", "fql.alpha-10", "fql-from-zero", "iql", "bc"]
    assert [row.label for row in suite.rows] == labels
    assert len(suite.figures) == 2
    content = yaml.safe_load(whole) | yaml.safe_load(tuning)
    content["algorithms"] = {name: {} for name in content["tuning"]["settings"]}
    file.write_text(yaml.safe_dump(content))
    tuned, _ = load_suite(file)
    settings = [row.label for row in tuned.settings if row.base == "fql"]
    assert settings == ["fql", "fql.alpha-1", "fql.alpha-30"]
