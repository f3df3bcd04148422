"""What can stand in a block, by its first word.

    config METHOD             every field of the method's config
    suite-keys                every key of a suite file
    methods                   the methods of this repository
    deviations                where each of them deviates from its official code
    oracles                   what each of them was compared with
    samplers                  and what their samplers were
    acting FILE               how long methods take to act, from `harness bench --acting`'s JSON
    rates FILE                how fast they train, from `harness bench --methods`'s JSON
    gpu-rates FILE            how fast a GPU is, from `harness bench --device cuda`'s JSON
    sac-trainings             how SAC learned that data are made with, beside published trainings
    coverage FILE             how often intervals hold the truth, `harness bench --coverage`'s JSON
    results SUITE [WHAT]      WHAT: `table` (every table, the default), `notes` (the sentences under
                              them), `run` (how they were made), or how titles of tables begin,
                              written like a file's name: `summary-of`, `action-selections`
    averages SUITE...         their rows' averages side by side, a column for each family of tasks
    figure FILE "CAPTION"

SUITE and the FILE of `acting`, `rates`, `gpu-rates`, `coverage` and `figure` are paths under the
results folder; a figure's may have `*` in its name.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from harness.docs.acting import acting_table
from harness.docs.averages import averages_table
from harness.docs.config_tables import config_tables
from harness.docs.coverage import coverage_table
from harness.docs.deviations import deviations_table
from harness.docs.methods import methods_table
from harness.docs.oracles import oracles_table
from harness.docs.place import Place
from harness.docs.rates import gpu_rates_table, rates_table
from harness.docs.results import suite_figure, suite_results
from harness.docs.sac_trainings import sac_trainings_table
from harness.docs.samplers import samplers_table
from harness.docs.suite_keys import suite_keys_tables
from harness.errors import UserError
from harness.suite.problems import unknown


@dataclass(frozen=True)
class _Kind:
    usage: str
    arguments: tuple[int, ...]  # how many there may be
    write: Callable[..., str]  # given the place, then the arguments


_KINDS = {
    "config": _Kind("config METHOD", (1,), lambda _, method: config_tables(method)),
    "suite-keys": _Kind("suite-keys", (0,), lambda _: suite_keys_tables()),
    "methods": _Kind("methods", (0,), methods_table),
    "deviations": _Kind("deviations", (0,), deviations_table),
    "oracles": _Kind("oracles", (0,), oracles_table),
    "samplers": _Kind("samplers", (0,), samplers_table),
    "sac-trainings": _Kind("sac-trainings", (0,), lambda _: sac_trainings_table()),
    "acting": _Kind("acting FILE", (1,), acting_table),
    "rates": _Kind("rates FILE", (1,), rates_table),
    "gpu-rates": _Kind("gpu-rates FILE", (1,), gpu_rates_table),
    "coverage": _Kind("coverage FILE", (1,), coverage_table),
    "results": _Kind("results SUITE [WHAT]", (1, 2), suite_results),
    "averages": _Kind("averages SUITE [SUITE …]", tuple(range(1, 10)), averages_table),
    "figure": _Kind('figure FILE "CAPTION"', (2,), suite_figure),
}


def render(request: str, place: Place) -> str:
    """The Markdown that belongs into a block. Raises UserError for what cannot be written."""
    try:
        name, *arguments = shlex.split(request)
    except ValueError as error:
        raise UserError(f"the marker cannot be read: {error}") from error
    if name not in _KINDS:
        raise UserError(unknown("block", name, _KINDS))
    kind = _KINDS[name]
    if len(arguments) not in kind.arguments:
        raise UserError(f"write `{kind.usage}`, found `{request}`")
    return kind.write(place, *arguments)
