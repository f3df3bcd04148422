"""One contender: `python -m harness.bench.worker CORE KIND ...` (see `rotation.py`).

Kinds: `engine ALGORITHM SEEDS STAGE PRECISION` and `corl SCRIPT FOLDER`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch

from algorithms.engine.engine import Engine
from algorithms.engine.precision import Precision
from algorithms.registry import resolve_config
from algorithms.transitions import Transitions
from harness.bench.rotation import CHUNK_SECONDS, pin_to

ROWS, OBS_DIM, ACTION_DIM = 1_000_000, 17, 6  # HalfCheetah's shapes
Run = Callable[[int], None]


def synthetic_transitions() -> Transitions:
    """Random transitions of HalfCheetah's size; only their shapes matter to speed."""
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((ROWS, OBS_DIM), dtype=np.float32)
    actions = np.tanh(rng.standard_normal((ROWS, ACTION_DIM), dtype=np.float32))
    return Transitions.pack(
        observations=observations,
        actions=actions,
        rewards=0.1 * observations[:, :3].sum(1) + 0.05 * actions.sum(1),
        next_observations=observations + 0.1,
        terminals=rng.random(ROWS) < 0.002,
        timeouts=np.zeros(ROWS),
    )


def engine(algorithm: str, seeds: str, part: str, precision: Precision) -> tuple[Run, int]:
    """Our engine in a part of training.

    part: all, pretraining or improvement.
    """
    config = resolve_config(algorithm, {})
    budget = 10**9  # never reached; a share of 1e-9 leaves one step for the first stage
    if part != "all":
        share = 0.5 if part == "pretraining" else 1e-9
        config = config.model_copy(update={"pretrain_share": share})
    learner = Engine(
        algorithm,
        config,
        synthetic_transitions(),
        range(int(seeds)),
        total_steps=budget,
        precision=precision,
    )
    return learner.train, int(seeds)


def main() -> None:
    """Warm up, say so, then run one chunk for every line on standard input."""
    core, kind, *arguments = sys.argv[1:]
    pin_to(int(core))
    torch.set_num_threads(1)
    if kind == "engine":
        algorithm, seeds, part, precision = arguments
        run, learners = engine(algorithm, seeds, part, cast(Precision, precision))
    else:
        from harness.bench.corl import corl_updates

        script, folder = arguments
        run, learners = corl_updates(Path(folder), script, synthetic_transitions()), 1
    run(64)
    before = time.process_time()
    run(16)
    chunk = max(8, int(CHUNK_SECONDS * 16 / (time.process_time() - before)))
    _say(learners=learners)
    for _ in sys.stdin:
        before = time.process_time()
        run(chunk)
        _say(
            updates=chunk,
            cpu_seconds=time.process_time() - before,
            peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )


def _say(**answer: float) -> None:
    print("@" + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
