from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.files import temporary_of, write_bytes
from harness.runs.folder import RunFolder
from harness.runs.spec import RunSpec
from harness.runs.status import Status
from tests.harness.conftest import REPOSITORY
from tests.harness.runs.test_spec import BASE


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_bytes(path, b"old")
    temporary_of(path).symlink_to("/dev/full")  # every write to it: no space left
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def test_two_processes_that_write_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each of 2 x 300 writes succeeds, and what is there in the end is one of them, whole."""
    code = (
        "import sys; from pathlib import Path; from harness.files import write_bytes\n"
        "for _ in range(300): write_bytes(Path(sys.argv[1]), sys.argv[2].encode() * 5000)"
    )
    path = tmp_path / "file.json"
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(path), letter], cwd=REPOSITORY)
        for letter in "ab"
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert path.read_bytes() in (b"a" * 5000, b"b" * 5000)
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def test_a_status_survives_its_file(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.status() is None
    status = Status("failed", 3, 9, "id", "2026-01-01T00:00:00+00:00", error="why", latest_score=1)
    folder.write_status(status)
    assert folder.status() == status
    assert not folder.is_done()


def changed_spec_json(spec: RunSpec, folder: Path, **changes: object) -> str:
    content = json.dumps(spec.to_json() | changes)
    (folder / "spec.json").write_text(content)
    return content


@pytest.mark.parametrize("changes", [{"steps": 5}, {"hash": "0" * 64}, {"surprise": 1}], ids=str)
def test_a_folder_of_another_spec_is_refused_and_left_alone(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    content = changed_spec_json(BASE, tmp_path, **changes)
    with pytest.raises(UserError) as error:
        RunFolder(tmp_path).check_spec(BASE)
    assert "holds the results of a different spec" in str(error.value)
    assert next(iter(changes)) in str(error.value)
    assert "--fresh" in str(error.value)
    assert (tmp_path / "spec.json").read_text() == content


def test_a_folder_of_the_same_spec_under_other_words_is_accepted(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.check_spec(BASE)  # no folder yet
    changed_spec_json(BASE, tmp_path, label="before it was renamed")
    folder.check_spec(BASE)


@pytest.mark.parametrize(
    "text", ["{", "[1]", "null", "{}", '{"state": "done"}', '{"state": "ready", "step": 1}']
)
def test_a_status_that_cannot_be_read_is_none_and_not_done(tmp_path: Path, text: str) -> None:
    (tmp_path / "status.json").write_text(text)
    assert RunFolder(tmp_path).status() is None
    assert not RunFolder(tmp_path).is_done()


def test_a_status_of_another_version_is_read_for_what_it_has(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_status(Status("interrupted", 3, 9, "id", "2026-01-01T00:00:00+00:00"))
    content = json.loads((tmp_path / "status.json").read_text()) | {"mood": "good"}
    (tmp_path / "status.json").write_text(json.dumps(content))
    status = folder.status()
    assert status is not None
    assert (status.state, status.step) == ("interrupted", 3)


def test_an_error_that_quotes_a_name_of_no_letters_is_read_with_question_marks(
    tmp_path: Path,
) -> None:
    folder = RunFolder(tmp_path)
    folder.write_status(Status("failed", 3, 9, "id", "2026-01-01", error="no file 'a\udcff.csv'"))
    status = folder.status()
    assert status is not None
    assert status.error == "no file 'a?.csv'"
