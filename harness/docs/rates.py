"""How fast methods train: files of `harness bench`, also with `--device cuda`, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from harness.docs.place import Place
from harness.runs.checkout import Checkout

_OPTIONS = {  # of the `harness bench` that writes a file
    "cpu.json": "",
    "methods.json": "--methods '*'",
    "gpu.json": "--device cuda",
    "gpu_unifloral.json": "--device cuda --unifloral FOLDER",
}


class RecordedRate(BaseModel):
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
    peak_memory_mb: float


class Rates(BaseModel):
    """What `harness bench` writes, as far as the tables show it; `gpu`: with `--device cuda`."""

    training: list[RecordedRate]
    failed: dict[str, str] = {}
    git: Checkout = Checkout()
    cpu: str
    gpu: str = ""
    packages: dict[str, str | None]


def rates_table(place: Place, file: str) -> str:
    """The rates in a file of `harness bench`, with or without `--methods`, in Markdown.

    Args:
        place: where the table is to stand.
        file: under the folder of all results.

    Raises UserError: the file cannot be read.
    """
    rates = place.measured(file, Rates, _OPTIONS.get(Path(file).name, "OPTIONS"))
    base = rates.training[0].base
    ratio = f"of {base}'s"
    header = ("stage", "updates a CPU-second", "min – max", ratio, "MFLOP", "bound", "share of it")
    setting = f"One core of {rates.cpu}, torch {rates.packages['torch']}{rates.git.words}. "
    setting += _lowest(rates)
    return _page(setting, header, map(_row, rates.training), rates.failed)


def gpu_rates_table(place: Place, file: str) -> str:
    """The rates in a file of `harness bench --device cuda`, in Markdown; as `rates_table`."""
    rates = place.measured(file, Rates, _OPTIONS.get(Path(file).name, "OPTIONS"))
    header = ("what", "updates a second", "min – max", "compared", "peak GPU MB")
    rows = [
        (*_row(rate)[:3], _compared(rate), f"{rate.peak_memory_mb:.0f}") for rate in rates.training
    ]
    setting = f"{rates.gpu}, torch {rates.packages['torch']}, {rates.cpu}{rates.git.words}."
    return _page(setting, header, rows, rates.failed)


def _page(
    setting: str, header: Sequence[str], rows: Iterable[Sequence[str]], failed: Mapping[str, str]
) -> str:
    lines = [header, ("---", *["---:"] * (len(header) - 1)), *rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    reasons = [f"- {name}: not measured: {reason}" for name, reason in failed.items()]
    return "\n\n".join([setting, table, *(["\n".join(reasons)] if reasons else [])])


def _compared(rate: RecordedRate) -> str:
    own = rate.ratio is None or rate.base == rate.name
    return "" if own else f"{rate.ratio:.2f} × {rate.base}"


def _lowest(rates: Rates) -> str:
    """The stages that are furthest from their bounds."""
    shares = sorted((rate.share, rate.name) for rate in rates.training if rate.share is not None)
    named = ", ".join(f"{name} {share:.0%}" for share, name in shares[:3])
    return f"The lowest of {len(shares)} shares: {named}."


def _row(rate: RecordedRate) -> tuple[str, ...]:
    numbers = (rate.flop and rate.flop / 1e6, rate.bound)
    return (
        rate.name,
        _digits(rate.median),
        f"{_digits(rate.low)} – {_digits(rate.high)}",
        "" if rate.ratio is None else f"{rate.ratio:.2f}",
        *("" if number is None else _digits(number) for number in numbers),
        "" if rate.share is None else f"{rate.share:.0%}",
    )


def _digits(number: float) -> str:
    """To three digits that count."""
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.0f}" if rounded >= 1000 else f"{rounded:g}"
