"""What a machine can train with, told by machines that cannot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.execution.local import LocalExecutor
from harness.execution.machine import (
    can_load_from,
    gpu_slots,
    local_gpus,
    settle_compiled_code,
    torchs_problem,
)
from harness.suite.schema import Resources
from tests.harness.conftest import REPOSITORY


@pytest.fixture
def unusable_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A driver that lists a GPU which torch does not get."""
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'GPU 0: A GPU (UUID: 1)'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-of-nobody")
    torchs_problem.cache_clear()
    yield
    torchs_problem.cache_clear()


@pytest.mark.parametrize(
    ("allowed", "found"),
    [
        (None, ["0", "1", "2", "3"]),
        ("2,1", ["2", "1"]),
        ("", []),
        ("-1", []),
        ("3,7,1", ["3"]),
        ("GPU-aa, MIG-bb", ["GPU-aa", "MIG-bb"]),
    ],
)
def test_gpus_are_those_that_the_user_allows_as_cuda_reads_it(
    allowed: str | None, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text('#!/bin/sh\nfor i in 0 1 2 3; do echo "GPU $i: A GPU (UUID: $i)"; done\n')
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert local_gpus() == found


@pytest.mark.parametrize(
    ("per_trial", "slots"),
    [(1.0, "57"), (0.6, "57"), (0.5, "5757"), (0.3, "575757"), (0.1, "57" * 10)],
)
def test_trials_that_share_gpus_take_no_more_of_one_than_there_is_and_all_of_them(
    per_trial: float, slots: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.execution.machine.local_gpus", lambda: ["5", "7"])
    assert gpu_slots(per_trial) == list(slots)


@pytest.mark.usefixtures("unusable_gpu")
def test_a_suite_for_gpus_is_refused_where_torch_cannot_use_the_one_there_is() -> None:
    with pytest.raises(UserError, match=r"torch cannot use it: .+\. Install .* --cpu$") as error:
        LocalExecutor().start([], Resources(gpus_per_trial=1))
    assert "\n" not in str(error.value)


def in_noexec_folder(folder: Path, program: str) -> str:
    """What a Python program prints, with `folder`, mounted noexec, as its TMPDIR."""
    mounted = f"mount -t tmpfs -o noexec tmpfs {folder} && TMPDIR={folder} HOME={folder.parent} "
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{mounted} "$0" -c "$1"']
    run = subprocess.run(
        [*command, sys.executable, program], capture_output=True, text=True, cwd=REPOSITORY
    )
    if "unshare:" in run.stderr or "mount:" in run.stderr:
        pytest.skip("nothing can be mounted here")
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_code_compiled_under_a_noexec_tmpdir_is_kept_where_it_can_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)  # torch sets it when it compiles
    (tmp_path / "tmp").mkdir()
    printed = in_noexec_folder(
        tmp_path / "tmp",
        "from harness.execution.machine import *\n"
        "print(compiled_code(), can_load_from(compiled_code()))\n"
        "settle_compiled_code()\n"
        "print(compiled_code(), can_load_from(compiled_code()))\n",
    )
    home = tmp_path / ".cache" / "decision-flow-harness"
    assert printed.splitlines() == [f"{tmp_path / 'tmp'} False", f"{home} True"]


def test_a_folder_that_was_asked_for_and_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert can_load_from(tmp_path / "new")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(UserError, match=f"loaded from {tmp_path / 'file'}: .*compile: false"):
        settle_compiled_code()
