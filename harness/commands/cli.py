"""The command line: `python -m harness …`. Light: commands import what they need."""

from __future__ import annotations

import io
import os
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from harness import __version__
from harness.commands.data import data_app
from harness.errors import UserError, lacks_memory, no_memory, unwritable

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes

app = typer.Typer(
    name="harness",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")


class ExecutorName(StrEnum):
    """Where trials run."""

    ray = "ray"
    local = "local"


class TrackerName(StrEnum):
    """Experiment trackers, each an extra of the installation."""

    wandb = "wandb"
    mlflow = "mlflow"
    aim = "aim"


class Listable(StrEnum):
    """What `list` knows."""

    algorithms = "algorithms"
    tasks = "tasks"
    suites = "suites"
    datasets = "datasets"


SuiteArgument = Annotated[str, typer.Argument(metavar="SUITE", help="A suite's name or file.")]
ResultsOption = Annotated[Path, typer.Option(help="Folder of all suites' results.")]
RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder, which holds its spec.json.")
]
SelectionOption = Annotated[
    str | None, typer.Option(help="How it acts, as noise-0 or best-of-4; its own, if not given.")
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Only cells matching task/algorithm, algorithm (all rows of its sweep, or one) or "
        "task; * is a wildcard. Repeat it for more.",
    ),
]
SeedsOption = Annotated[int | None, typer.Option(min=1, max=1000, help="This many seeds instead.")]
CpuOption = Annotated[
    bool,
    typer.Option("--cpu", help="Train without the GPU a suite asks for, into results of its own."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _print_version(asked: bool) -> None:
    if asked:
        print(f"harness {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Benchmark Decision Flow and its baselines: run suites, compare, report."""


@app.command()
def run(
    suite: SuiteArgument,
    executor: Annotated[
        ExecutorName, typer.Option(help="Ray Tune, or processes on this machine.")
    ] = ExecutorName.ray,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster to use instead of this machine.")
    ] = None,
    only: OnlyOption = None,
    seeds: SeedsOption = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Shrink everything to seconds, into results of its own.")
    ] = False,
    cpu: CpuOption = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete the selected runs first and start over.")
    ] = False,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="Keep runs that a method's earlier code finished, marked in tables."
        ),
    ] = False,
    log: Annotated[
        list[TrackerName] | None,
        typer.Option(help="Log to a tracker too; each run's folder has TensorBoard's files."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and why, and write nothing.")
    ] = False,
    results: ResultsOption = Path("results"),
) -> None:
    """Train and evaluate a suite's runs, skipping finished ones, and report."""
    from harness.commands.run import run_suite

    if address is not None and executor is not ExecutorName.ray:
        raise UserError("--address is of a Ray cluster: it needs --executor ray.")
    if fresh and keep:
        raise UserError("--fresh deletes the runs that --keep would keep: give one of them.")
    if dry_run:
        from harness.commands.dry_run import show_dry_run

        show_dry_run(
            suite,
            executor=executor.value,
            address=address,
            only=only or [],
            seeds=seeds,
            smoke=smoke,
            cpu=cpu,
            fresh=fresh,
            keep=keep,
            results=results,
            console=Console(width=None if sys.stdout.isatty() else 200),
        )
        return
    code = run_suite(
        suite,
        executor=executor.value,
        address=address,
        only=only or [],
        seeds=seeds,
        smoke=smoke,
        cpu=cpu,
        fresh=fresh,
        keep=keep,
        log=[tracker.value for tracker in log or []],
        results=results,
        command=shlex.join(["python", "-m", "harness", *sys.argv[1:]]),
        console=Console(),
    )
    raise typer.Exit(code)


@app.command()
def plan(
    suite: SuiteArgument,
    by: Annotated[
        str | None, typer.Option(metavar="30m|8h|2d", help="A deadline: what does it take?")
    ] = None,
    rates: Annotated[
        Path | None,
        typer.Option(
            help="A CSV table of rates, instead of those measured here. Columns: algorithm, "
            "steps_per_second; as wanted task, evaluation_seconds, memory_mb, checkpoint_mb."
        ),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure rates that are not known yet, and keep them.")
    ] = False,
    price_per_hour: Annotated[
        float | None, typer.Option(min=0, help="What an hour of this machine costs.")
    ] = None,
    only: OnlyOption = None,
    seeds: SeedsOption = None,
    cpu: CpuOption = False,
    json: JsonOption = False,
    results: ResultsOption = Path("results"),
) -> None:
    """Say what a suite takes: runs, steps, hours, memory, disk, cost. Makes nothing."""
    from harness.commands.plan import show_plan

    if rates is not None and measure:
        raise UserError("--rates is instead of what is measured here: leave --measure out.")
    show_plan(
        suite,
        only=only or [],
        seeds=seeds,
        cpu=cpu,
        results=results,
        by=by,
        rates=rates,
        measuring=measure,
        price=price_per_hour,
        as_json=json,
        console=Console(width=None if sys.stdout.isatty() else 120),
    )


@app.command()
def report(
    suite: Annotated[
        str | None, typer.Argument(metavar="SUITE", help="A suite's name or file.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Of every suite with results, and an index over them.")
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Score runs by last, mean-of-last-K, best (online selection) or "
            "expected-best-of-N instead of as the suite says.",
        ),
    ] = None,
    results: ResultsOption = Path("results"),
) -> None:
    """Rebuild a suite's tables, plots and page from its results, beside what others published."""
    from harness.commands.report import report_suite, show_all_reports

    if (suite is None) != every:
        raise UserError("Give the name of a suite, or --all for every suite that has results.")
    if suite is None:
        made = show_all_reports(results, Console(), protocol)
    else:
        made = report_suite(suite, results, Console(), protocol)
    if not made:
        raise typer.Exit(1)


