from __future__ import annotations

import contextlib
import io
import json
import lzma
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.errors import UserError
from harness.execution.plan import Plan
from harness.report.records import read_records
from harness.runs import archive
from harness.runs.archive import (
    archive_path,
    cells_of,
    ensure_undamaged,
    members_of,
    write_members,
)
from harness.runs.earlier import earlier_run
from harness.runs.folder import RunFolder, delete_runs
from harness.runs.pack import pack_suite
from harness.runs.status import Status
from tests.harness.execution.test_work import finish
from tests.harness.runs.test_spec import BASE

PlanOf = Callable[..., Plan]

CELL, ARCHIVE = Path("runs", "task", "cell"), Path("runs", "task.tar.xz")


def test_packed_results_are_read_as_before_and_need_no_new_run(plan_of: PlanOf) -> None:
    task = {"multimodal/modes-2-dim-2": {"transitions": 300}}
    plan = plan_of(tasks=[task], seeds=2)
    plan.suite_file("command").write(plan.directory)
    finish(plan)
    before = read_records(plan.directory)
    said = pack_suite(plan.directory)
    assert said.startswith("2 finished runs packed, 0 others left as they are")
    after = read_records(plan.directory)
    for name in ("evaluations", "metrics", "timings", "measures"):
        assert len(getattr(before, name))
        pd.testing.assert_frame_equal(getattr(before, name), getattr(after, name))
    assert plan.unfinished() == []
    cell = (plan.directory / plan.runs[0].folder).parent
    task = cell.parent
    assert [path.name for path in task.parent.iterdir()] == [f"{task.name}.tar.xz"]
    names = [name.removeprefix(f"{cell.name}/") for name in members_of(task)]
    assert {"seed-0/evaluations.csv", "seed-1/spec.json", "seed-1/provenance.json"} <= set(names)
    assert not [name for name in names if "checkpoint" in name]


def test_what_pictures_are_made_of_stays_where_one_shows_it(plan_of: PlanOf) -> None:
    """That is of a row's first seed, and of no setting that was only tried."""
    settings = {"bc": [{"learning_rate": 1e-3}]}
    plan = plan_of(
        algorithms={"bc": {}}, seeds=2, tuning={"seeds": [7], "per": "task", "settings": settings}
    )
    finish(plan)
    plan = plan.again()
    finish(plan)
    plan.suite_file("command").write(plan.directory)
    everything = [*plan.runs, *(run for run in plan.selected if plan.tunes(run))]
    drawn = read_records(plan.directory).paths
    pack_suite(plan.directory)
    kept = {
        (run.label, run.seed): plan.folder(run).read_table("paths") is not None
        for run in everything
    }
    assert len(kept) == 4
    assert [run for run, there in kept.items() if there] == [("bc", 0)]
    assert plan.unfinished() == []
    assert all(plan.folder(run).is_done() for run in everything)
    after = read_records(plan.directory).paths
    pd.testing.assert_frame_equal(after, drawn[drawn["seed"] == 0].reset_index(drop=True))


def test_runs_that_go_on_are_left_alone(plan_of: PlanOf) -> None:
    plan = plan_of(seeds=1)
    finish(plan)
    folder = RunFolder(plan.directory / plan.runs[0].folder)
    status = folder.path / "status.json"
    status.write_text(status.read_text().replace('"done"', '"interrupted"'))
    there = sorted(path.name for path in folder.path.iterdir())
    assert pack_suite(plan.directory).startswith("0 finished runs packed, 1 others left")
    assert sorted(path.name for path in folder.path.iterdir()) == there


def leave_done(run: RunFolder, metrics: bytes = b"step,value\n1,0.5\n") -> None:
    """The files of a run that is done, made by hand."""
    run.write_spec(BASE)
    run.write_table("evaluations", b"step,return\n1,2.5\n")
    run.write_table("metrics", metrics)
    run.write_status(Status("done", 1, 1, "x", "then", evaluated_step=1))


def test_runs_of_a_suite_inside_the_folder_are_not_packed(plan_of: PlanOf) -> None:
    plan = plan_of(seeds=1)
    finish(plan)
    inner = plan.directory / "inner" / plan.runs[0].folder
    shutil.copytree(plan.folder(plan.runs[0]).path, inner)
    assert pack_suite(plan.directory).startswith("1 finished runs packed, 0 others left")
    assert RunFolder(inner).is_done()
    assert list(inner.glob("checkpoint.*"))


