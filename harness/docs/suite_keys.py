"""Every key of a suite file as Markdown, from the models that check it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from pydantic import BaseModel

from harness.docs.config_tables import field_rows, field_table
from harness.suite.entry import AlgorithmEntry
from harness.suite.figures import Heatmap, Metrics, Table, Trend
from harness.suite.published import PublishedSection
from harness.suite.schema import EvaluationPlan, Resources, Suite, Training
from harness.suite.tuning import Tuning

SECTIONS: Mapping[str, type[BaseModel]] = {
    "SUITE.yaml": Suite,
    "algorithms.LABEL": AlgorithmEntry,
    "training": Training,
    "evaluation": EvaluationPlan,
    "tuning": Tuning,
    "resources": Resources,
    "published": PublishedSection,
    "figures, kind: heatmap": Heatmap,
    "figures, kind: trend": Trend,
    "figures, kind: metrics": Metrics,
    "figures, kind: table": Table,
}
_HEADER = ("Key", "Default", "Allowed", "What it is")


def suite_keys_tables() -> str:
    """A table a section: key, default, allowed values and comment of every key."""
    parts = []
    for place, model in SECTIONS.items():
        summary = (inspect.getdoc(model) or "").partition("\n")[0]
        keys = [row for *_, rows in field_rows(model) for row in rows]
        parts += [f"`{place}`: {summary}", field_table(_HEADER, keys)]
    return "\n\n".join(parts)
