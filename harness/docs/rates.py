"""How fast methods train: the file of `harness bench --methods`, as a table."""

from __future__ import annotations

from pydantic import BaseModel

from harness.docs.place import Place


class Rate(BaseModel):
    """What a stage of a method reached; `harness/bench/rotation.py` says what each number is."""

    name: str
    median: float
    low: float
    high: float
    ratio: float | None
    base: str
    flop: float | None
    bound: float | None
    share: float | None


class Rates(BaseModel):
    """What `harness bench --methods` writes, as far as the table shows it."""

    training: list[Rate]
    failed: dict[str, str]
    cpu: str
    packages: dict[str, str]


def rates_table(place: Place, file: str) -> str:
    """The rates in a file of `harness bench --methods`, in Markdown.

    Args:
        place: where the table is to stand.
        file: under the folder of all results.

    Raises UserError: the file cannot be read.
    """
    rates = place.measured(file, Rates, "--methods '*'")
    base = rates.training[0].base
    ratio = f"of {base}'s"
    header = ("stage", "updates a CPU-second", "min – max", ratio, "MFLOP", "bound", "share of it")
    rows = [header, ("---", *["---:"] * (len(header) - 1)), *map(_row, rates.training)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    failed = [f"- {name}: not measured: {reason}" for name, reason in rates.failed.items()]
    setting = f"One core of {rates.cpu}, torch {rates.packages['torch']}. {_lowest(rates)}"
    return "\n\n".join([setting, table, *(["\n".join(failed)] if failed else [])])


def _lowest(rates: Rates) -> str:
    """The stages that are furthest from their bounds."""
    shares = sorted((rate.share, rate.name) for rate in rates.training if rate.share is not None)
    named = ", ".join(f"{name} {share:.0%}" for share, name in shares[:3])
    return f"The lowest of {len(shares)} shares: {named}."


def _row(rate: Rate) -> tuple[str, ...]:
    numbers = (rate.flop and rate.flop / 1e6, rate.bound)
    return (
        rate.name,
        f"{rate.median:.3g}",
        f"{rate.low:.3g} – {rate.high:.3g}",
        "" if rate.ratio is None else f"{rate.ratio:.2f}",
        *("" if number is None else f"{number:.3g}" for number in numbers),
        "" if rate.share is None else f"{rate.share:.0%}",
    )
