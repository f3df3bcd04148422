"""`python -m harness data …`: make, fetch, verify and describe datasets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from harness.commands.data_progress import data_progress
from harness.data.catalog import resolve
from harness.data.local_files import POLICIES
from harness.data.remarks import remarks
from harness.data.store import DatasetFolder
from harness.errors import UserError
from harness.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from harness.data.cache import LoadedData

data_app = typer.Typer(help="Make, fetch, verify and describe datasets.", no_args_is_help=True)

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Task or dataset ids.")]
Transitions = Annotated[
    int | None,
    typer.Option(help="Steps instead of the default; where episodes stay whole, as many as fit."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of the recipe instead of 0.")]
_POLICIES = "policies"
_SOUND = "every array is what manifest and lock file say, and every check passes for"


@data_app.command()
def make(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="Task or dataset ids.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Roll out this .npz policy, in place of any ID."),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(help="Where to roll it out, such as hopper, if the file does not say."),
    ] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Act by the policy's mean.")
    ] = False,
    transitions: Transitions = None,
    seed: Seed = None,
    force: Annotated[
        bool, typer.Option("--force", help="Make again what is already there.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; one a core by default.")
    ] = None,
) -> None:
    """Make datasets by their recipes, with the packed rows that training reads.

    A dataset of a policy's episodes has the id rollout/<environment>/<policy's file name>.
    """
    from harness import data

    if bool(ids) == (policy is not None):
        raise typer.BadParameter("Give either ids of tasks or datasets, or --policy FILE.")
    if policy is not None:
        from harness.data.recipes.kept_policies import keep_policy

        ids = [
            keep_policy(policy, environment=environment, deterministic=deterministic, force=force)
        ]
    elif environment is not None or deterministic:
        raise UserError("--environment and --deterministic go with --policy FILE.")
    console = Console()
    for task in [resolve(name, transitions=transitions, seed=seed) for name in ids or ()]:
        with data_progress(console) as progress:
            loaded = data.prepare(task, force=force, workers=workers, progress=progress)
        console.print(_ready(task, loaded), soft_wrap=True)


@data_app.command()
def fetch(
    ids: Annotated[
        list[str],
        typer.Argument(metavar="ID...", help=f"Task or dataset ids, or '{_POLICIES}'."),
    ],
) -> None:
    """Download D4RL's and Minari's public datasets, and prepare them for training.

    'policies' are the public agents that local/…/mixed and data of their clones are made of.
    """
    console, failures = Console(), []
    for task in [None if name == _POLICIES else resolve(name) for name in ids]:
        try:
            lines = _fetched_policies(console) if task is None else _fetched(task, console)
        except UserError as error:
            failures.append(str(error))
            continue
        for line in lines:
            console.print(line, soft_wrap=True, markup=False)
    if failures:
        raise UserError("\n".join(failures))


@data_app.command()
def verify(ids: Ids, transitions: Transitions = None, seed: Seed = None) -> None:
    """Compare arrays with manifest and lock file and check what they hold; exit code 1 if wrong."""
    from harness import data

    sound = True
    for task in [resolve(name, transitions=transitions, seed=seed) for name in ids]:
        problems = data.verify(task)
        sound = sound and not problems
        for line in problems or [f"{task.dataset.id}: {_SOUND} {task.id}"]:
            Console().print(line, soft_wrap=True, markup=False)
        if not problems:
            for odd in remarks(DatasetFolder.of(task).manifest()).values():
                print(f"warning: {odd}", file=sys.stderr)
    if not sound:
        raise typer.Exit(1)


@data_app.command()
def info(ids: Ids, transitions: Transitions = None, seed: Seed = None) -> None:
    """Describe datasets: sizes, histograms of returns, lengths and actions, origin, visits."""
    from harness import data
    from harness.data.card import card

    for task in [resolve(name, transitions=transitions, seed=seed) for name in ids]:
        Console().print(card(task, data.ensure(task, make=False)))


def _fetched(task: TaskSpec, console: Console) -> list[str]:
    from harness import data

    with data_progress(console) as progress:
        notes = data.fetch(task, progress=progress)
        loaded = data.prepare(task, progress=progress)
    return [*notes, _ready(task, loaded)]


def _fetched_policies(console: Console) -> list[str]:
    from harness.data.sources.public_policies import TABLE, fetch_policies

    with data_progress(console) as progress:
        notes = fetch_policies(progress)
    names = ", ".join(policy.name for policy in TABLE)
    return [*notes, f"{names} are ready, in {POLICIES.path}"]


def _ready(task: TaskSpec, loaded: LoadedData) -> str:
    count, asked = len(loaded.transitions), task.dataset.params.get("transitions", 0)
    others = isinstance(asked, int) and asked and asked != count
    of = f" in whole episodes, of {asked:,} by its id" if others else ""
    return (
        f"{task.dataset.id} is ready: {count:,} transitions{of}, rows sha256 {loaded.sha256[:16]}, "
        f"in {DatasetFolder.of(task).path}"
    )
