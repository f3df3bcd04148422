"""A suite that asks a method for what it cannot do is refused before any data are made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from algorithms import registry
from harness.errors import UserError
from harness.execution.draft import draft

WriteSuite = Callable[..., Path]


def test_methods_that_learn_from_data_alone_are_refused_online(write_suite: WriteSuite) -> None:
    algorithms = {"bc": {}, "cloned": {"algorithm": "flow-bc"}, "iql": {}}
    training, often = {"steps": 20, "online_steps": 12}, {"every": 4, "episodes": 2}
    suite = write_suite(algorithms=algorithms, training=training, evaluation=often)
    with pytest.raises(UserError) as error:
        draft(suite, Path("results"))
    assert "algorithms.bc: bc learns from data alone: leave it out" in str(error.value)
    assert "algorithms.cloned: flow-bc learns from data alone" in str(error.value)
    assert "can go on online: iql)" in str(error.value)
    assert "algorithms.iql" not in str(error.value)


def test_entries_cannot_act_as_their_methods_never_do(write_suite: WriteSuite) -> None:
    algorithms = {
        "bc": {"action_selection": "noise-0"},
        "td3-bc": {"action_selection": "best-of-4"},
        "from-zero": {"algorithm": "df-div", "action_selection": "noise-0"},
        "ifql": {"action_selection": "best-of-4"},
        "own": {"algorithm": "td3-bc", "action_selection": "noise-1.0"},
        "drawn": {"algorithm": "iql", "action_selection": "softmax-of-4"},
        "without": {"algorithm": "bc", "action_selection": "softmax-of-4"},
        "iql": {},
    }
    with pytest.raises(UserError) as error:
        draft(write_suite(algorithms=algorithms), Path("results"))
    message = str(error.value)
    assert "algorithms.bc.action_selection: Behaviour cloning cannot act by 'noise-0'" in message
    assert "algorithms.td3-bc.action_selection: TD3+BC cannot act by 'best-of-4'" in message
    assert "algorithms.drawn.action_selection" in message
    assert "cannot act by 'softmax-of-4': a softmax over values needs a temperature" in message
    assert "'best-of-4' it can. By itself it acts by 'noise-0'" in message
    assert message.count("only noise that a policy has can be scaled") == 3
    assert message.count("cannot act by") == 4


def test_a_known_critic_can_choose_as_a_learnt_one(write_suite: WriteSuite) -> None:
    raw = {"reward_transform": "raw", "known_q": True}
    entry = {"algorithm": "ifql", "config": raw, "action_selection": "best-of-4"}
    suite = write_suite(tasks=["multimodal/modes-2-dim-2"], algorithms={"chosen": entry})
    assert len(draft(suite, Path("results")).suite.rows) == 1


@pytest.mark.parametrize("name", registry.algorithms())
def test_what_a_method_can_do_is_the_same_for_all_sizes(name: str) -> None:
    method = registry.load(name)
    config = method.Config()
    small, large = method(config, 3, 2), method(config, 376, 17)
    for selection in ("noise-0", "noise-0.5", "noise-1", "best-of-4", "softmax-of-4"):
        assert small.supports(selection) == large.supports(selection)