def test_equal_runs_are_packed_to_equal_bytes(tmp_path: Path) -> None:
    packed = []
    for suite in ("a", "b"):
        for seed in (0, 1):
            folder = RunFolder(tmp_path / suite / CELL / f"seed-{seed}")
            leave_done(folder, b"step,value\n1,0.5\n2,0.%d\n" % seed)
        pack_suite(tmp_path / suite)
        packed.append((tmp_path / suite / ARCHIVE).read_bytes())
    assert packed[0] == packed[1]
    assert folder.read_table("metrics") == b"step,value\n1,0.5\n2,0.1\n"


def test_seeds_that_finish_later_join_the_others_and_can_be_deleted_one_by_one(
    tmp_path: Path,
) -> None:
    runs = [RunFolder(tmp_path / CELL / f"seed-{seed}") for seed in (0, 1)]
    for run in runs:
        leave_done(run)
        pack_suite(tmp_path)
    assert [run.is_done() for run in runs] == [True, True]
    delete_runs(runs[:1])
    assert [run.exists() for run in runs] == [False, True]
    assert [run.is_done() for run in runs] == [False, True]
    assert runs[0].read_table("metrics") is None
    delete_runs(runs)
    assert list((tmp_path / "runs").iterdir()) == []


def test_cells_are_packed_and_deleted_apart(tmp_path: Path) -> None:
    runs = [
        RunFolder(tmp_path / CELL.with_name(name) / "seed-0")
        for name in ("a-00000001", "b-00000001", "b+c-00000002")
    ]
    for run in runs[:2]:
        leave_done(run)
    pack_suite(tmp_path)
    leave_done(runs[2], b"step,value\n1,0.7\n")
    assert cells_of(tmp_path / CELL.parent) == {"a-00000001", "b-00000001", "b+c-00000002"}
    pack_suite(tmp_path)
    assert cells_of(tmp_path / CELL.parent) == {"a-00000001", "b-00000001", "b+c-00000002"}
    delete_runs(runs[1:2])
    assert cells_of(tmp_path / CELL.parent) == {"a-00000001", "b+c-00000002"}
    assert [run.is_done() for run in runs] == [True, False, True]
    assert runs[2].read_table("metrics") == b"step,value\n1,0.7\n"
    assert list((tmp_path / "runs").iterdir()) == [tmp_path / ARCHIVE]


def test_large_runs_have_an_archive_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task's archive is read whole, so that there is a limit to what it holds."""
    runs = [
        RunFolder(tmp_path / CELL.with_name(name) / "seed-0")
        for name in ("a-00000001", "b-00000001", "c-00000001")
    ]
    for run in runs[:2]:
        leave_done(run)
    pack_suite(tmp_path)
    task = tmp_path / CELL.parent
    monkeypatch.setattr(archive, "_MOST_TOGETHER", sum(map(len, members_of(task).values())))
    leave_done(runs[2])
    pack_suite(tmp_path)
    assert sorted(path.name for path in task.parent.rglob("*.xz")) == [
        "a-00000001.tar.xz",
        "b-00000001.tar.xz",
        "c-00000001.tar.xz",
    ]
    assert cells_of(task) == {"a-00000001", "b-00000001", "c-00000001"}
    assert [run.is_done() for run in runs] == [True, True, True]
    delete_runs(runs[:1])
    assert [run.is_done() for run in runs] == [False, True, True]
    assert list((tmp_path / "runs").iterdir()) == [tmp_path / ARCHIVE]


def test_archives_of_earlier_versions_are_read_and_join_their_tasks(tmp_path: Path) -> None:
    """They hold one cell, and lie in the task's folder."""
    runs = [
        RunFolder(tmp_path / CELL.with_name(name) / "seed-0")
        for name in ("a-00000001", "b-00000001")
    ]
    for run in runs:
        leave_done(run)
        earlier = run.path.parent.with_name(f"{run.path.parent.name}.tar.xz")
        with tarfile.open(earlier, "w:xz") as packed:
            for file in run.path.iterdir():
                put(packed, f"seed-0/{file.name}", file.read_bytes())
        shutil.rmtree(run.path.parent)
    assert [run.is_done() for run in runs] == [True, True]
    assert cells_of(tmp_path / CELL.parent) == {"a-00000001", "b-00000001"}
    pack_suite(tmp_path)
    assert [run.is_done() for run in runs] == [True, True]
    assert list((tmp_path / "runs").iterdir()) == [tmp_path / ARCHIVE]


def test_other_archives_in_a_tasks_folder_are_left_alone(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / CELL / "seed-0")
    leave_done(run)
    pack_suite(tmp_path)
    task = tmp_path / CELL.parent
    task.mkdir()
    copy = task / "backup.tar.xz"
    shutil.copy(tmp_path / ARCHIVE, copy)
    (task / "folder-00000000.tar.xz").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    theirs = tmp_path / "elsewhere" / "a-00000000.tar.xz"
    shutil.copy(tmp_path / ARCHIVE, theirs)
    pack_suite(tmp_path)
    delete_runs([RunFolder(run.path.with_name("seed-1"))])
    assert run.is_done()
    assert copy.is_file()
    assert theirs.is_file()


