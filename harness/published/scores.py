"""A file of published scores: its columns, and every mistake in one explained.

All columns are the fields of `PublishedScore`; results/published/README.md says what they mean.
"""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from algorithms.action_selection import parse_action_selection
from harness.errors import UserError, nearest
from harness.published.names import method_id, task_id

# Which evaluations made a score: the last, the last so many, the best seen, or not stated.
UNKNOWN = "unknown"
_PROTOCOL = re.compile(r"last|mean-of-last-[1-9]\d*|best|unknown")

# Whose number it is, the one to show first: the method's own paper, a library's benchmark, another
# paper's own runs, a number copied or of unclear origin.
Standing = Literal["own", "library", "reproduction", "copy"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)

_NEEDED = ("task", "method", "protocol", "score", "source")


def _protocol(name: str) -> str:
    if not _PROTOCOL.fullmatch(name):
        raise ValueError(f"'{name}' is none of last, mean-of-last-K (as -10), best and {UNKNOWN}")
    return name


ProtocolName = Annotated[str, AfterValidator(_protocol)]


class PublishedScore(BaseModel):
    """One number of one source, in points; where sources agree, of the first of them.

    Attributes:
        task: our id.
        method: our id, or of its own where it is not registered.
        protocol: which evaluations made the score.
        score: mean normalised score; None where a source has it that is not at hand.
        spread: over seeds, of the kind that `spread_kind` says.
        spread_kind: `sd` (ddof = 1, or not stated), `sd-population` (ddof = 0), `se` (standard
            error of the mean) or `other` (over something else than trained seeds).
        seeds: trained seeds behind the score; None if not stated.
        data: version of D4RL's data, such as `v2`; empty if not stated.
        steps: gradient steps; None if not stated.
        action_selection: how actions were chosen, in our words; empty if not stated.
        standing: whose number it is.
        second_hand: whether the source was read in somebody's quotation.
        source: where it is printed.
        also_in: other sources that print the same number, apart by semicolons.
        note: what else a reader must know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    task: str
    method: str
    protocol: ProtocolName
    score: float | None = Field(None, ge=-1000, le=1000, allow_inf_nan=False)
    spread: float | None = Field(None, ge=0, le=1000, allow_inf_nan=False)
    spread_kind: Literal["", "sd", "sd-population", "se", "other"] = ""
    seeds: int | None = Field(None, ge=1, le=10_000)
    data: str = Field("", pattern=r"^(v\d+)?$")
    steps: int | None = Field(None, ge=1)
    action_selection: str = ""
    standing: Standing = "own"
    second_hand: bool = False
    source: str = Field(min_length=1)
    also_in: str = ""
    note: str = ""

    @field_validator("action_selection")
    @classmethod
    def _is_one(cls, name: str) -> str:
        if name:
            parse_action_selection(name)
        return name


COLUMNS = tuple(PublishedScore.model_fields)


def read_scores(path: Path, methods: Iterable[str] = ()) -> list[PublishedScore]:
    """The scores in a CSV file.

    Args:
        path: the file.
        methods: ids of methods that are allowed beside all that are known.

    Raises:
        UserError: the file cannot be read; or it lists every mistake by line and column.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as a table of published scores: {error}") from error
    lines = csv.DictReader(io.StringIO(text), strict=True)
    try:
        if problems := [*_column_problems(lines.fieldnames or ())]:
            raise _mistakes(path, problems)
        rows = [(lines.line_num, line) for line in lines]
    except csv.Error as error:
        raise _mistakes(path, [f"line {lines.line_num}: {error}"]) from error
    more = (*methods,)
    found: dict[tuple[Any, ...], int] = {}
    scores: list[PublishedScore] = []
    for number, line in rows:
        score = _score(number, line, more, problems)
        if score is None:
            continue
        scores.append(score)
        key = (score.task, score.method, score.protocol, score.score, score.source)
        if key in found:
            problems.append(f"line {number}: it repeats line {found[key]}; keep one")
        found.setdefault(key, number)
    if problems:
        raise _mistakes(path, problems)
    return scores


def write_scores(path: Path, scores: Iterable[PublishedScore]) -> None:
    """Write a file that `read_scores` reads, line by line in the order given."""
    text = io.StringIO()
    lines = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    lines.writeheader()
    for score in scores:
        lines.writerow({name: _spelled(value) for name, value in score.model_dump().items()})
    path.write_text(text.getvalue(), "utf-8")


@functools.cache
def shipped() -> tuple[PublishedScore, ...]:
    """The scores that come with the harness."""
    return tuple(read_scores(shipped_file()))


def shipped_file() -> Path:
    """In the package if installed, else in the checkout's results."""
    package = Path(__file__).resolve().parent
    installed = package / "shipped"
    checkout = package.parents[1] / "results" / "published"
    return (installed if installed.is_dir() else checkout) / "scores.csv"


def _column_problems(names: Iterable[str]) -> Iterator[str]:
    there = list(names)
    for name in dict.fromkeys(there):
        if name not in COLUMNS:
            yield (
                f"line 1: unknown column '{name}'.{nearest(name, COLUMNS)} Columns are "
                f"{', '.join(COLUMNS)}"
            )
        if there.count(name) > 1:
            yield f"line 1: it has the column '{name}' twice; keep one"
    if absent := [name for name in _NEEDED if name not in there]:
        yield f"line 1: it lacks the columns {', '.join(absent)}"


def _score(
    number: int, line: Mapping[str | None, Any], more: Iterable[str], problems: list[str]
) -> PublishedScore | None:
    """The score in a line, or None; what is wrong with it is added to the problems."""
    if None in line or None in line.values():
        problems.append(f"line {number}: it has not as many values as there are columns")
        return None
    given = {str(name): value.strip() for name, value in line.items() if value.strip()}
    names: tuple[tuple[str, Callable[[str], str]], ...] = (
        ("task", task_id),
        ("method", lambda name: method_id(name, more)),
    )
    wrong = False
    for column, resolve in names:
        try:
            given[column] = resolve(given.get(column, ""))
        except ValueError as error:
            problems.append(f"line {number}, column '{column}': {error}")
            wrong = True
    try:
        found = PublishedScore.model_validate(given)
    except ValidationError as error:
        for item in error.errors():
            column = str(item["loc"][0])
            says_it = item["type"] == "value_error" or column not in given
            shown = "" if says_it else f"'{given[column]}': "
            problems.append(f"line {number}, column '{column}': {shown}{_words(item['msg'])}")
        return None
    return None if wrong else found


def _words(message: str) -> str:
    """Pydantic's sentence, as the end of one of ours."""
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _spelled(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else value


def _mistakes(path: Path, problems: list[str]) -> UserError:
    count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    return UserError("\n".join([f"{path} has {count}:", *(f"  {text}" for text in problems)]))
