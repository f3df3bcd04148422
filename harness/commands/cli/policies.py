"""Commands on a run's trained policy: eval, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder, which holds its spec.json.")
]
SelectionOption = Annotated[
    str | None, typer.Option(help="How it acts, as noise-0 or best-of-4; its own, if not given.")
]


def eval_(
    run: RunArgument,
    episodes: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="As many as the run had, if not given.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of resets and noise; the run's, if not given.")
    ] = None,
    video: Annotated[
        Path | None, typer.Option(help="Film the first episode: a .gif, .webp or .mp4 file.")
    ] = None,
    action_selection: SelectionOption = None,
) -> None:
    """Evaluate a run's trained policy again; needs none of its data."""
    from harness.commands.eval import evaluate_run

    evaluate_run(
        run,
        episodes=episodes,
        seed=seed,
        video=video,
        action_selection=action_selection,
        console=Console(),
    )


def export(
    run: RunArgument,
    to: Annotated[Path, typer.Option(help="The file to write.")],
    action_selection: SelectionOption = None,
) -> None:
    """Write a run's trained policy as TorchScript, which torch alone can run."""
    from harness.commands.export import export_run

    export_run(run, to, action_selection, Console())
