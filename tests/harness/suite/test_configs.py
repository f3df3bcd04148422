from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from algorithms import registry
from harness.errors import UserError
from harness.suite.configs import Configs, resolve_configs
from harness.suite.schema import load_suite, suite_tasks

TASKS = ["pointmaze/umaze", "pointmaze/medium"]


@pytest.fixture
def resolve(write_suite: Callable[..., Path]) -> Callable[..., Configs]:
    def resolve(final: dict[str, Any] | None = None, **changes: Any) -> Configs:
        suite, document = load_suite(write_suite(**{"tasks": TASKS, "defaults": {}} | changes))
        return resolve_configs(suite, document, suite_tasks(suite), final or {})

    return resolve


def test_layers_are_applied_in_order(resolve: Callable[..., Configs]) -> None:
    configs = resolve(
        defaults={"batch_size": 10, "discount": 0.5, "expectile": 0.6},
        algorithms={
            "bc": {},
            "iql": {
                "config": {"discount": 0.6, "temperature": 2.0},
                "per_task": {
                    "pointmaze/*": {"temperature": 5.0, "expectile": 0.8},
                    "*/medium": {"expectile": 0.9},
                },
            },
        },
    )
    umaze, medium = configs[TASKS[0], "iql"], configs[TASKS[1], "iql"]
    names = ("batch_size", "discount", "temperature", "expectile")
    assert [umaze[name] for name in names] == [10, 0.6, 5.0, 0.8]
    assert [medium[name] for name in names] == [10, 0.6, 5.0, 0.9]
    assert configs[TASKS[0], "bc"]["discount"] == 0.5
    assert "expectile" not in configs[TASKS[0], "bc"]  # a default only goes where there is a field


def test_two_labels_of_one_algorithm_have_their_own_configs(
    resolve: Callable[..., Configs],
) -> None:
    configs = resolve(
        algorithms={"iql": {}, "iql-tau9": {"algorithm": "iql", "config": {"expectile": 0.9}}}
    )
    assert configs[TASKS[0], "iql-tau9"] == configs[TASKS[0], "iql"] | {"expectile": 0.9}


def test_final_overrides_go_over_all_others(resolve: Callable[..., Configs]) -> None:
    configs = resolve(
        final={"batch_size": 3, "expectile": 0.75}, algorithms={"bc": {"config": {"batch_size": 9}}}
    )
    assert configs[TASKS[0], "bc"]["batch_size"] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"algorithms": {"iql": {"config": {"expectil": 0.9}}}},
            "algorithms.iql.config.expectil: unknown key 'expectil'. Did you mean 'expectile'?",
        ),
        (
            {"algorithms": {"iql": {"config": {"expectile": "0.9"}}}},
            "algorithms.iql.config.expectile: expected a number, found the text '0.9'",
        ),
        (
            {"algorithms": {"bc": {"config": {"batch_size": 2.5}}}},
            "algorithms.bc.config.batch_size: expected a whole number, found the number 2.5",
        ),
        (
            {"algorithms": {"bc": {"config": {"hidden_dims": 128}}}},
            "algorithms.bc.config.hidden_dims: expected a list, found the number 128",
        ),
        (
            {"algorithms": {"bc": {"config": {"hidden_dims": [16, "wide"]}}}},
            "algorithms.bc.config.hidden_dims[1]: expected a whole number, found the text 'wide'",
        ),
        (
            {"algorithms": {"bc": {"per_task": {"*/umaze": {"batch_size": 0}}}}},
            "algorithms.bc.per_task.*/umaze.batch_size: expected a number of at least 1, found",
        ),
        (
            {"algorithms": {"iql": {"config": {"expectile": 1.9}}}},
            "algorithms.iql.config.expectile: expected a number above 0 and below 1, found the "
            "number 1.9",
        ),
        (
            {"algorithms": {"bc": {"config": {"hidden_dims": [16, 0]}}}},
            "algorithms.bc.config.hidden_dims[1]: expected a number of at least 1, found the",
        ),
        (
            {"algorithms": {"sac": {"config": {"target_entropy": 1e4}}}},
            "sac.config.target_entropy: expected a number of at least -1,000 and of at most 1,000, "
            "found the number 10000.0",
        ),
        (
            {"algorithms": {"bc": {"per_task": {"adroit/*": {}}}}},
            "algorithms.bc.per_task.adroit/*: no task of this suite matches; its tasks are "
            "pointmaze/umaze, pointmaze/medium",
        ),
        (
            {"defaults": {"expectile": 0.9}},
            "defaults.expectile: no algorithm here has it: unknown key 'expectile'.",
        ),
        (
            {"defaults": {"hidden_dims": "wide"}},
            "defaults.hidden_dims: expected a list, found the text 'wide'",
        ),
    ],
)
def test_a_mistake_is_shown_in_the_layer_it_was_made(
    resolve: Callable[..., Configs], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        resolve(**changes)
    assert message in str(error.value)
    assert "has a problem" in str(error.value)  # once, not once a task


def test_an_algorithm_that_cannot_be_imported_is_named_with_what_it_needs(
    resolve: Callable[..., Configs], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = registry.AlgorithmInfo(
        "theirs", "Theirs", "", "third party", "missing_package.module:Theirs"
    )
    known = registry.algorithms() | {"theirs": theirs}
    monkeypatch.setattr(registry, "algorithms", lambda: known)
    with pytest.raises(
        UserError, match=r"'theirs' = missing_package.*there is no module 'missing_p"
    ):
        resolve(algorithms={"theirs": {}})
