"""One contender: `python -m harness.bench.worker CORE KIND ...` (see `rotation.py`).

Kinds: `engine ALGORITHM SEEDS STAGE PRECISION SETTINGS`, with the stage's number from 0 and the
settings as JSON; `corl SCRIPT FOLDER`; and two that say all they have to at once:
`acting ALGORITHM`, and `trial SEEDS SPEC` with a run's spec as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from algorithms.engine.engine import Engine
from algorithms.engine.precision import Precision
from algorithms.errors import sentence_of
from algorithms.registry import resolve_config
from algorithms.transitions import Transitions
from harness.bench.acting import acting_times
from harness.bench.contenders import ACTION_DIM, OBS_DIM, ROWS
from harness.bench.products import ProductTimer, count_products, dominant, enter_stage, total_flop
from harness.bench.rotation import CHUNK_SECONDS, PRODUCT_SECONDS, pin_to
from harness.bench.synthetic import synthetic_transitions
from harness.bench.trial import chunk_of, trial_times
from harness.errors import UserError
from harness.runs.spec import RunSpec

_ROWS_TO_COUNT = 4096
_BUDGET = 10**9  # steps, never reached
_FEW = 8  # updates in which everything is compiled


class Measured(NamedTuple):
    """What a worker runs.

    Attributes:
        run: takes so many updates.
        learners: seeds trained by one.
        flop: of the matrix products of an update, a seed; None: not counted.
        products: most of them; None: not counted.
    """

    run: Callable[[int], None]
    learners: int
    flop: float | None = None
    products: ProductTimer | None = None


def engine(
    algorithm: str,
    seeds: int,
    stage: int,
    precision: Precision,
    settings: Mapping[str, Any],
    *,
    rows: int = ROWS,
    compile: bool = True,  # noqa: A002
) -> Measured:
    """Our engine in a stage of training, numbered from 0.

    On few rows if the stage begins with what it computes for all of them, which may be hours.
    """
    config = resolve_config(algorithm, settings)

    def learner(rows: int, seeds: int, *, compile: bool) -> Engine:  # noqa: A002
        return Engine(
            algorithm,
            config,
            _transitions(rows),
            range(seeds),
            total_steps=_BUDGET,
            precision=precision,
            compile=compile,
        )

    small = learner(_ROWS_TO_COUNT, 1, compile=False)
    counted = count_products(small, stage)
    computes_first = bool(small.algorithm.stages[stage].columns)
    timed = learner(_ROWS_TO_COUNT if computes_first else rows, seeds, compile=compile)
    enter_stage(timed, stage)
    if not counted:
        return Measured(timed.train, seeds)
    most = dominant(counted)
    products = ProductTimer(most._replace(matrices=seeds * most.matrices))
    return Measured(timed.train, seeds, total_flop(counted), products)


def _transitions(rows: int) -> Transitions:
    return synthetic_transitions(rows, OBS_DIM, ACTION_DIM)


def main() -> None:
    """Warm up, say so, then run one chunk for every line on standard input."""
    try:
        _serve(*sys.argv[1:])
    except Exception as error:
        traceback.print_exc()
        _say(failure=str(error) if isinstance(error, UserError) else sentence_of(error))
        sys.exit(1)


def _serve(core: str, kind: str, *arguments: str) -> None:
    pin_to(int(core))
    torch.set_num_threads(1)
    if kind == "acting":
        _say(acting=[found.model_dump() for found in acting_times(*arguments)])
        return
    if kind == "trial":
        seeds, spec = arguments
        _say(trial=trial_times(RunSpec.model_validate_json(spec), int(seeds)).model_dump())
        return
    if kind == "engine":
        algorithm, seeds, stage, precision, settings = arguments
        measured = engine(
            algorithm, int(seeds), int(stage), cast(Precision, precision), json.loads(settings)
        )
    else:
        from harness.bench.corl import corl_updates

        script, folder = arguments
        transitions = _transitions(ROWS)
        measured = Measured(corl_updates(Path(folder), script, transitions), 1)
    measured.run(_FEW)
    before = time.process_time()
    measured.run(_FEW)
    chunk = chunk_of(CHUNK_SECONDS * _FEW / (time.process_time() - before))
    _say(learners=measured.learners, flop=measured.flop)
    for _ in sys.stdin:
        before = time.process_time()
        measured.run(chunk)
        taken = time.process_time() - before
        timer = measured.products
        _say(
            updates=chunk,
            cpu_seconds=taken,
            flop_per_cpu_second=None if timer is None else timer.rate(PRODUCT_SECONDS),
            peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )


def _say(**answer: Any) -> None:
    print("@" + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
