"""The ladder tells behaviour cloning from its mirror image."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from algorithms import registry
from algorithms.contract import Subject
from harness.check import ladder
from tests.algorithms.planted import ID, MODULE, Package, installed


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    monkeypatch.setattr(ladder, "_STEPS", 300)
    yield from installed(tmp_path, monkeypatch)


@pytest.mark.parametrize("rung", ladder.LADDER[:2], ids=lambda rung: rung.id)
def test_a_wrong_sign_is_seen_and_a_right_one_is_not(package: Package, rung: ladder.Rung) -> None:
    cls = registry.load("bc")
    package.point_to(f"{MODULE}:{cls.__name__}")
    source = inspect.getsource(sys.modules[cls.__module__])
    package.write(("(actions - batch.actions)", "(actions + batch.actions)"), source=source)
    assert ladder.climb(rung, Subject("bc"))[1] == []
    _, [finding] = ladder.climb(rung, Subject(ID))
    assert finding.advice
    assert finding.where == package.line("def act(")
