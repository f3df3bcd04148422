"""Records SQL's and EQL's own code: `python -m tests.oracles.record_ivr FOLDER`, a checkout of it.

It is ryanxhr/IVR at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import Tensor

from tests.oracles.flax_recording import record
from tests.oracles.record_xql import (
    COMPARED,
    OURS,
    UPDATES,
    created,
    layers,
    loaded,
    trees,
    updating,
)

COMMIT = "58edd26"
ALPHA = 0.3  # so small that some of EQL's exponents reach their bound


def ivr(modules: SimpleNamespace, name: str, ours: Mapping[str, Any], **facts: Any) -> None:
    """name: of the loss, as the learner takes it."""
    rng = np.random.default_rng(0)
    learner = created(modules.learner.Learner, rng, alg=name, alpha=ALPHA)
    take = updating(learner, modules.common.Batch)

    def step(_: int, batch: Mapping[str, Tensor], __: Mapping[str, Tensor]) -> Any:
        losses = take(batch)
        if name == "EQL":
            del losses["value/loss"]
        return losses

    record(
        "ivr",
        "sql",
        lambda: trees(learner),
        step,
        rng,
        layers=layers,
        updates=UPDATES,
        noise={},
        config={**OURS, "alpha": ALPHA, **ours},
        version=COMMIT,
        **facts,
    )


if __name__ == "__main__":
    found = loaded(sys.argv[1])
    ivr(found, "SQL", {}, compared=f"SQL: {COMPARED}")
    ivr(
        found,
        "EQL",
        {"regularizer": "exponential"},
        compared=f"EQL: {COMPARED}; V's loss is not compared, as ours leaves out what does not "
        "depend on V",
        variant="eql",
    )
