"""A compiler that was killed does not stop later runs."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from algorithms.engine.compiled_files import delete_unfinished_libraries
from tests.harness.conftest import REPOSITORY

_TRAIN = """
from tests.algorithms.conftest import made_up_transitions
from tests.algorithms.small import make_engine
engine = make_engine("bc", made_up_transitions(), compile=True)
engine.train(2)
print(engine.compiled, engine.metrics())
"""


def train(cache: Path) -> str:
    """What a process says that trains with compiled code of that folder."""
    env = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(cache), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", _TRAIN], env=env, cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_libraries_that_a_killed_compiler_left_are_made_anew(tmp_path: Path) -> None:
    whole = train(tmp_path)
    assert whole.startswith("True")
    libraries = [*tmp_path.rglob("*.so")]
    assert len(libraries) > 1  # those that say what the processor can do are among them
    for number, library in enumerate(libraries):
        content = library.read_bytes()
        library.unlink()  # another process may have it mapped
        library.write_bytes(content[: number % 2 * len(content) // 2])
    assert train(tmp_path) == whole


def test_what_a_compiler_still_writes_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    library, lock = tmp_path / "ab" / "abc.main.so", tmp_path / "locks" / "abc.lock"
    for folder in (library.parent, lock.parent):
        folder.mkdir()
    library.touch()
    with FileLock(lock):
        delete_unfinished_libraries()
        assert library.exists()
    delete_unfinished_libraries()
    assert not library.exists()


def test_a_whole_library_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    compiled = importlib.import_module("numpy.random._generator").__file__
    assert compiled is not None
    content = Path(compiled).read_bytes()
    library = tmp_path / "ab" / "abc.so"
    library.parent.mkdir()
    for ending, kept in ((len(content), True), (len(content) - 1, False), (40, False), (0, False)):
        library.write_bytes(content[:ending])
        delete_unfinished_libraries()
        assert library.exists() == kept
