"""`harness eval`: a run's policy scored again, without its data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from algorithms.engine.precision import use_products
from harness.commands.console import say
from harness.policies.evaluation import Evaluated, decision_milliseconds, evaluate
from harness.policies.film import check_film, filmed_environment, write_film
from harness.policies.policy import Policy
from harness.policies.saved import SavedRun, open_run
from harness.statistics.intervals import t_interval
from harness.tasks import make_environment


def evaluate_run(
    path: Path,
    *,
    episodes: int | None,
    seed: int | None,
    video: Path | None,
    action_selection: str | None,
    console: Console,
) -> None:
    """Carry out `harness eval` with its arguments. Raises UserError for what cannot be done."""
    if video is not None:
        check_film(video)
    torch.set_num_threads(1)  # as runs have
    run = open_run(path)
    use_products(run.spec.precision, torch.device("cpu"))
    remarks = [*run.remarks]
    if run.spec.device != "cpu":
        remarks.append("The run was trained on a GPU, and is evaluated on the CPU: noise differs.")
    for remark in remarks:
        say(console, f"note: {remark}")
    film = None if video is None else filmed_environment(run.spec.task)
    if video is not None:
        video.parent.mkdir(parents=True, exist_ok=True)
    cameras = [film] if film is not None else []
    found = evaluate(
        run,
        episodes=episodes,
        seed=seed,
        action_selection=action_selection,
        environment=lambda: cameras.pop() if cameras else make_environment(run.spec.task),
    )
    latency = decision_milliseconds(Policy(run, action_selection))
    for line in _lines(run, found, latency):
        say(console, line)
    if film is not None and video is not None:
        write_film(film, video)
        say(console, f"video     {video}, episode 0")


def _lines(run: SavedRun, found: Evaluated, latency: float) -> list[str]:
    spec = run.spec
    scores = np.array([spec.task.normalized_score(value) for value in found.returns])
    returns = np.array(found.returns)
    success = [episode.success for episode in found.episodes]
    low, high = t_interval(scores)
    lines = [
        f"{spec.label} on {spec.task.id}, seed {spec.seed}, after {run.step:,} steps; acts by "
        f"{found.action_selection}, {len(returns)} episode{'s' if len(returns) > 1 else ''}",
        f"score     {scores.mean():.2f} points",
    ]
    if len(scores) > 1:
        lines.append(f"interval  {low:.2f} to {high:.2f} (95%, Student's t over episodes)")
    lines.append(f"return    {returns.mean():.4g}, from {returns.min():.4g} to {returns.max():.4g}")
    if not np.isnan(success).any():
        lines.append(f"success   {100 * np.mean(success):.0f}% of episodes")
    lines.append(f"decision  {latency:.3g} ms for one observation, on one thread")
    if found.stored is not None:
        equal = found.stored == found.returns
        verdict = "the same returns, bit for bit" if equal else _difference(found)
        lines.append(f"stored    {verdict}")
    return lines


def _difference(found: Evaluated) -> str:
    """How far a re-evaluation is from what the run left."""
    assert found.stored is not None
    apart = np.abs(np.array(found.stored) - np.array(found.returns)).max()
    return (
        f"not the same returns: they differ by up to {apart:.4g} (another machine, other versions "
        "of packages, or changed code)"
    )
