"""What docs/speed.md says of GPUs in words is what the files of its tables say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.harness.docs.claims import DOCS, RESULTS, difference, scores_of

PAGE = DOCS / "speed.md"
EXACT, ROUNDED, EXACT_ON_A_CPU, BFLOAT16 = (
    RESULTS / "local" / f"precision_{name}" for name in ("fp32", "mixed", "fp32-cpu", "bf16-cpu")
)


def prose_below(heading: str) -> str:
    """A part's own words, without what is generated, in one line."""
    _, part = re.split(rf"(?m)^#+ {heading}$", PAGE.read_text("utf-8"))
    own = re.split(r"(?m)^#+ ", part)[0]
    return " ".join(re.sub(r"<!-- generated: .*?<!-- end -->", "", own, flags=re.DOTALL).split())


def test_rates_beside_unifloral_are_those_on_file() -> None:
    rates = json.loads((RESULTS / "local" / "bench" / "gpu_unifloral.json").read_text())
    ours = {rate["name"]: rate for rate in rates["training"] if rate["name"].startswith("iql")}
    assert all(rate["base"] == f"unifloral {name}" for name, rate in ours.items())
    ratios = [ours[f"iql, {seeds} seeds"]["ratio"] for seeds in (1, 5, 20, 64)]
    ratios.append(ours["iql, 20 seeds, mixed"]["ratio"])
    said = re.findall(r"\d\.\d\d", prose_below("Beside unifloral's JAX"))
    assert said == [f"{ratio:.2f}" for ratio in ratios]


def test_what_bfloat16_gains_on_a_cpu_is_what_is_on_file() -> None:
    rates = json.loads((RESULTS / "local" / "bench" / "cpu.json").read_text())["training"]
    ratio = {rate["name"]: rate["ratio"] for rate in rates}
    gains = [ratio[f"{name}, bf16"] / ratio[name] for name in ("iql", "df-div, improvement")]
    said = re.findall(r"(\d\.\d\d) times as many", prose_below("Losses in bfloat16"))
    assert said == [f"{gain:.2f}" for gain in gains]


@pytest.mark.parametrize(
    ("heading", "before", "after"),
    [
        ("Rounded products", EXACT, ROUNDED),
        ("Losses in bfloat16", EXACT_ON_A_CPU, BFLOAT16),
    ],
)
def test_what_rounded_products_change_is_what_the_runs_say(
    heading: str, before: Path, after: Path
) -> None:
    [exact], [rounded] = (scores_of(suite).values() for suite in (before, after))
    prose = prose_below(heading)
    said = re.findall(r"`([a-z0-9-]+)` (-?[\d.]+) ± (\d+\.\d)", prose)
    assert {label for label, *_ in said} == exact.keys() == rounded.keys()
    for label, mean, half in said:
        found = difference(rounded[label], exact[label])
        assert (mean, half) == (f"{found[0]:.1f}", f"{found[1]:.1f}")
        assert ("None is told from zero" in prose) == (abs(found[0]) < found[1])


@pytest.mark.parametrize("suite", [EXACT, ROUNDED])
def test_runs_on_a_gpu_are_of_one_commit(suite: Path) -> None:
    assert "all runs are of commit 1dae9fb" in (suite / "table.md").read_text("utf-8")


@pytest.mark.parametrize("suite", [EXACT_ON_A_CPU, BFLOAT16])
def test_runs_on_a_cpu_are_of_one_commit_and_machine(suite: Path) -> None:
    notes = (suite / "table.md").read_text("utf-8")
    assert "all runs are of commit d60253d" in notes
    assert "Machines:" not in notes
