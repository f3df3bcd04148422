"""Files of published scores: what a user may write, and what each mistake is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from harness.published import Literature, PublishedScore, read_scores

HEAD = "task,method,protocol,score,source\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "my_scores.csv"
    path.write_text(text)
    return path


def test_names_of_the_literature_become_ids(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "hopper-medium-v2,D-QL,last,90.5,its paper\n")
    [score] = read_scores(path)
    assert (score.task, score.method, score.score) == ("gym/hopper/medium", "diffusion-ql", 90.5)
    assert (score.standing, score.seeds, score.spread) == ("own", None, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task,method,score,source\n", ["line 1", "lacks the columns protocol"]),
        (HEAD.replace("source", "source,score"), ["line 1", "has the column 'score' twice"]),
        (HEAD.replace("score", "scores"), ["line 1", "'scores'", "Did you mean 'score'"]),
        (
            HEAD + "gym/hopper/medum,iql,last,1,x\n",
            ["line 2, column 'task'", "gym/hopper/medum", "Did you mean 'gym/hopper/medium'"],
        ),
        (
            HEAD + "gym/hopper/medium,iqll,last,1,x\n",
            ["line 2, column 'method'", "Did you mean 'iql'"],
        ),
        (
            HEAD + "gym/hopper/medium,iql,final,1,x\n",
            [
                "line 2, column 'protocol'",
                "'final'",
                "last, mean-of-last-K (as -10), best and unknown",
            ],
        ),
        (
            HEAD + "gym/hopper/medium,iql,last,9O,x\n",
            ["line 2, column 'score'", "'9O'", "valid number"],
        ),
        (HEAD + "gym/hopper/medium,iql,last,99999,x\n", ["line 2, column 'score'", "1000"]),
        (HEAD + "gym/hopper/medium,iql,last,nan,x\n", ["line 2, column 'score'", "finite"]),
        (HEAD + "gym/hopper/medium,iql,last,1,\n", ["line 2, column 'source'", "required"]),
        (HEAD + "gym/hopper/medium,iql,last,1\n", ["line 2", "as many values"]),
        (
            HEAD + "gym/hopper/medium,iql,last,1,x\n" * 2,
            ["line 3", "repeats line 2"],
        ),
        (
            HEAD + "a,iql,last,1,x\ngym/hopper/medium,b,last,1,x\n",
            ["2 mistakes", "line 2, column 'task'", "line 3, column 'method'"],
        ),
    ],
)
def test_a_mistake_is_named_by_file_line_and_column(
    tmp_path: Path, text: str, said: list[str]
) -> None:
    with pytest.raises(UserError) as found:
        read_scores(write(tmp_path, text))
    assert "my_scores.csv has " in str(found.value)
    for part in said:
        assert part in str(found.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.csv cannot be read"):
        read_scores(tmp_path / "absent.csv")


def test_a_method_of_the_suite_may_be_unknown_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "gym/hopper/medium,my-own,last,1,x\n")
    with pytest.raises(UserError, match="my-own"):
        read_scores(path)
    assert read_scores(path, ["my-own"])[0].method == "my-own"


def made(score: float | None, standing: str = "copy", **facts: object) -> PublishedScore:
    given = {"task": "gym/hopper/medium", "method": "iql", "protocol": "last", "source": "x"}
    return PublishedScore.model_validate({**given, "score": score, "standing": standing, **facts})


def test_the_own_paper_is_shown_before_a_library_and_the_range_is_kept() -> None:
    numbers = [made(10, "copy"), made(50, "library"), made(30, "own"), made(90, "reproduction")]
    cell = Literature([], numbers).cell("gym/hopper/medium", "iql", "last")
    assert cell is not None
    assert [s.score for s in cell.scores] == [30, 50, 90, 10]
    assert (cell.value, cell.lowest.score, cell.highest.score, cell.width) == (30, 10, 90, 80)


def test_numbers_of_other_data_are_shown_last() -> None:
    cell = Literature([], [made(1, "own", data="v0"), made(2, "copy", data="v2")]).cell(
        "gym/hopper/medium", "iql", "last"
    )
    assert cell is not None
    assert cell.value == 2


def test_protocols_never_meet_in_a_cell() -> None:
    numbers = [made(1, "copy"), made(2, "own", protocol="best"), made(3, protocol="unknown")]
    literature = Literature([], numbers)
    for protocol, value in (("last", 1), ("best", 2), ("unknown", 3)):
        cell = literature.cell("gym/hopper/medium", "iql", protocol)
        assert cell is not None
        assert [s.score for s in cell.scores] == [value]


def test_a_users_number_is_shown_first_and_fills_what_was_not_at_hand() -> None:
    absent = made(None, "own", method="df-div", protocol="unknown")
    key = ("gym/hopper/medium", "df-div")
    assert Literature([], [absent]).not_at_hand == {key}
    typed = made(77, "copy", method="df-div")
    literature = Literature([typed], [absent, made(5, "own", method="df-div")])
    assert literature.not_at_hand == set()
    cell = literature.cell(*key, "last")
    assert cell is not None
    assert cell.value == 77
