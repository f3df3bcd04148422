"""Makes results/published/scores.csv: `python -m harness.published.clean SOURCE [TARGET]`.

SOURCE is a collection of numbers as their sources print them: a CSV file with the columns task,
method, score, std, n_seeds, protocol, confidence, source, reported_by and note. What is done:

- names become ids (`names`), and facts that sources state only in words become columns;
- a copy of a number goes into the line of that number, also if it was rounded, but never into one
  of another protocol, or of data of another version;
- what the sources contradict each other in stays, a line each;
- Decision Flow's own scores, which were not at hand, get lines without a score.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.published.names import d4rl_tasks, d4rl_version, method_id, task_id
from harness.published.scores import (
    STANDINGS,
    PublishedScore,
    Standing,
    shipped_file,
    write_scores,
)


@dataclass(frozen=True)
class _Source:
    """How a source is cited, and what it says of all its numbers.

    `protocol` is what it says itself, where that is not in the column. `trials`: its spreads and
    counts are of planning trials or roll-outs, not of trained seeds.
    """

    citation: str
    note: str = ""
    protocol: str = ""
    spread_kind: str = "sd"
    trials: bool = False
    data_stated: bool = True


_FQL_STEPS = {**dict.fromkeys(("fql", "ifql", "fawac", "fbrac"), 500_000), "idql": 3_000_000}
_CORL_STEPS = {"iql": 1_000_000, "sac-n": 3_000_000, "edac": 3_000_000, "dt": 100_000}

# By the beginning of the text in the column `source`; the first that fits.
_SOURCES = {
    "CORL README": _Source("CORL README (arXiv:2210.07105)", spread_kind="sd-population"),
    "AdaptDiffuser": _Source(
        "AdaptDiffuser, Table 2 (arXiv:2302.01877)", spread_kind="se", data_stated=False
    ),
    "Decision ConvFormer": _Source("Decision ConvFormer, Table 1 (arXiv:2310.03022)"),
    "Decision Diffuser": _Source(
        "Decision Diffuser, Table 1 (arXiv:2211.15657)", spread_kind="se", data_stated=False
    ),
    "Diffusion Forcing": _Source("Diffusion Forcing, Table 1 (arXiv:2407.01392)"),
    "Diffuser (arXiv": _Source(
        "Diffuser, table of its repository (arXiv:2205.09991)", trials=True, data_stated=False
    ),
    "DOSER": _Source("DOSER, Table 1"),
    "Diffusion-QL Table 1": _Source(
        "Diffusion-QL, Table 1 (arXiv:2208.06193)",
        "checkpoint chosen offline, by the cloning loss; spread over roll-outs",
        spread_kind="other",
    ),
    "Diffusion-QL Table 4": _Source("Diffusion-QL, Table 4 (arXiv:2208.06193)"),
    "EDP Tables 4 and 5": _Source("EDP, Tables 4 and 5, OMS (arXiv:2305.20081)"),
    "EDP Table 2": _Source("EDP, Table 2, RAT (arXiv:2305.20081)", protocol="mean-of-last-10"),
    "EPQ": _Source("EPQ, Table 1 (NeurIPS 2024)"),
    "FQL": _Source("FQL, full offline table (arXiv:2502.02538)", "printed as whole numbers"),
    "GenerativeRL": _Source("GenerativeRL, benchmark README (opendilab/GenerativeRL)"),
    "Hierarchical Diffuser": _Source(
        "Hierarchical Diffuser, Table 2 (arXiv:2401.02644)", trials=True, data_stated=False
    ),
    "HorizonFlow": _Source("HorizonFlow, Table 1a", "planners, which are given the goal"),
    "ICQL": _Source("ICQL, main table", "only the cells that were quoted"),
    "IDQL": _Source("IDQL, Table 1 (arXiv:2304.10573)"),
    "OFQL": _Source("OFQL, Table 1"),
    "Q-learning Decision Transformer": _Source("QDT, Table 4 (arXiv:2209.03993)"),
    "QGPO": _Source("QGPO, Table 2 (arXiv:2304.12824)"),
    "ReBRAC": _Source("ReBRAC, Tables 2 and 4 (arXiv:2305.09836)"),
    "RTB": _Source("Relative Trajectory Balance, D4RL table"),
    "SEABO": _Source("SEABO, baselines"),
    "SRPO": _Source("SRPO, Table 1 (arXiv:2310.07297)", data_stated=False),
    "Offline RL survey": _Source(
        "survey of Prudencio et al., supplementary README (arXiv:2203.01387)", data_stated=False
    ),
    "Trajectory Transformer": _Source(
        "Trajectory Transformer, table of its repository (arXiv:2106.02039)",
        trials=True,
        data_stated=False,
    ),
}
# The survey quotes D4RL's report, whose hands are v0, and older papers, whose bodies are.
_SURVEY = "Offline RL survey"
_OLDER = {"bear", "brac-p", "brac-v", "awr", "bcq", "algaedice", "cql", "sac-off"}

# By the beginning of the text in the column `reported_by`; the first that fits, else `copy`.
_STANDINGS: dict[str, Standing] = {
    "own paper": "own",
    "reproduction in CORL": "library",
    "reproduction in": "reproduction",
}

_NOT_AT_HAND = PublishedScore(
    task="",
    method="",
    protocol="unknown",
    source="Decision Flow (arXiv:2505.20350)",
    note="not at hand: whoever has the paper can enter it in a file of their own",
)


def clean(source: Path) -> list[PublishedScore]:
    """The lines of the shipped file. Raises UserError if the source is not as described above."""
    try:
        with source.open(encoding="utf-8", newline="") as file:
            rows = [*csv.DictReader(file)]
        scores = [_score(row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError) as error:
        raise UserError(f"{source} is no collection of published scores: {error!r}") from error
    cells: dict[tuple[str, str], list[tuple[PublishedScore, int]]] = {}
    for row, score in zip(rows, scores, strict=True):
        decimals = len(row["score"].partition(".")[2])
        cells.setdefault((score.task, score.method), []).append((score, decimals))
    joined = [score for found in cells.values() for score in _joined(found)]
    empty = [
        _NOT_AT_HAND.model_copy(update={"task": task, "method": method})
        for task in d4rl_tasks()
        for method in ("df-dir", "df-div")
    ]
    tasks = {task: i for i, task in enumerate(d4rl_tasks())}
    return sorted(
        [*joined, *empty],
        key=lambda score: (
            tasks[score.task],
            score.method,
            score.protocol,
            STANDINGS.index(score.standing),
            score.source,
            score.score,
        ),
    )


def _score(row: dict[str, str]) -> PublishedScore:
    """A line of the source with our names, and its words as facts."""
    key = next(key for key in _SOURCES if row["source"].startswith(key))
    source = _SOURCES[key]
    task, method = task_id(row["task"]), method_id(row["method"])
    by = row["reported_by"]
    standing = next((s for start, s in _STANDINGS.items() if by.startswith(start)), "copy")
    own_spread = standing != "copy" and row["std"] != ""
    spread_kind = ("other" if source.trials else source.spread_kind) if own_spread else ""
    facts: dict[str, Any] = {
        "task": task,
        "method": method,
        "protocol": source.protocol or row["protocol"],
        "score": row["score"],
        "spread": row["std"] if own_spread else None,
        "spread_kind": spread_kind,
        "seeds": None if source.trials or not row["n_seeds"] else row["n_seeds"],
        "data": _data(key, source, task, method),
        "steps": _steps(key, method),
        "action_selection": _action_selection(key, method, task),
        "standing": standing,
        "second_hand": row["confidence"] == "secondary" and standing != "copy",
        "source": source.citation,
        "note": source.note or _note(key, method),
    }
    return PublishedScore.model_validate(facts)


def _data(key: str, source: _Source, task: str, method: str) -> str:
    if key == _SURVEY and (task.startswith("adroit/") or method in _OLDER):
        return "" if task.startswith("maze2d/") else "v0"
    return d4rl_version(task) if source.data_stated else ""


def _note(key: str, method: str) -> str:
    conditioned = key == "Decision ConvFormer" and method in {"dt", "odt", "rvs", "dc", "odc"}
    return "the best of six target returns" if conditioned else ""


def _steps(key: str, method: str) -> int | None:
    """Gradient steps, where the source or its code states them."""
    return {"FQL": _FQL_STEPS, "CORL README": _CORL_STEPS}.get(key, {}).get(method)


def _action_selection(key: str, method: str, task: str) -> str:
    """How actions were chosen, where the source states it: N of best-of-N in FQL's and IDQL's."""
    if (key, method) == ("FQL", "ifql"):
        more = {"adroit/door/cloned", "adroit/relocate/human"}
        return "best-of-128" if task in more else "best-of-32"
    if (key, method) == ("FQL", "idql"):
        count = {"adroit/hammer/human": 128, "adroit/relocate/cloned": 64}.get(task, 32)
        return f"best-of-{count}"
    return {("IDQL", "idql"): "best-of-128", ("IDQL", "idql-1"): "best-of-64"}.get(
        (key, method), ""
    )


def _joined(found: Iterable[tuple[PublishedScore, int]]) -> Iterator[PublishedScore]:
    """A cell's scores with its decimals, each copy in the line of the number that it copies."""
    lines: list[PublishedScore] = []
    # Originals first, then what has most decimals: a number comes before its rounded copies.
    for score, decimals in sorted(found, key=lambda item: (item[0].standing == "copy", -item[1])):
        original = _original(score, decimals, lines) if score.standing == "copy" else None
        if original is None:
            lines.append(score)
        elif score.source not in (lines[original].source, *lines[original].also_in.split("; ")):
            line = lines[original]
            also = "; ".join(filter(None, (line.also_in, score.source)))
            update = {"also_in": also, "data": line.data or score.data}
            lines[original] = line.model_copy(update=update)
    yield from lines


def _original(copy: PublishedScore, decimals: int, lines: list[PublishedScore]) -> int | None:
    """The place of the line that has the number of a copy printed with so many decimals."""
    half = 0.5 * 10.0**-decimals + 1e-9  # halves are rounded up by some and to even by others
    for place, line in enumerate(lines):
        same_data = line.data == copy.data or not (line.data and copy.data)
        near = abs((line.score or 0.0) - (copy.score or 0.0)) <= half
        if line.protocol == copy.protocol and same_data and near:
            return place
    return None


def main(arguments: list[str]) -> None:
    """Clean the file named first into the one named second, else into the shipped one."""
    if len(arguments) not in {1, 2}:
        sys.exit("usage: python -m harness.published.clean SOURCE [TARGET]")
    target = Path(arguments[1]) if len(arguments) == 2 else shipped_file()
    try:
        scores = clean(Path(arguments[0]))
    except UserError as error:
        sys.exit(f"error: {error}")
    write_scores(target, scores)
    print(f"{target}: {len(scores):,} lines")


if __name__ == "__main__":
    main(sys.argv[1:])
