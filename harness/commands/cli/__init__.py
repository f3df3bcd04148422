"""The command line: `python -m harness …`. Light: commands import what they need."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from harness import __version__
from harness.commands.cli.methods import check, list_, new
from harness.commands.cli.policies import eval_, export
from harness.commands.cli.suites import compare, pack, plan, report, run
from harness.commands.cli.upkeep import bench, docs, doctor
from harness.commands.data import data_app
from harness.errors import UserError, lacks_memory, no_memory, unwritable

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes

app = typer.Typer(
    name="harness",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")

# In the order in which --help lists them.
for command in (
    run,
    plan,
    report,
    pack,
    eval_,
    export,
    compare,
    list_,
    new,
    check,
    doctor,
    bench,
    docs,
):
    app.command(command.__name__.rstrip("_"))(command)


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
