"""`harness export`: a run's policy as a file that torch alone can run."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from harness.commands.console import say
from harness.policies.export import export_policy
from harness.policies.saved import open_run


def export_run(path: Path, to: Path, action_selection: str | None, console: Console) -> None:
    """Carry out `harness export` with its arguments. Raises UserError for what cannot be done."""
    run = open_run(path)
    for remark in run.remarks:
        say(console, f"note: {remark}")
    apart = export_policy(run, to, action_selection)
    dims = run.trained.algorithm
    say(
        console,
        f"{to}: torch.jit.load gives a function of raw observations [N, {dims.obs_dim}] that "
        f"returns actions [N, {dims.action_dim}]. Loaded again and compared with the policy, its "
        f"actions differ by at most {apart:.2g}.",
    )
