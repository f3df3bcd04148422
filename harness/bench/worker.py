"""One contender: `python -m harness.bench.worker PLACE KIND ...` (see `rotation.py`).

The place is a core's number, or `cuda`. Kinds: `engine ALGORITHM SEEDS STAGE PRECISION SETTINGS`,
with the stage's number from 0 and the settings as JSON; `noise`, with the same words, which only
draws what the engine's updates draw; `corl SCRIPT FOLDER`; `unifloral SEEDS PRECISION FOLDER`; and
two that say all they have to at once: `acting ALGORITHM`, and `trial SEEDS SPEC` with a run's spec
as JSON.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from algorithms.engine.draws import BLOCK, Draws
from algorithms.engine.engine import Engine
from algorithms.errors import sentence_of
from algorithms.fields import Precision
from algorithms.registry import load, resolve_config
from algorithms.transitions import Transitions
from harness.bench.acting import acting_times
from harness.bench.contenders import ACTION_DIM, OBS_DIM, ROWS
from harness.bench.products import ProductTimer, count_products, dominant, enter_stage, total_flop
from harness.bench.rotation import CHUNK_SECONDS, PRODUCT_SECONDS, pin_to
from harness.bench.synthetic import synthetic_transitions
from harness.bench.trial import chunk_of, trial_times
from harness.errors import UserError
from harness.execution.memory import peak_mb
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


class Meter(NamedTuple):
    """What counts as time and memory where a worker is.

    Attributes:
        seconds: of the process on a core, so that a busy machine does not count; of the wall on a
            GPU.
        memory_mb: the most that was taken, of the GPU's memory if there is one.
    """

    seconds: Callable[[], float]
    memory_mb: Callable[[], float]


_ON_CORE = Meter(time.process_time, peak_mb)
_ON_GPU = Meter(time.perf_counter, lambda: torch.cuda.max_memory_allocated() / 2**20)


def engine(
    algorithm: str,
    seeds: int,
    stage: int,
    precision: Precision,
    settings: Mapping[str, Any],
    *,
    rows: int = ROWS,
    compile: bool = True,  # noqa: A002
    device: str = "cpu",
) -> Measured:
    """Our engine in a stage of training, numbered from 0; on a GPU its products are not timed.

    On few rows if the stage begins with what it computes for all of them, which may be hours.
    """
    config = resolve_config(algorithm, settings)

    def learner(rows: int, seeds: int, *, compile: bool, device: str = "cpu") -> Engine:  # noqa: A002
        return Engine(
            algorithm,
            config,
            _transitions(rows),
            range(seeds),
            offline_steps=_BUDGET,
            precision=precision,
            compile=compile,
            device=device,
        )

    small = learner(_ROWS_TO_COUNT, 1, compile=False)
    counted = count_products(small, stage)
    computes_first = bool(small.algorithm.stages[stage].columns)
    few_or_all = _ROWS_TO_COUNT if computes_first else rows
    timed = learner(few_or_all, seeds, compile=compile, device=device)
    enter_stage(timed, stage)

    def train_and_wait(updates: int) -> None:
        timed.train(updates)
        timed.metrics()

    if device != "cpu":
        return Measured(train_and_wait, seeds)
    if not counted:
        return Measured(timed.train, seeds)
    most = dominant(counted)
    products = ProductTimer(most._replace(matrices=seeds * most.matrices))
    return Measured(timed.train, seeds, total_flop(counted), products)


def noise_of(algorithm: str, seeds: int, settings: Mapping[str, Any], device: str) -> Measured:
    """Indices and noise of an algorithm's updates, drawn as the engine does, and nothing else."""
    config = resolve_config(algorithm, settings)
    learner = load(algorithm)(config, OBS_DIM, ACTION_DIM)
    draws = Draws(learner, ROWS, range(seeds), torch.device(device))
    blocks = itertools.count()

    def run(updates: int) -> None:
        for block in itertools.islice(blocks, -(-updates // BLOCK)):
            draws.of_update(block * BLOCK)
        if device != "cpu":
            torch.cuda.synchronize()

    return Measured(run, seeds)


def _transitions(rows: int) -> Transitions:
    return synthetic_transitions(rows, OBS_DIM, ACTION_DIM)


def main() -> None:
    """Warm up, say so, then run one chunk for every line on standard input."""
    try:
        _serve(*sys.argv[1:])
    except UserError as error:
        _say(failure=str(error))
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        _say(failure=sentence_of(error))
        sys.exit(1)


def _serve(place: str, kind: str, *arguments: str) -> None:
    device, meter = ("cuda", _ON_GPU) if place == "cuda" else ("cpu", _ON_CORE)
    if device == "cpu":
        pin_to(int(place))
    torch.set_num_threads(1)
    if kind == "acting":
        _say(acting=[found.model_dump() for found in acting_times(*arguments)])
        return
    if kind == "trial":
        seeds, spec = arguments
        _say(trial=trial_times(RunSpec.model_validate_json(spec), int(seeds)).model_dump())
        return
    if kind == "unifloral":
        from harness.bench.unifloral import jax_memory_mb

        meter = meter._replace(memory_mb=jax_memory_mb)
    _answer(_measured(kind, arguments, device), meter)


def _measured(kind: str, arguments: Sequence[str], device: str) -> Measured:
    """What takes part in the rotation, by the words of the command line."""
    if kind in ("engine", "noise"):
        algorithm, seeds, stage, precision, words = arguments
        settings = json.loads(words)
        if kind == "noise":
            return noise_of(algorithm, int(seeds), settings, device)
        exactly = cast(Precision, precision)
        return engine(algorithm, int(seeds), int(stage), exactly, settings, device=device)
    transitions = _transitions(ROWS)
    if kind == "unifloral":
        from harness.bench.unifloral import unifloral_updates

        seeds, precision, folder = arguments
        exactly = cast(Precision, precision)
        run = unifloral_updates(Path(folder), int(seeds), exactly, transitions)
        return Measured(run, int(seeds))
    from harness.bench.corl import corl_updates

    script, folder = arguments
    return Measured(corl_updates(Path(folder), script, transitions), 1)


def _answer(measured: Measured, meter: Meter) -> None:
    """Warm up and say so, then run a chunk and say how it went for every line that comes."""
    measured.run(_FEW)
    before = meter.seconds()
    measured.run(_FEW)
    chunk = chunk_of(CHUNK_SECONDS * _FEW / (meter.seconds() - before))
    _say(learners=measured.learners, flop=measured.flop)
    for _ in sys.stdin:
        before = meter.seconds()
        measured.run(chunk)
        taken = meter.seconds() - before
        timer = measured.products
        _say(
            updates=chunk,
            seconds=taken,
            flop_per_cpu_second=None if timer is None else timer.rate(PRODUCT_SECONDS),
            peak_memory_mb=meter.memory_mb(),
        )


def _say(**answer: Any) -> None:
    print("@" + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
