"""The CSV file of what is published beside what is ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from harness.published import ProtocolName
from harness.report.sections.published.beside import Beside, ComparedMethod

_COLUMNS = (
    *("published", "published_spread", "published_spread_kind", "published_seeds"),
    *("published_steps", "published_data", "published_action_selection", "standing", "source"),
    *("sources", "lowest", "lowest_source", "highest", "highest_source"),
    *("mean", "sd", "seeds", "our_protocol", "note"),
)


def published_csv(beside: Beside) -> pd.DataFrame:
    """One line per protocol, task and method: what is shown, the range of sources, and ours."""
    lines: list[dict[str, Any]] = []
    for protocol in beside.suite.published.protocols:
        for task in beside.tasks:
            for line in beside.lines(protocol):
                if facts := _facts(beside, task, line, protocol):
                    keys = {"protocol": protocol, "task": task, "algorithm": line.name}
                    lines.append({**keys, "method": line.method, **facts})
    counts = dict.fromkeys(("published_seeds", "published_steps", "sources", "seeds"), "Int64")
    columns = ["protocol", "task", "algorithm", "method", *_COLUMNS]
    return pd.DataFrame(lines, columns=columns).astype(counts)


def _facts(
    beside: Beside, task: str, line: ComparedMethod, protocol: ProtocolName
) -> dict[str, Any]:
    """The columns of `published.csv` of a cell; empty where there is nothing to say."""
    facts: dict[str, Any] = {}
    if cell := beside.published(task, line, protocol):
        shown, lowest, highest = cell.shown, cell.lowest, cell.highest
        facts = {
            "published": shown.score,
            "published_spread": shown.spread,
            "published_spread_kind": shown.spread_kind,
            "published_seeds": shown.seeds,
            "published_steps": shown.steps,
            "published_data": shown.data,
            "published_action_selection": shown.action_selection,
            "standing": shown.standing,
            "source": shown.source,
            "sources": len(cell.scores),
            "lowest": lowest.score,
            "lowest_source": lowest.source,
            "highest": highest.score,
            "highest_source": highest.source,
            "note": shown.note,
        }
    elif (task, line.method) in beside.literature.not_at_hand:
        facts["note"] = "not at hand"
    if ours := beside.ours(task, line):
        scores = ours.scores
        sd = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
        name = beside.comparison.protocol.name
        facts |= {"mean": float(scores.mean()), "sd": sd, "seeds": len(scores)}
        facts |= {"our_protocol": name}
    return facts
