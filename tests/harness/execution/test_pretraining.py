"""Which methods share their pretraining: those whose code and settings make it the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data import ensure
from harness.execution.engines import make_engine
from harness.execution.plan import Plan
from harness.execution.pretraining import SharedPretraining, pretraining_key
from tests.harness.their_package import TheirPackage

PlanOf = Callable[..., Plan]
FoldersOf = Callable[..., list[str]]

HEAD = """
from dataclasses import replace
from functools import partial
from algorithms.base import Adam, Phase
from algorithms.networks import MLP
from baselines.ifql import IFQL

class Theirs(IFQL):
"""
# Decision Flow's, of which the defaults of ifql are others.
COMMON = {
    "normalize_observations": True,
    "expectile": 0.7,
    "pretrain_learning_rate": 1e-3,
    "behavior_ema": 1e-3,
}
SAME = {
    "nothing": "    pass",
    "how it acts": """
    action_selection = "noise-1"
    def act(self, nets, observations, noise):
        return 0.5 * super().act(nets, observations, noise)
""",
    "what follows": """
    def create(self):
        super().create()
        self.networks["late"] = self.networks["value"]
        self.optimizers["late"] = Adam(1e-3)
        self.stages = (*self.stages[:-1], replace(self.stages[-1], phases=(
            Phase(self.pretrain_loss, ("behavior", "critic", "value", "late")),)))
""",
}
OTHER = {
    "a loss": """
    def pretrain_loss(self, nets, batch, noise):
        loss, metrics = super().pretrain_loss(nets, batch, noise)
        return 2 * loss, metrics
""",
    "a part of a loss": """
    def behavior_loss(self, nets, batch, noise):
        return 2 * super().behavior_loss(nets, batch, noise)
""",
    "a loss of another name": """
    def create(self):
        super().create()
        [phase] = self.stages[0].phases
        first = replace(self.stages[0], phases=(replace(phase, loss=self.their_loss),))
        self.stages = (first, *self.stages[1:])
    def their_loss(self, nets, batch, noise):
        return self.pretrain_loss(nets, batch, noise)
""",
    "an argument of a loss": """
    def create(self):
        super().create()
        [phase] = self.stages[0].phases
        loss = partial(self.pretrain_loss, weight=2.0)
        first = replace(self.stages[0], phases=(replace(phase, loss=loss),))
        self.stages = (first, *self.stages[1:])
""",
    "a network": """
    def create(self):
        super().create()
        self.networks["critic"] = replace(self.networks["critic"], activation="relu")
""",
    "an optimizer": """
    def create(self):
        super().create()
        self.optimizers["critic"] = Adam(1e-4)
""",
    "an average": """
    def create(self):
        super().create()
        self.targets["critic"] = 0.5
""",
}


@pytest.fixture
def folders_of(plan_of: PlanOf, tmp_path: Path) -> FoldersOf:
    """Where the pretraining of each algorithm's first seed is left."""

    def folders(*algorithms: str) -> list[str]:
        found = []
        entries = {name: {"config": COMMON} for name in algorithms}
        for spec in plan_of(algorithms=entries, seeds=1).runs:
            engine = make_engine(spec, [0], ensure(spec.task).transitions)
            [folder] = SharedPretraining(tmp_path, spec, [0], engine).folders
            found.append(str(folder.path))
        return found

    return folders


def test_our_methods_share_it(folders_of: FoldersOf) -> None:
    assert len(set(folders_of("df-dir", "df-div", "ifql", "flow-bptt"))) == 1


@pytest.mark.parametrize("body", SAME.values(), ids=SAME)
def test_a_subclass_that_changes_something_else_shares_it(
    their_package: TheirPackage, folders_of: FoldersOf, body: str
) -> None:
    their_package.write_method(HEAD + body)
    assert len(set(folders_of("ifql", "theirs"))) == 1


@pytest.mark.parametrize("body", OTHER.values(), ids=OTHER)
def test_a_subclass_that_changes_it_does_not(
    their_package: TheirPackage, folders_of: FoldersOf, body: str
) -> None:
    their_package.write_method(HEAD + body)
    assert len(set(folders_of("ifql", "theirs"))) == 2


def test_it_is_made_anew_where_its_own_code_changes(
    their_package: TheirPackage, plan_of: PlanOf, folders_of: FoldersOf
) -> None:
    for body in (OTHER["a loss"], OTHER["a loss of another name"]):
        found = set()
        for text in (body, body.replace("return ", "return 1 * ")):
            their_package.write_method(HEAD + text)
            found |= set(folders_of("theirs"))
        assert len(found) == 2


def test_methods_without_any_have_no_key(plan_of: PlanOf) -> None:
    assert pretraining_key(plan_of(seeds=1).runs[0]) is None


def test_only_a_trial_that_finds_another_at_it_says_that_it_waits(
    plan_of: PlanOf, tmp_path: Path
) -> None:
    [spec] = plan_of(algorithms={"ifql": {"config": COMMON}}, seeds=1).runs
    engine = make_engine(spec, [0], ensure(spec.task).transitions)
    first, second = (SharedPretraining(tmp_path, spec, [0], engine) for _ in range(2))
    said: list[str] = []
    assert not first.wait(lambda: False, lambda: said.append("first"))
    assert not second.wait(lambda: bool(said), lambda: said.append("second"))
    first.release()
    assert said == ["second"]
