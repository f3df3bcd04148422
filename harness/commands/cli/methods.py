"""Commands on what there is to run, methods of one's own among it: list, new, check."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.commands.cli.options import JsonOption
from harness.commands.console import console_for_tables
from harness.errors import UserError


class Listable(StrEnum):
    """What `list` knows."""

    algorithms = "algorithms"
    tasks = "tasks"
    suites = "suites"
    datasets = "datasets"


def list_(
    what: Listable,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A method or task, to see all of it.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List what there is to run, or show what one method can be set to, or what one task is."""
    from harness.commands.listing import show_list, show_method, show_task

    console = console_for_tables()
    if name is None:
        show_list(what.value, console, as_json=json)
    elif what is Listable.algorithms:
        show_method(name, console, as_json=json)
    elif what is Listable.tasks:
        show_task(name, console, as_json=json)
    else:
        raise UserError(f"Only algorithms and tasks are shown one by one: leave {name!r} out.")


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