@app.command()
def pack(suite: SuiteArgument, results: ResultsOption = Path("results")) -> None:
    """Make a suite's finished runs small enough to share: one archive a task, no checkpoints."""
    from harness.commands.report import results_of
    from harness.execution.execute import sole_use
    from harness.runs.pack import pack_suite

    directory = results_of(suite, results)
    with sole_use(directory, print):
        print(pack_suite(directory))


@app.command("eval")
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


@app.command()
def export(
    run: RunArgument,
    to: Annotated[Path, typer.Option(help="The file to write.")],
    action_selection: SelectionOption = None,
) -> None:
    """Write a run's trained policy as TorchScript, which torch alone can run."""
    from harness.commands.export import export_run

    export_run(run, to, action_selection, Console())


@app.command()
def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help="Results: a folder, a commit, or commit:folder.")
    ],
    second: Annotated[
        str, typer.Argument(metavar="B", help="The same; a commit means A's folder.")
    ],
    results: ResultsOption = Path("results"),
) -> None:
    """Compare two results of a suite: cells, differences by seed, and what changed in specs."""
    from harness.commands.compare import compare_results

    console = Console(width=None if sys.stdout.isatty() else 200)  # a pipe has no width to wrap to
    compare_results(first, second, results, console)


@app.command("list")
def list_(
    what: Listable,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A method or task, to see all of it.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List what there is to run, or show what one method can be set to, or what one task is."""
    from harness.commands.listing import show_list, show_method, show_task

    wide = None if sys.stdout.isatty() else 200  # a pipe has no width to wrap to
    console = Console(width=wide)
    if name is None:
        show_list(what.value, console, as_json=json)
    elif what is Listable.algorithms:
        show_method(name, console, as_json=json)
    elif what is Listable.tasks:
        show_task(name, console, as_json=json)
    else:
        raise UserError(f"Only algorithms and tasks are shown one by one: leave {name!r} out.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The method's id, as my-method.")],
    into: Annotated[Path, typer.Option(help="Folder in which its own is made.")] = Path(),
) -> None:
    """Write a package with a method of your own that works: code, test, suite, entry point."""
    from harness.new import new_method

    for path in new_method(name, into):
        print(path)
    folder = shlex.quote(str(into / name))
    print(
        f"Next: pip install -e {folder} && harness check {name} && harness run {folder}/suite.yaml"
    )


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="METHOD", help="A method's id.")],
    compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Compile it too (a minute).")
    ] = True,
    ladder: Annotated[
        bool, typer.Option("--ladder/--no-ladder", help="Also see what it learns (a minute).")
    ] = True,
    meant: Annotated[
        list[str] | None, typer.Option(help="A check whose findings are meant.", metavar="CHECK")
    ] = None,
) -> None:
    """Check a method, yours too: what every method promises, then what it learns."""
    from harness.commands.check import check_method

    kept = check_method(
        name, compiled=compiled, ladder=ladder, meant=meant or [], console=Console()
    )
    raise typer.Exit(0 if kept else 1)


@app.command()
def doctor(context: typer.Context) -> None:
    """Show versions and hardware, and what is missing."""
    from harness.commands.doctor import examine

    examine(Console(), inherited=context.obj)


@app.command()
def bench(
    json: Annotated[Path | None, typer.Option(help="Also write the numbers to a file.")] = None,
    corl: Annotated[Path | None, typer.Option(help="A checkout of CORL to compare with.")] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Instead time every stage of the methods whose ids match, such as '*' or 'df-*'.",
        ),
    ] = None,
    acting: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Instead time a decision of the methods whose ids match, in every way they act.",
        ),
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda"],
        typer.Option(help="cuda: instead time stacks of 1, 5, 20 and 64 seeds on the GPU."),
    ] = "cpu",
    unifloral: Annotated[
        Path | None,
        typer.Option(
            help="With --device cuda: a checkout of unifloral, whose IQL (JAX) to compare with."
        ),
    ] = None,
    scale: Annotated[
        bool, typer.Option("--scale", help="Instead time the planning of 10,000 runs.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Instead time statistics and a report of 10,000 runs.")
    ] = False,
    coverage: Annotated[
        bool,
        typer.Option("--coverage", help="Instead simulate how often intervals hold the truth."),
    ] = False,
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


@app.command()
def docs(results: ResultsOption = Path("results")) -> None:
    """Rewrite the generated parts of the pages in docs/ and of the README."""
    from harness.docs.write import write_docs

    changed = write_docs(Path("docs"), results)
    print("\n".join(f"rewrote {page}" for page in changed) or "docs/ is up to date")


def _settle_environment() -> dict[str, str]:
    """What is inherited from a notebook, a cluster or a terminal must not stop a run.

    Returns the variables that were set to something else.
    Figures are written to files and nothing is rendered, so that neither a notebook's MPLBACKEND
    nor a MUJOCO_GL without its library matters; a terminal that cannot print a letter prints '?'.
    """
    ours = {"MPLBACKEND": "agg", "MUJOCO_GL": "disable"}
    inherited = {name: os.environ[name] for name in ours if os.environ.get(name)}
    os.environ |= ours
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    return {name: value for name, value in inherited.items() if value != ours[name]}


def main() -> None:
    """Run the command line; a user's mistake ends it with a message and exit code 2."""
    inherited = _settle_environment()
    try:
        app(obj=inherited)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except Exception as error:
        sentence = _of_this_machine(error)
        if not sentence:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _of_this_machine(error: Exception) -> str:
    """What an error says of memory or files; nothing if it is a mistake in code."""
    if lacks_memory(error):
        return no_memory(error)
    if isinstance(error, OSError) and (error.filename, error.errno) != (None, None):
        return unwritable(error) or f"{error}. Nothing that was finished is lost."
    return ""
