from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError
from harness.runs.folder import RunFolder, Status, write_bytes
from harness.runs.spec import RunSpec
from tests.harness.runs.test_spec import BASE


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_bytes(path, b"old")
    (tmp_path / "file.json.tmp").symlink_to("/dev/full")  # every write to it: no space left
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def test_tables_hold_floats_in_full_and_nothing_that_depends_on_the_platform(
    tmp_path: Path,
) -> None:
    folder = RunFolder(tmp_path)
    rows = [(1, 20, 0.1 + 0.2, True, "a,b"), (1, 40, float("nan"), False, "c")]
    folder.write_table("t", ("seed", "step", "value", "ok", "name"), rows)
    expected = b'seed,step,value,ok,name\n1,20,0.30000000000000004,true,"a,b"\n1,40,nan,false,c\n'
    assert (tmp_path / "t.csv").read_bytes() == expected


def test_reading_a_table_drops_later_rows_and_rewriting_it_changes_nothing(tmp_path: Path) -> None:
    folder, columns = RunFolder(tmp_path), ("step", "value")
    folder.write_table("t", columns, [(10, 0.1), (20, 1e-9), (30, 5.0)])
    rows = folder.read_table("t", columns, until=20)
    assert rows == [["10", "0.1"], ["20", "1e-09"]]
    folder.write_table("t", columns, rows)
    assert (tmp_path / "t.csv").read_bytes() == b"step,value\n10,0.1\n20,1e-09\n"
    with pytest.raises(UserError, match=r"t\.csv has the columns"):
        folder.read_table("t", ("step", "other"), until=20)


def test_a_table_with_columns_of_earlier_names_is_read_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.write_table("t", ("step", "actions", "action_latency_ms"), [(10, "noise-1", 0.25)])
    columns = ("step", "action_selection", "amortized_action_ms")
    assert folder.read_table("t", columns, until=10) == [["10", "noise-1", "0.25"]]


def test_a_checkpoint_returns_what_was_saved(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.checkpoint_step() == 0
    state = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(7, np.int64)}
    folder.write_checkpoint(state, 123, {"train_seconds": 1.5})
    loaded = folder.read_checkpoint()
    assert loaded.keys() == state.keys()
    for name, values in state.items():
        np.testing.assert_array_equal(loaded[name], values)
        assert loaded[name].dtype == values.dtype
    assert folder.checkpoint_step() == 123
    assert folder.read_seconds() == {"train_seconds": 1.5}


def test_a_broken_checkpoint_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"\x08\x00\x00")
    with pytest.raises(UserError, match=r"checkpoint\.safetensors cannot be read .* Delete it"):
        RunFolder(tmp_path).checkpoint_step()


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


def test_json_that_is_not_an_object_is_named(tmp_path: Path) -> None:
    for text in ("{", "[1]"):
        (tmp_path / "status.json").write_text(text)
        with pytest.raises(UserError, match=r"status\.json"):
            RunFolder(tmp_path).status()