@pytest.mark.parametrize("name", [".DS_Store", "notes of mine.txt"])
def test_a_run_with_a_file_of_another_is_not_packed(tmp_path: Path, name: str) -> None:
    run = RunFolder(tmp_path / CELL / "seed-0")
    leave_done(run)
    (run.path / name).write_text("mine")
    with pytest.raises(UserError, match="that no run leaves"):
        pack_suite(tmp_path)
    assert run.is_done()
    assert (run.path / name).read_text() == "mine"


def test_a_run_that_is_in_both_kinds_of_archive_is_read_from_one(tmp_path: Path) -> None:
    """As after a merge that was killed: no file of the one is mixed with files of the other."""
    run = RunFolder(tmp_path / CELL.with_name("a-00000001") / "seed-0")
    earlier = run.path.parent.with_name("a-00000001.tar.xz")
    leave_done(run)
    pack_suite(tmp_path)
    earlier.parent.mkdir()
    with tarfile.open(earlier, "w:xz") as packed:
        put(packed, "seed-0/spec.json", b"{}")
        put(packed, "seed-0/paths.csv", b"stale")
    assert run.is_done()
    assert run.read_table("paths") is None
    assert "a-00000001/seed-0/paths.csv" not in members_of(tmp_path / CELL.parent)


def test_a_damaged_archive_has_no_runs_and_is_not_added_to(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / BASE.folder)
    leave_done(run)
    pack_suite(tmp_path)
    [archive] = (tmp_path / "runs").iterdir()
    archive.write_bytes(archive.read_bytes()[:200])
    assert not run.is_done()
    for look in (lambda: earlier_run(tmp_path, BASE), lambda: ensure_undamaged(run.path)):
        with pytest.raises(UserError, match="is damaged"):
            look()
    leave_done(RunFolder(run.path.with_name("seed-1")))
    with pytest.raises(UserError, match="is damaged"):
        pack_suite(tmp_path)


def test_a_damaged_archive_is_named_though_nothing_would_be_added(plan_of: PlanOf) -> None:
    plan = plan_of(tasks=[{"multimodal/modes-2-dim-2": {"transitions": 300}}])
    plan.suite_file("command").write(plan.directory)
    finish(plan)
    pack_suite(plan.directory)
    [archive] = (plan.directory / "runs").glob("*.tar.xz")
    (archive.parent / "notes.tar.xz").write_bytes(b"a friend's")
    assert pack_suite(plan.directory).startswith("0 finished runs packed")
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(UserError, match="is damaged"):
        pack_suite(plan.directory)


def test_tables_with_scores_of_their_own_come_out_as_they_went_in(tmp_path: Path) -> None:
    reference = BASE.task.reference
    top, spec = str(reference.max).encode(), json.dumps(BASE.to_json()).encode()
    odd = b"step,return,normalized_score\n1,2.5,\n2,2.5,0.1\n"
    usual = b"step,return,normalized_score\n1," + top + b",100.0\n"
    members = {}
    for cell, content in (("a-00000001", odd), ("b-00000002", usual)):
        members |= {f"{cell}/seed-0/spec.json": spec, f"{cell}/seed-0/evaluations.csv": content}
    task = tmp_path / "runs" / "maze"
    write_members(task, members)
    assert members_of(task) == members
    with tarfile.open(archive_path(task)) as archive:
        written = archive.extractfile("b-00000002/seed-0/evaluations.csv")
        assert written is not None
        assert written.read() == usual.replace(b"100.0", b"")


def test_no_run_is_planned_with_a_damaged_archive_until_it_is_away(plan_of: PlanOf) -> None:
    """Its workers would find it, and fail with a word on their end alone."""
    plan = plan_of(seeds=1)
    finish(plan)
    pack_suite(plan.directory)
    [archive] = (plan.directory / "runs").iterdir()
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(UserError, match=r"is damaged.*Bring it back from a copy, or delete it"):
        plan.again()
    archive.unlink()
    assert plan.again().unfinished() == plan.runs


def test_a_run_started_afresh_is_read_from_its_folder_alone(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / CELL / "seed-0")
    leave_done(run)
    pack_suite(tmp_path)
    run.write_status(Status("running", 0, 1, "y", "now"))
    assert not run.is_done()
    assert run.read_table("metrics") is None


