"""Commands on this machine and this repository: doctor, bench, docs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from harness.commands.cli.options import ResultsOption
from harness.errors import UserError


def doctor(context: typer.Context) -> None:
    """Show versions and hardware, and what is missing."""
    from harness.commands.doctor import examine

    examine(Console(), inherited=context.obj)


MethodsOption = Annotated[
    str | None,
    typer.Option(
        metavar="PATTERN",
        help="Instead time every stage of the methods whose ids match, such as '*' or 'df-*'.",
    ),
]
ActingOption = Annotated[
    str | None,
    typer.Option(
        metavar="PATTERN",
        help="Instead time a decision of the methods whose ids match, in every way they act.",
    ),
]
DeviceOption = Annotated[
    Literal["cpu", "cuda"],
    typer.Option(help="cuda: instead time stacks of 1, 5, 20 and 64 seeds on the GPU."),
]
UnifloralOption = Annotated[
    Path | None,
    typer.Option(
        help="With --device cuda: a checkout of unifloral, whose IQL (JAX) to compare with."
    ),
]
ScaleOption = Annotated[
    bool, typer.Option("--scale", help="Instead time the planning of 10,000 runs.")
]
ReportOption = Annotated[
    bool, typer.Option("--report", help="Instead time statistics and a report of 10,000 runs.")
]
CoverageOption = Annotated[
    bool,
    typer.Option("--coverage", help="Instead simulate how often intervals hold the truth."),
]


def bench(
    json: Annotated[Path | None, typer.Option(help="Also write the numbers to a file.")] = None,
    corl: Annotated[Path | None, typer.Option(help="A checkout of CORL to compare with.")] = None,
    methods: MethodsOption = None,
    acting: ActingOption = None,
    device: DeviceOption = "cpu",
    unifloral: UnifloralOption = None,
    scale: ScaleOption = False,
    report: ReportOption = False,
    coverage: CoverageOption = False,
) -> None:
    """Measure training and evaluation speed on this machine."""
    from harness.bench.coverage import run_coverage
    from harness.bench.report import (
        run_acting_bench,
        run_bench,
        run_gpu_bench,
        run_methods_bench,
        run_scale_bench,
    )
    from harness.bench.reporting import run_report_bench

    others = [methods is not None, acting is not None, device == "cuda", scale, report, coverage]
    if sum([corl is not None, *others]) > 1:
        raise UserError(
            "--corl, --methods, --acting, --device cuda, --scale, --report and --coverage measure "
            "different things; give one."
        )
    if unifloral is not None and device != "cuda":
        raise UserError("--unifloral compares on a GPU; add --device cuda.")
    if device == "cuda":
        run_gpu_bench(json, unifloral)
    elif report:
        run_report_bench(json)
    elif coverage:
        run_coverage(json)
    elif methods is not None:
        run_methods_bench(methods, json)
    elif acting is not None:
        run_acting_bench(acting, json)
    elif scale:
        run_scale_bench(json)
    else:
        run_bench(json, corl)


def docs(results: ResultsOption = Path("results")) -> None:
    """Rewrite the generated parts of the pages in docs/ and of the README."""
    from harness.docs.write import write_docs

    changed = write_docs(Path("docs"), results)
    print("\n".join(f"rewrote {page}" for page in changed) or "docs/ is up to date")
