"""Oracles that are plain PyTorch or done by hand: tests, and how far from them they found ours.

`record_d3rlpy.py` and its like are for what a library has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
import torch

from algorithms import registry

_TRAINING = "test_training_equals_plain_pytorch"
_FLOW = "tests/algorithms/decision_flow"
_LOOP = "test_losses_and_gradients_equal_a_loop_over_states_and_decisions"
_PARTS = "its own parts"  # blocks that have closed forms of their own
_BLOCKS = "tests/algorithms/blocks/test_flow_pretraining.py"


@dataclass(frozen=True)
class Plain:
    """Tests of a method against an oracle that is written out in them."""

    tests: tuple[str, ...]  # of pytest: file::function, or file::function[case]
    kind: str = "weights"  # what they compare by `torch.testing.assert_close`
    compared: str = "after several updates, of two seeds stacked"
    oracle: str = "plain PyTorch"

    @property
    def file(self) -> str:
        return self.tests[0].partition("::")[0]


def _loop(method: str) -> Plain:
    return Plain(
        (f"{_FLOW}/test_decision_flow_parity.py::{_LOOP}[{method}]",),
        "losses and gradients",
        "policy iteration, state by state and decision by decision",
    )


def _by_hand(file: str, *functions: str, compared: str, oracle: str = "closed form") -> Plain:
    tests = tuple(f"{_FLOW}/{file}.py::test_{name}" for name in functions)
    return Plain(tests, "losses", compared, oracle)


SHARE = "weights, in units of how far they moved"  # where Adam moves many by its rounding
_OTHERS = {
    **{
        method: Plain((f"tests/baselines/test_{method}.py::{_TRAINING}",), SHARE)
        for method in ("diffuser", "dd")
    },
    "bc-10": Plain(
        (f"tests/baselines/test_bc_10.py::{_TRAINING}_on_normalised_observations_of_what_is_kept",)
    ),
    "sac-n": Plain((f"tests/baselines/test_edac.py::{_TRAINING}[sac-n-0.0]",)),
    "edac": Plain((f"tests/baselines/test_edac.py::{_TRAINING}[edac-0.7]",)),
    "flow-bptt": Plain(
        (
            "tests/baselines/test_flow_bptt.py::"
            "test_losses_and_gradients_equal_a_loop_over_states_and_steps",
        ),
        "losses and gradients",
        "policy improvement, state by state and step by step",
    ),
    "ifql": Plain(
        (f"{_BLOCKS}::test_pretraining_sums_flow_matching_and_a_critics_losses",),
        "losses",
        "flow matching and IQL; all its training is Decision Flow's pretraining, bit for bit",
        _PARTS,
    ),
    **{
        method: _loop(method)
        for method in (
            "df-dir",
            "df-dir-unit",
            "df-dir-angle",
            "df-div",
            "df-div-kl",
            "df-div-mean",
            "df-div-td",
            "df-div-previous-action",
            "df-div-midpoint",
            "df-div-ensemble",
            "df-div-noised",
        )
    },
    "df-div-critic-noise": _by_hand(
        "test_ablations",
        "the_price_grows_with_the_critics_disagreement",
        "critic_noise_is_the_twins_deviation_in_units_of_the_advantage",
        compared="the price of divergence, in which it differs from `df-div`",
    ),
    "df-div-scale": _by_hand(
        "test_ablations",
        "the_value_scale_divides_the_final_value",
        compared="the scale of the value, in which it differs from `df-div`",
    ),
    "df-div-joint": _by_hand(
        "test_ablations",
        "what_trains_beside_the_policy_follows_its_own_loss_alone",
        compared="the critics' gradients, which are IQL's; else it is `df-div`",
        oracle=_PARTS,
    ),
    "df-div-actor-critic": Plain(
        (
            f"{_FLOW}/test_actor_critic.py::"
            "test_q_backs_up_the_policys_own_actions_less_their_price",
        ),
        "losses and gradients",
        "the losses of Q and V, in which it differs from `df-div`, state by state",
    ),
    "df-div-best-target": Plain(
        (
            f"{_FLOW}/test_best_target.py::"
            "test_what_it_adds_to_df_divs_loss_is_matching_the_best_of_n_by_a_loop",
        ),
        "losses and gradients",
        "what it adds to the loss of `df-div`, state by state",
    ),
    "df-div-path": _by_hand(
        "test_ablations",
        "the_behaviour_flow_is_matched_along_the_path",
        compared="the behaviour's loss, in which it differs from `df-div`",
        oracle=_PARTS,
    ),
    "df-div-transport": _by_hand(
        "test_ablations",
        "the_behaviour_flow_is_matched_along_the_coupling",
        compared="the behaviour's loss, in which it differs from `df-div`",
        oracle=_PARTS,
    ),
    "df-div-distilled": _by_hand(
        "test_distillation",
        "a_jump_that_is_exact_from_everywhere_has_no_loss",
        "the_loss_is_the_squared_distance_to_the_roll_outs_end_by_hand",
        compared="the distilled policy's loss, which `df-div` has not",
    ),
}


def plain_oracles() -> dict[str, Plain]:
    """Of every method that is part of this repository."""
    return {
        name: _OTHERS.get(name)
        or Plain((f"tests/baselines/test_{name.replace('-', '_')}.py::{_TRAINING}",))
        for name, entry in registry.algorithms().items()
        if entry.distribution == "decision-flow-harness"
    }


class _Measure:
    """A plugin of pytest's that keeps each test's largest difference between what it compares."""

    def __init__(self) -> None:
        self.worst: dict[str, float] = {}
        self._test = ""

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._test = item.nodeid

    def compare(self, actual: Any, expected: Any, **rest: Any) -> None:
        _assert_close(actual, expected, **rest)
        difference = (torch.as_tensor(actual) - torch.as_tensor(expected)).abs().max().item()
        self.worst[self._test] = max(self.worst.get(self._test, 0.0), difference)


_assert_close = torch.testing.assert_close


def measure(oracles: Iterable[Plain]) -> Mapping[Plain, float]:
    """Run the tests, and tell the largest absolute difference that they saw.

    Raises SystemExit for a test that fails, is absent or compares nothing.
    """
    oracles = list(oracles)
    found = _Measure()
    tests = sorted({test for oracle in oracles for test in oracle.tests})
    with mock.patch("torch.testing.assert_close", found.compare):
        if code := pytest.main(["-n0", "-q", "-p", "no:cacheprovider", *tests], plugins=[found]):
            raise SystemExit(f"pytest ended with {code!r}: no differences were written")
    return {oracle: max(_of(oracle, found.worst)) for oracle in oracles}


def _of(oracle: Plain, worst: Mapping[str, float]) -> list[float]:
    differences = [
        value
        for name, value in worst.items()
        if any(name == test or name.startswith(f"{test}[") for test in oracle.tests)
    ]
    if not differences:
        raise SystemExit(f"{oracle.tests} compare nothing by torch.testing.assert_close")
    return differences
