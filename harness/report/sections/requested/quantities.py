"""What figures are about, a number a finished run: score, latency, training metric or measure.

The latency is the time of a single decision, where runs have measured it. Results of earlier
versions have an amortised one instead, of calls that act for all seeds and episodes of an
evaluation; the two never stand side by side, and axes and notes say which it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from harness.errors import nearest
from harness.report.action_selections import own_selections
from harness.report.comparison import Comparison
from harness.report.records import Records
from harness.suite.figures import Figure, Metrics, Table

RUN = ["task", "label", "seed"]
DECISION, AMORTISED = "Latency of a decision", "Amortised time of an action"


def quantity(records: Records, comparison: Comparison, name: str) -> pd.DataFrame:
    """`name` (as a suite's `value`) of every finished run.

    Columns are task, label, seed, action_selection and value.
    Scores, measures and latencies have a line for each action selection; metrics, which do not
    depend on it, have one for the row's own. Measures are means over the last step's episodes,
    metrics are those of the last step. Latencies are in milliseconds, amortised ones medians over
    all evaluations.
    """
    kind, _, what = name.partition(":")
    if kind == "score":
        return comparison.selection_scores.rename(columns={"score": "value"})
    if kind == "latency" and has_decisions(records):
        return _by_run(finished(records, records.decisions), "decision_ms", "median")
    if kind == "latency":
        times = finished(records, records.timings)
        return _by_run(times, "amortized_action_ms", "median")
    if kind == "measure":
        rows = finished(records, records.measures)
        return _by_run(_last_step(rows[rows["name"] == what]), "value", "mean")
    rows = finished(records, records.metrics)
    rows = _last_step(rows[rows["name"] == what])
    own = rows["label"].map(own_selections(records.suite))
    return _by_run(rows.assign(action_selection=own), "value", "mean")


def unknown_names(figure: Figure, records: Records) -> Iterator[str]:
    """A sentence on each metric and measure of a figure that none of its finished runs has.

    A suite names them before anybody can know them.
    """
    done = shown(figure, records, finished(records, records.runs[RUN]))
    if done.empty:
        return
    match figure:
        case Metrics():
            quantities = [f"metric:{name}" for name in figure.names]
        case Table():
            quantities = figure.values
        case _:
            quantities = [figure.value]
    tables = {"metric": records.metrics, "measure": records.measures}
    for asked in dict.fromkeys(quantities):
        kind, _, name = asked.partition(":")
        if kind not in tables:
            continue
        everywhere = finished(records, tables[kind])
        here = set(shown(figure, records, everywhere)["name"])
        if name not in here:
            which = "run that it shows" if name in set(everywhere["name"]) else "run"
            near = nearest(name, sorted(here))
            yield f"Figure '{figure.title}': no {which} has a {kind} '{name}'.{near}"


def finished(records: Records, table: pd.DataFrame) -> pd.DataFrame:
    """The lines of finished runs."""
    done = records.runs.loc[records.runs["state"] == "done", RUN]
    return table.merge(done, on=RUN)


def has_decisions(records: Records) -> bool:
    """Whether every finished run has measured single decisions."""
    measured = set(records.decisions[RUN].itertuples(index=False, name=None))
    done = records.runs.loc[records.runs["state"] == "done", RUN]
    return not done.empty and measured.issuperset(done.itertuples(index=False, name=None))


def axis_label(name: str, records: Records, comparison: Comparison) -> str:
    """A quantity, swept field or task option in the words of an axis."""
    kind, colon, what = name.partition(":")
    latency = DECISION if has_decisions(records) else AMORTISED
    words = {"score": comparison.score_name, "latency": f"{latency} (ms)"}
    text = what if colon else words.get(kind, kind)
    return text.replace("_", " ")


def own_actions(records: Records, table: pd.DataFrame) -> pd.DataFrame:
    """The lines of the rows' own action selections."""
    own = table["label"].map(own_selections(records.suite))
    return table[table["action_selection"] == own]


def shown(figure: Figure, records: Records, table: pd.DataFrame) -> pd.DataFrame:
    """The lines of the rows and tasks that a figure is about."""
    bases = {row.label: row.base for row in records.suite.rows}
    keep = [
        figure.shows_row(label, bases[label]) and figure.shows_task(task)
        for label, task in zip(table["label"], table["task"], strict=True)
    ]
    return table[pd.Series(keep, index=table.index, dtype=bool)]


def _last_step(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["step"] == rows.groupby(RUN)["step"].transform("max")]


def _by_run(rows: pd.DataFrame, column: str, how: str) -> pd.DataFrame:
    values: pd.Series[float] = rows.groupby([*RUN, "action_selection"])[column].agg(how)
    return values.rename("value").reset_index()
