"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SuiteArgument = Annotated[str, typer.Argument(metavar="SUITE", help="A suite's name or file.")]
ResultsOption = Annotated[Path, typer.Option(help="Folder of all suites' results.")]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Only cells matching task/algorithm, algorithm (all rows of its sweep, or one) or "
        "task; * is a wildcard. Repeat it for more.",
    ),
]
SeedsOption = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Seeds 0 to N-1 instead of its own.")
]
CpuOption = Annotated[
    bool,
    typer.Option("--cpu", help="Train without the GPU a suite asks for, into results of its own."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
