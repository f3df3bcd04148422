"""Trained policies by their runs' folders."""

from __future__ import annotations

import warnings
from pathlib import Path

from harness.policies.policy import Policy
from harness.policies.saved import open_run


def load_policy(
    run: str | Path,
    *,
    action_selection: str | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Policy:
    """A run's policy, which acts on raw observations; needs none of the run's data.

    Args:
        run: the run's folder, `results/<suite>/runs/<task>/<row>-<hash>/seed-<n>`.
        action_selection: how it acts, such as `noise-0` or `best-of-4`; None: the run's own.
        seed: of its noise.
        device: where its networks are to be, such as `cpu` or `cuda`.

    Raises UserError, with what to do, for a folder that holds no run, or none that can act. Warns
    if the policy may not act as the run's did, because code has changed since.
    """
    found = open_run(Path(run), device)
    for remark in found.remarks:
        warnings.warn(remark, stacklevel=2)
    return Policy(found, action_selection, seed)
