"""How scores came about: by tuning, by earlier code, of which commits, on what machines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.runs.checkout import Checkout
from harness.runs.suite_file import PlannedRun, SuiteFile

TUNED, EARLIER = "ᵗ", "¶"
MEANING = "made by earlier code of this method"


def origin_mark(suite: SuiteFile, label: str, tasks: Iterable[str]) -> str:
    """What a score of the label on the tasks carries: notes say what it means."""
    tuned = TUNED if suite.tuning is not None else ""
    kept = any((task, label) in suite.kept_cells for task in tasks)
    return tuned + (EARLIER if kept else "")


def origin_notes(suite: SuiteFile) -> Iterator[str]:
    """What the marks say and of which methods, if there are any."""
    if suite.tuning is not None:
        tried = sum(row.base == suite.rows[0].label for row in suite.tuning.rows)
        seeds = ", ".join(map(str, suite.tuning.seeds))
        meaning = suite.evaluation.protocol
        yield (
            f"{TUNED}: TUNED ONLINE. Every method tried {tried} settings, its own among them, on "
            f"seeds of their own ({seeds}); its scores are of the one that the rule chose for each "
            f"{suite.tuning.per}: the highest mean over these seeds{_places(suite)} of the score "
            f"by '{meaning}', the method's own setting among equals. Returns in the environment "
            "chose it, which nobody who has only the data can do."
        )
    ids = {row.label: row.id for row in suite.rows}
    if methods := dict.fromkeys(ids[run.label] for run in suite.runs if run.kept):
        yield f"{EARLIER}: {MEANING}, all or some of the runs: {', '.join(methods)}."


def checkout_notes(
    runs: Sequence[PlannedRun],
    checkouts: Mapping[str, Checkout],
    *,
    one_code: bool = False,
    subject: str = "Code",
) -> Iterator[str]:
    """Of which commits the runs are that have scores, with whose runs each has.

    one_code: whether a method's runs are known to be of the same code all the same.
    """
    methods: dict[str, dict[str, None]] = defaultdict(dict)
    for run in runs:
        if run.path in checkouts and checkouts[run.path].commit:
            methods[checkouts[run.path].name][run.label] = None
    known = sum(bool(checkout.commit) for checkout in checkouts.values())
    if len(methods) == 1 and known == len(checkouts):
        yield f"{subject}: all runs are of commit {next(iter(methods))}."
    elif methods:
        parts = [f"{commit} ({', '.join(methods[commit])})" for commit in sorted(methods)]
        if known < len(checkouts):
            unknown = len(checkouts) - known
            parts.append(f"unknown ({unknown:,} of {len(checkouts):,} runs)")
        same = ""
        if one_code:
            same = " Each method's code and the engine's version are the same in all of its runs."
        yield f"{subject}: not of one commit: {'; '.join(parts)}.{same}"
    if said := uncommitted(runs, checkouts):
        yield said


def uncommitted(runs: Sequence[PlannedRun], checkouts: Mapping[str, Checkout]) -> str:
    """What is to be said of runs whose code is of no commit; nothing if there are none."""
    changed = [run for run in runs if run.path in checkouts and checkouts[run.path].dirty]
    if not changed:
        return ""
    labels = ", ".join(dict.fromkeys(run.label for run in changed))
    return (
        f"UNCOMMITTED CHANGES: {len(changed):,} of {len(checkouts):,} runs ({labels}) are of code "
        "that no commit has, so that nobody else can make them again."
    )


def machine_name(provenance: Mapping[str, Any]) -> str:
    """The processors that a run was made on, GPUs first; nothing if they are not known."""
    names = [*provenance.get("gpus", []), provenance.get("cpu")]
    return ", ".join(str(name) for name in names if name)


def machine_notes(runs: Sequence[PlannedRun], machines: Mapping[str, str]) -> Iterator[str]:
    """With how many runs each kind of machine has a share, if there are several.

    machines: what the finished runs were made on, by path, as `machine_name` has it.
    """
    shares: dict[str, list[str]] = defaultdict(list)
    for run in runs:
        if machines.get(run.path):
            shares[machines[run.path]].append(run.label)
    if len(shares) > 1:
        parts = "; ".join(
            f"{name} ({len(labels):,} runs: {', '.join(dict.fromkeys(labels))})"
            for name, labels in sorted(shares.items())
        )
        yield (
            f"Machines: not all runs were made on one kind: {parts}. Another processor rounds "
            "differently, and its times are no comparison."
        )


def _places(suite: SuiteFile) -> str:
    """Which tasks chose for the others of their family, where not all did."""
    if suite.tuning is None or suite.tuning.tasks is None:
        return ""
    return f" on {', '.join(suite.tuning.tasks)}"
