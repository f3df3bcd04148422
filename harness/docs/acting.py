"""How long methods take to act: the file of `harness bench --acting`, and its table."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from harness.docs.place import Place
from harness.runs.checkout import Checkout


class ActingTime(BaseModel):
    """One way in which a method acts, and how long a decision takes.

    Attributes:
        method: its id.
        selection: how it acts, in the words of `algorithms/action_selection.py`.
        default: whether it acts so unless told otherwise.
        steps_field: the field of its config that says in how many steps it samples; None: it has
            none that acting depends on.
        steps: how many these are here.
        single_ms: milliseconds of a decision by itself, batch 1.
        single_rounds: how many measurements that is the median of.
        batched_ms: milliseconds a decision in a batch; None: too slow to measure.
        batched_rounds: how many measurements that is the median of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    selection: str
    default: bool
    steps_field: str | None
    steps: int | None
    single_ms: float
    single_rounds: int
    batched_ms: float | None
    batched_rounds: int


class ActingTimes(BaseModel):
    """What `harness bench --acting` writes.

    Attributes:
        acting: times by method, its default way first.
        failed: why others were not measured, by method.
        obs_dim: length of an observation.
        action_dim: length of an action.
        seeds: how many learners act at once in a batch.
        episodes: how many decisions each of them makes in it.
        git: the commit that was measured.
        cpu: the processor's name.
        cores: how many this process may use; it uses one.
        packages: their versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    acting: list[ActingTime]
    failed: dict[str, str]
    obs_dim: int
    action_dim: int
    seeds: int
    episodes: int
    git: Checkout = Checkout()
    cpu: str
    cores: int
    packages: dict[str, str]

    def header(self) -> list[str]:
        """The columns' heads."""
        single = "batch 1: ms a decision"
        batch = f"batched, {self.seeds} seeds × {self.episodes} episodes: ms a decision"
        return ["method", "action selection", "sampling steps", single, batch, "rounds"]

    def rows(self) -> list[list[str]]:
        """The cells of every action selection."""
        return [
            [
                time.method,
                f"{time.selection}, its default" if time.default else time.selection,
                "" if time.steps is None else f"{time.steps_field}: {time.steps}",
                f"{time.single_ms:.3g}",
                "" if time.batched_ms is None else f"{time.batched_ms:.3g}",
                f"{time.single_rounds}, {time.batched_rounds}",
            ]
            for time in self.acting
        ]

    def setting(self) -> str:
        """What was measured, and where."""
        return (
            f"CPU time of one thread of {self.cpu}, torch {self.packages['torch']}; observations "
            f"of length {self.obs_dim}, actions of length {self.action_dim}, default networks"
            f"{self.git.words}"
        )


def acting_table(place: Place, file: str) -> str:
    """The times in a file of `harness bench --acting`, in Markdown.

    Args:
        place: where the table is to stand.
        file: under the folder of all results.

    Raises UserError: the file cannot be read.
    """
    times = place.measured(file, ActingTimes, "--acting '*'")
    header = times.header()
    lines = [header, ["---"] * 2 + ["---:"] * (len(header) - 2)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in [*lines, *times.rows()])
    failed = [f"- {name}: not measured: {reason}" for name, reason in times.failed.items()]
    return "\n\n".join([f"{times.setting()}.", table, *(["\n".join(failed)] if failed else [])])
