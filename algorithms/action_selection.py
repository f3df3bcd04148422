"""How a stochastic policy's actions are chosen at evaluation (light: no torch)."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class ActionSelection:
    """One rule by which actions are chosen.

    Attributes:
        noise_scale: factor on the policy's noise. 1 samples the policy; 0 is a Gaussian's mean, or
            a flow or diffusion started from zero.
        candidates: N; of so many samples the one with the largest critic value acts.
        softmax: a candidate acts instead that is drawn by softmax(value / T), T the algorithm's
            `selection_temperature`.
    """

    noise_scale: float = 1.0
    candidates: int = 1
    softmax: bool = False


_NOISE = re.compile(r"noise-(\d+(?:\.\d+)?)")
_PICK = re.compile(r"(best|softmax)-of-([1-9]\d*)")


def parse_action_selection(name: str) -> ActionSelection:
    """`noise-0`, `noise-0.5`, `best-of-4`, `softmax-of-4`, … Raises ValueError for others."""
    if match := _NOISE.fullmatch(name):
        return ActionSelection(noise_scale=float(match[1]))
    if match := _PICK.fullmatch(name):
        return ActionSelection(candidates=int(match[2]), softmax=match[1] == "softmax")
    raise ValueError(
        f"'{name}' is no action selection; write noise-<scale>, such as noise-0 or noise-0.5, "
        "best-of-<N>, such as best-of-4, or softmax-of-<N>, such as softmax-of-4"
    )
