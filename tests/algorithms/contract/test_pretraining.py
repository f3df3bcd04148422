"""Settings that pretraining reads and does not declare: two rows would share one, silently."""

from __future__ import annotations

import pytest

from algorithms import registry
from algorithms.contract import CHECKS, Subject, run_check
from algorithms.contract.subject import ACTION_DIM, OBS_DIM
from algorithms.engine.preflight import check
from algorithms.errors import AlgorithmError
from tests.algorithms.planted import ID, Package

[PRETRAINING] = [each for each in CHECKS if each.id == "pretraining"]
SHARED = (
    (
        '    """Nothing of its own."""',
        '    """Its own."""\n\n'
        "    bonus: float = 0.5  # b\n"
        "    decay: float = 0.99  # γ\n"
        "    pull: float = 0.1  # α\n\n\n"
        "class First(Config):\n"
        "    bonus: float = 0.5  # b\n"
        "    decay: float = 0.99  # γ",
    ),
    ("    Config = Settings", "    Config = Settings\n    Pretraining = First"),
    (
        "self.stages = (Stage((critic, actor)),)",
        "self.stages = (Stage((critic,), 0.5), Stage((actor,), 0.5))\n"
        "        self.pretraining_stages = 1",
    ),
    ("backup = batch.rewards + 0.99 *", "backup = batch.rewards + self.config.decay *"),
    ("return -q.mean(-1), {", "return -self.config.pull * q.mean(-1), {"),
)
BONUS = 'self.noise = {"smoothing": Normal(act)}'
LOSS = "loss = error.square().mean((1, 2))"


def test_what_pretraining_declares_and_later_stages_read_is_no_mistake(package: Package) -> None:
    package.write(*SHARED)
    assert run_check(PRETRAINING, Subject(ID)) == []


@pytest.mark.parametrize(
    ("old", "new", "name", "at"),
    [
        (LOSS, f"{LOSS} * (1 + self.config.pull)", "pull", ""),
        (LOSS, f"{LOSS} * (1 + self.own.pull)", "pull", ""),  # kept since create
        (
            "    decay: float = 0.99  # γ\n\n\nclass Planted",
            "\n\nclass Planted",
            "decay",
            "self.config.decay",
        ),
        (
            "class First(Config):",
            "class First(BaseModel):\n    normalize_observations: bool = True",
            "batch_size",
            "Pretraining = First",
        ),
        (
            "    def act(self",
            "    @classmethod\n"
            "    def select(cls, config, transitions):\n"
            "        return transitions if config.pull else transitions\n\n"
            "    def act(self",
            "pull",
            "return transitions if config.pull",
        ),
    ],
)
def test_a_setting_that_pretraining_reads_and_does_not_declare(
    package: Package, old: str, new: str, name: str, at: str
) -> None:
    shared = package.write(
        *SHARED,
        (BONUS, f"self.own = self.config\n        {BONUS}"),
        ("import torch\n", "import torch\nfrom pydantic import BaseModel\n"),
    )
    package.write((old, new), source=shared)
    [found] = run_check(PRETRAINING, Subject(ID))
    assert found.sentence == (
        f"pretraining reads the setting '{name}', which is not in First: rows that differ in it "
        "would share one pretraining, so move it there"
    )
    assert found.where == package.line(at or new)
    assert not found.advice


@pytest.mark.parametrize(
    ("edits", "name", "value"),
    [
        (
            [
                (BONUS, f"self.kept = self.config.pull\n        {BONUS}"),
                (LOSS, f"{LOSS} * (1 + self.kept)"),
            ],
            "pull",
            0.05,
        ),
        (
            [
                (
                    "class First(Config):",
                    "class First(BaseModel):\n"
                    "    batch_size: int = 256\n"
                    "    normalize_observations: bool = True\n"
                    "    discount: float = 0.99\n"
                    "    reward_scale: float = 1.0\n"
                    "    reward_shift: float = 0.0",
                )
            ],
            "reward_transform",
            "mean-return",
        ),
    ],
    ids=["kept since create", "read by the engine"],
)
def test_a_setting_that_shows_in_the_weights_that_pretraining_leaves(
    package: Package, edits: list[tuple[str, str]], name: str, value: object
) -> None:
    shared = package.write(
        *SHARED, ("import torch\n", "import torch\nfrom pydantic import BaseModel\n")
    )
    package.write(*edits, source=shared)
    [found] = run_check(PRETRAINING, Subject(ID))
    assert found.sentence == (
        f"with {name} = {value!r} pretraining leaves other weights, and '{name}' is not in First: "
        "rows that differ in it would share one pretraining, so move it there"
    )
    assert found.where == package.line("Pretraining = First")
    assert not found.advice


def test_a_create_that_refuses_what_nobody_asked_for_is_no_mistake(package: Package) -> None:
    package.write(*SHARED, (BONUS, f"assert self.config.pull == 0.1\n        {BONUS}"))
    assert run_check(PRETRAINING, Subject(ID)) == []


def test_what_create_makes_of_a_setting_is_compared_as_it_is_made(package: Package) -> None:
    package.write(*SHARED, ("Adam(1e-3)", "Adam(self.config.pull)"))
    assert run_check(PRETRAINING, Subject(ID)) == []


def first_try() -> list[str]:
    """As a run makes it."""
    return check(registry.load(ID), registry.resolve_config(ID, {}), OBS_DIM, ACTION_DIM)


def test_a_run_with_a_setting_that_later_stages_read_begins(package: Package) -> None:
    package.write(*SHARED)
    assert first_try() == []


def test_a_run_with_a_setting_that_pretraining_reads_undeclared_does_not(package: Package) -> None:
    shared = package.write(*SHARED)
    package.write((LOSS, f"{LOSS} * (1 + self.config.pull)"), source=shared)
    with pytest.raises(AlgorithmError, match="the setting 'pull', which is not in First") as found:
        first_try()
    assert found.value.where == package.line("self.config.pull)")
