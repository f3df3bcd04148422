"""What takes part: the workers' arguments, and every method in groups."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from algorithms.errors import sentence_of
from algorithms.fields import Precision
from algorithms.registry import ABLATIONS, algorithms, load
from harness.bench.rotation import Worker

ROWS, OBS_DIM, ACTION_DIM = 1_000_000, 17, 6  # HalfCheetah's shapes
SEEDS = 4  # the best stack on the CPUs measured so far is 2 to 8
COMMON = "td3-bc"  # in every group, so that ratios to it compare across groups
STACKS = (1, 5, 20, 64)  # seeds trained at once on a GPU
ROUNDED: tuple[Precision, ...] = ("mixed", "bf16")  # compared with exact products
_GROUP = 4  # stages measured together, beside it: a worker takes 0.6 to 1 GB
_WIDTHS = {"hidden_dims": [256, 256], "batch_size": 256}
_WINDOWS = 16  # of a sequence model, whose windows are 20 transitions of several tokens


def engine_worker(
    algorithm: str,
    stage: int = 0,
    words: str = "",
    precision: Precision = "fp32",
    settings: Mapping[str, Any] | None = None,
    seeds: int | None = None,
) -> Worker:
    """Our engine in a stage, numbered from 0, which `words` name; its name has `seeds` if given."""
    name = algorithm + words + (f", {seeds} seeds" if seeds else "")
    name += f", {precision}" if precision != "fp32" else ""
    given = json.dumps(settings or {})
    return name, ["engine", algorithm, str(seeds or SEEDS), str(stage), precision, given]


def gpu_workers() -> tuple[list[Worker], dict[str, str]]:
    """Stacks of seeds for a GPU, and by contender whose rate its own is compared with.

    A larger stack is compared with one seed, rounded products with exact ones, and the noise of an
    update with the update.
    """
    workers: list[Worker] = []
    bases: dict[str, str] = {}
    for algorithm, stage, words in (
        ("iql", 0, ""),
        ("fql", 0, ""),
        ("df-div", 0, ", pretraining"),
        ("df-div", 1, ", improvement"),
    ):
        stacks = [
            engine_worker(algorithm, stage, words, settings=_WIDTHS, seeds=seeds)
            for seeds in STACKS
        ]
        one, few, many, _ = (name for name, _ in stacks)
        rounded = [
            engine_worker(algorithm, stage, words, precision, _WIDTHS, STACKS[2])
            for precision in ROUNDED
        ]
        noise = (f"noise of {few}", ["noise", *stacks[1][1][1:]])
        workers += [*stacks, *rounded, noise]
        bases |= {name: one for name, _ in stacks} | {noise[0]: few}
        bases |= {name: many for name, _ in rounded}
    return workers, bases


def unifloral_workers(folder: Path) -> tuple[list[Worker], dict[str, str]]:
    """IQL's stacks of seeds for a GPU, each compared with that of unifloral's checkout `folder`."""
    workers: list[Worker] = []
    bases: dict[str, str] = {}
    stacks: list[tuple[int, Precision]] = [(seeds, "fp32") for seeds in STACKS]
    for seeds, precision in [*stacks, (STACKS[2], "mixed")]:
        ours = engine_worker("iql", precision=precision, settings=_WIDTHS, seeds=seeds)
        theirs = f"unifloral {ours[0]}"
        workers += [ours, (theirs, ["unifloral", str(seeds), precision, str(folder.absolute())])]
        bases |= {ours[0]: theirs, theirs: theirs}
    return workers, bases


def matching(pattern: str) -> list[str]:
    """Ids of methods, ablations left out, that match a pattern such as `*` or `df-*`."""
    known = [info.id for info in algorithms().values() if info.family != ABLATIONS]
    return fnmatch.filter(known, pattern)


def groups(ids: Sequence[str], failed: dict[str, str]) -> list[list[Worker]]:
    """Every stage of these methods, a few at a time, each group beginning with the common one.

    failed: where the reasons go of methods that cannot be made.
    """
    (common,) = _stages(COMMON)
    workers: list[Worker] = []
    for algorithm in ids:
        try:
            workers += _stages(algorithm)
        except Exception as error:  # anyone's code
            failed[algorithm] = sentence_of(error)
    workers = [worker for worker in workers if worker != common]
    starts = range(0, max(1, len(workers)), _GROUP)
    return [[common, *workers[start : start + _GROUP]] for start in starts]


def _stages(algorithm: str) -> list[Worker]:
    """A worker for every stage, at common widths; of sequence models, at their own.

    A stage whose updates are those of an earlier one is left out.
    """
    cls = load(algorithm)
    settings: dict[str, Any] = _WIDTHS
    made = cls(cls.Config.model_validate(settings), OBS_DIM, ACTION_DIM)
    if made.context:
        size = "transformer_batch_size"
        known = cls.Config.model_fields
        settings = {size if size in known else "batch_size": _WINDOWS}
    count = len(made.stages)
    words = [f", stage {i + 1} of {count}" if count > 1 else "" for i in range(count)]
    phases = [stage.phases for stage in made.stages]
    unlike = [i for i in range(count) if phases[i] not in phases[:i]]
    return [engine_worker(algorithm, i, words[i], settings=settings) for i in unlike]
