"""What a suite says of published scores: a file of its own, and what its tables show of all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field

from harness.errors import UserError
from harness.published import ProtocolName, PublishedScore, method_id, read_scores
from harness.suite.entry import SuiteSection
from harness.suite.yaml_file import Problem


class PublishedSection(SuiteSection):
    """Which published scores stand beside the suite's own."""

    file: str | None = None  # CSV as results/published/, beside the suite's file; these come first
    # The only ones in its tables; if empty the suite's, and those with scores on half of its tasks.
    methods: list[str] = Field([], max_length=200)
    protocols: list[ProtocolName] = Field(["last", "unknown"], min_length=1)  # a table each


def own_scores(
    section: PublishedSection, suite_file: Path, labels: Iterable[str]
) -> list[PublishedScore]:
    """The scores in the suite's own file, whose methods may be labels of the suite too.

    Raises UserError if the file cannot be used.
    """
    if section.file is None:
        return []
    return read_scores(suite_file.parent / section.file, [*labels, *section.methods])


def published_problems(
    section: PublishedSection, suite_file: Path, labels: Iterable[str]
) -> Iterator[Problem]:
    """What is wrong with the suite's own file, or else with the methods to show."""
    labels = [*labels]
    try:
        scores = own_scores(section, suite_file, labels)
    except UserError as error:
        yield Problem(("published", "file"), str(error))
        return
    more = [*labels, *(score.method for score in scores)]
    for i, name in enumerate(section.methods):
        try:
            method_id(name, more)
        except ValueError as error:
            yield Problem(("published", "methods", i), str(error))
