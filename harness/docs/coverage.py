"""How often intervals hold the truth: the file of `harness bench --coverage`, as a table."""

from __future__ import annotations

from pydantic import BaseModel

from harness.docs.place import Place


class Share(BaseModel):
    """`harness.statistics.coverage.Coverage`, as it is written."""

    statistic: str
    population: str
    seeds: int
    share: float


class Coverages(BaseModel):
    """What `harness bench --coverage` writes."""

    simulations: int
    coverage: list[Share]

    def rows(self) -> list[tuple[str, ...]]:
        """A header, and a line per statistic."""
        columns = list(dict.fromkeys((one.population, one.seeds) for one in self.coverage))
        shares = {(one.statistic, one.population, one.seeds): one.share for one in self.coverage}
        header = ("interval", *(f"{population}, {seeds}" for population, seeds in columns))
        statistics = dict.fromkeys(one.statistic for one in self.coverage)
        lines = [(name, *(f"{shares[name, *at]:.2f}" for at in columns)) for name in statistics]
        return [header, *lines]


def coverage_table(place: Place, file: str) -> str:
    """The shares in a file of `harness bench --coverage`, in Markdown.

    Args:
        place: where the table is to stand.
        file: under the folder of all results.

    Raises UserError: the file cannot be read.
    """
    found = place.measured(file, Coverages, "--coverage")
    header, *lines = found.rows()
    table = [header, ("---", *["---:"] * (len(header) - 1)), *lines]
    setting = f"{found.simulations:,} simulations; columns: what runs score, and seeds."
    return "\n\n".join([setting, "\n".join(f"| {' | '.join(cells)} |" for cells in table)])
