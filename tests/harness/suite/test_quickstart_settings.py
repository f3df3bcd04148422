"""The quickstart has the settings that won at equal effort, by the committed scores."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
RESULTS = REPOSITORY / "results" / "local" / "quickstart_settings"


def suite(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / "suites" / name).read_text("utf-8"))
    return found


def test_the_quickstarts_settings_are_the_best_of_as_many_for_each_method() -> None:
    search, quickstart = suite("local/quickstart_settings.yaml"), suite("quickstart.yaml")
    tried: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (RESULTS / "tuning.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            tried[line["algorithm"]][line["setting"]].append(float(line["score"]))
    assert tried.keys() == search["algorithms"].keys() == quickstart["algorithms"].keys()
    for algorithm, settings in tried.items():
        overrides = [{}, *search["tuning"]["settings"][algorithm]]  # its own comes first
        assert len(settings) == len(overrides) == 4
        assert {len(scores) for scores in settings.values()} == {4}
        best = int(np.argmax([np.mean(scores) for scores in settings.values()]))
        chosen = search["algorithms"][algorithm]["config"] | overrides[best]
        assert quickstart["algorithms"][algorithm]["config"] == chosen, algorithm
    for name in ("tasks", "defaults", "training", "evaluation"):
        assert search[name] == quickstart[name]
    assert not {*range(quickstart["seeds"])} & {*search["tuning"]["seeds"]}
