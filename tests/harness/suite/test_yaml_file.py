from __future__ import annotations

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
    data = read_yaml(write(tmp_path, "a: 12\nb: '12'\nc: 1.2.3\nd: e5\ne: -3\nf: 010")).data
    assert data == {"a": 12, "b": "12", "c": "1.2.3", "d": "e5", "e": -3, "f": 8}
    assert isinstance(data["a"], int)


def test_a_key_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 4, a\.b: this key is given twice"):
        read_yaml(write(tmp_path, "a:\n  b: 1\n  c: 2\n  b: 3\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2\nb: 3", "line 2"),
        ("a: 1\n\tb: 2", "line 2, column 1"),
        ("just words", "must hold a mapping of keys to values, found the text 'just words'"),
        ("", "found nothing"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a: &x [*x]", "valid YAML"),
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