def test_packing_killed_at_any_moment_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies at each of its steps on the file system in turn; packing again ends the work."""
    whole = RunFolder(tmp_path / "whole" / CELL / "seed-0")
    leave_done(whole)
    pack_suite(tmp_path / "whole")
    expected = (tmp_path / "whole" / ARCHIVE).read_bytes()
    for moment in range(20):
        suite = tmp_path / str(moment)
        run = RunFolder(suite / CELL / "seed-0")
        leave_done(run)
        with monkeypatch.context() as patch:
            calls = iter(range(moment))

            def dying(act: Callable[..., Any], calls: Iterator[int] = calls) -> Callable[..., Any]:
                def call(*arguments: Any, **options: Any) -> Any:
                    if next(calls, None) is None:
                        raise KilledError
                    return act(*arguments, **options)

                return call

            for name in ("replace", "unlink", "rmdir", "fsync"):
                patch.setattr(os, name, dying(getattr(os, name)))
            with contextlib.suppress(KilledError):
                pack_suite(suite)
        assert run.is_done()
        assert run.read_table("metrics") == b"step,value\n1,0.5\n"
        pack_suite(suite)
        assert (suite / ARCHIVE).read_bytes() == expected
        assert not list(suite.rglob("*.packed"))


class KilledError(Exception):
    pass


def test_every_flipped_bit_of_an_archive_is_noticed(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / CELL / "seed-0")
    leave_done(run)
    pack_suite(tmp_path)
    path = tmp_path / ARCHIVE
    content = path.read_bytes()
    expected = unpack(path)
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        with contextlib.suppress(UserError):
            assert unpack(path) == expected  # a bit that means nothing


def put(archive: tarfile.TarFile, name: str, content: bytes = b"x", kind: bytes = b"0") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, len(content) if kind == tarfile.REGTYPE else 0
    member.linkname = "/etc/hostname"
    archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    "members",
    [
        [("seed-0/a", b"0"), ("seed-0/a", b"0")],
        [("../outside", b"0")],
        [("/absolute/name", b"0")],
        [("seed-0/../../x", b"0")],
        [("seed-0/link", tarfile.SYMTYPE)],
        [("seed-0/link", tarfile.LNKTYPE)],
        [("seed-0/device", tarfile.CHRTYPE)],
        [("seed-0", tarfile.DIRTYPE)],
        [("a/path/too/deep", b"0")],
        [("seed-0/as-long-as-it-says", tarfile.XHDTYPE)],
        [("seed-0/of-all-members", tarfile.XGLTYPE)],
        [("seed-0/long-name", tarfile.GNUTYPE_LONGNAME)],
        [("seed-0/holes", tarfile.GNUTYPE_SPARSE)],
    ],
    ids=str,
)
def test_members_that_no_run_leaves_are_refused(
    tmp_path: Path, members: list[tuple[str, bytes]]
) -> None:
    path = tmp_path / "task.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        for name, kind in members:
            put(archive, name, kind=kind)
    with pytest.raises(UserError, match="that no run leaves"):
        unpack(path)


@pytest.mark.parametrize(
    ("kind", "said"),
    [(tarfile.REGTYPE, "would unpack to more than"), (tarfile.XHDTYPE, "that no run leaves")],
)
def test_an_archive_that_unpacks_to_gigabytes_is_refused_at_once(
    tmp_path: Path, kind: bytes, said: str
) -> None:
    path = tmp_path / "task.tar.xz"
    member = tarfile.TarInfo("seed-0/zeros")
    member.size, member.type = 2**33 - 1, kind
    with lzma.open(path, "w", preset=0) as file:
        file.write(member.tobuf() + b"\0" * 2**20)
    begun = time.perf_counter()
    with pytest.raises(UserError, match=said):
        unpack(path)
    assert time.perf_counter() - begun < 2


def test_an_archive_written_anew_is_read_anew_though_its_time_is_the_same(tmp_path: Path) -> None:
    """Shared storage may keep times in whole seconds."""
    runs = [RunFolder(tmp_path / CELL / f"seed-{seed}") for seed in range(3)]
    for run in runs:
        leave_done(run)
    pack_suite(tmp_path)
    path = tmp_path / ARCHIVE
    for run in runs[:2]:
        os.utime(path, (1e9, 1e9))
        assert run.is_done()
        delete_runs([run])
    os.utime(path, (1e9, 1e9))
    assert {name.rpartition("/")[0] for name in unpack(path)} == {"cell/seed-2"}


def unpack(path: Path) -> dict[str, bytes]:
    return dict(members_of(path.with_name(path.name.removesuffix(".tar.xz"))))
