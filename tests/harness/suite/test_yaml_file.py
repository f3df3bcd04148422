from __future__ import annotations

import time
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.suite.yaml_file import Problem, read_yaml


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "1.e-3", "0.001", ".001"])
def test_every_way_to_write_a_float_is_a_float(tmp_path: Path, text: str) -> None:
    assert read_yaml(write(tmp_path, f"rate: {text}")).data == {"rate": 0.001}


def test_integers_texts_and_versions_stay_what_they_are(tmp_path: Path) -> None:
    data = read_yaml(
        write(tmp_path, "a: 12\nb: '12'\nc: 1.2.3\nd: e5\ne: -3\nf: 010\ng: 1_000")
    ).data
    assert data == {"a": 12, "b": "12", "c": "1.2.3", "d": "e5", "e": -3, "f": 10, "g": 1000}
    assert isinstance(data["a"], int)


def test_a_key_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 4, a\.b: this key is given twice"):
        read_yaml(write(tmp_path, "a:\n  b: 1\n  c: 2\n  b: 3\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2\nb: 3", "line 2"),
        ("a: 1\n\tb: 2", "line 2, column 1"),
        ("a:\n    b: 1\n  c: 2", "line 3, column 3: this line is indented as no other above it"),
        ("a:\n    - 1\n  - 2", "line 3, column 3: this line is indented as no other above it"),
        ("  a: 1\nb: 2", "line 2, column 1: this line is indented as no other above it"),
        ("a:\n  b: 1\n   c: 2", "line 3, column 5: no key can stand here: the line is indented fu"),
        ("a: b: c", "line 1, column 5: no key can stand here: .* has a colon and needs quotes"),
        ("just words", "must hold a mapping of keys to values, found the text 'just words'"),
        ("", "found nothing"),
        ("a: !!python/object/apply:os.getcwd []", "is no kind of value in a suite file"),
        ("a: &x [*x]", "valid YAML"),
        ("b: 1\na: !!bool maybe", "line 2, column 4: 'maybe' is no bool"),
        ("a: !!timestamp 2001", "line 1, a: '!!timestamp' is no kind of value"),
        ("a: !!binary aGk=", "line 1, a: '!!binary' is no kind of value"),
        ("a: !!int x", "line 1, column 4: 'x' is no int"),
        ("a: {1: b}", r"line 1, a\.1: keys are texts"),
        ("b: 1\n? [1, 2]\n: 3", "line 2, .*keys are texts"),
        ("!!binary aGk=: 1", "keys are texts"),
    ],
)
def test_malformed_files_are_explained(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        read_yaml(write(tmp_path, text))
    assert "file.yaml" in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml cannot be read"):
        read_yaml(tmp_path / "none.yaml")


def test_problems_are_listed_together_in_the_order_of_the_file(tmp_path: Path) -> None:
    document = read_yaml(write(tmp_path, "a: 1\nb:\n  - x\n  - y\n"))
    error = document.error([Problem(("b", 1), "second"), Problem(("a",), "first")])
    assert str(error).splitlines()[1:] == ["  line 1, a: first", "  line 4, b[1]: second"]


def test_what_yaml_1_1_reads_oddly_is_read_as_people_do(tmp_path: Path) -> None:
    data = read_yaml(write(tmp_path, "a: 1:30\nb: no\nc: on\nd: 2001-01-01\ne: True\nf: ~")).data
    assert data == {"a": "1:30", "b": "no", "c": "on", "d": "2001-01-01", "e": True, "f": None}


@pytest.mark.parametrize("width", [2, 10])
def test_aliases_of_aliases_are_refused_at_once(tmp_path: Path, width: int) -> None:
    """Ten to the ninth values from a file of one kilobyte; then one that holds itself twice."""
    lines = ["a0: &a0 [x]"]
    for i in range(1, 60 // width):
        lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]")
    begun = time.perf_counter()
    for text in ("\n".join(lines), "a: &x [*x, *x]"):
        with pytest.raises(UserError, match=r"valid YAML: (its aliases stand|maximum recursion)"):
            read_yaml(write(tmp_path, text))
    assert time.perf_counter() - begun < 5


def test_a_file_that_is_no_suite_is_not_read_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no suite file"):
        read_yaml(write(tmp_path, "#" * 2_000_000))
