"""The ladder: short trainings that say whether a method learns, each with what to look at if not.

Settings are made for a thousand steps. A low score is advice, never a breach: a method may be right
and need more.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from algorithms.contract import Finding, Subject, finding_of, imitation
from algorithms.engine.engine import Engine
from algorithms.errors import definition, name_of
from algorithms.registry import resolve_config
from harness.data.cache import made_in_memory
from harness.rollouts.evaluation import Evaluator
from harness.tasks import TaskSpec, get_task, known_q_of, pointmaze_task

_STEPS, _EPISODES, _SEEDS = 1000, 20, (0, 1)
_TIMED = 100  # steps
_MARGIN = 10.0  # points: of chance, at so few steps and episodes
_BELOW = "look at the signs and weights of its losses, at masks and discount, and at act"
_REFERENCE = "bc"
# A known Q is a function of these.
_AS_THEY_ARE = {
    "normalize_observations": False,
    "reward_transform": "raw",
    "reward_scale": 1.0,
    "reward_shift": 0.0,
}

MODES = get_task("multimodal/modes-1-dim-2", {"transitions": 2000})
MAZE = pointmaze_task("check/tiny", layout=("#####", "#  G#", "#####"), horizon=100).build(
    {"transitions": 5000}
)
_DATA = {
    task.id: functools.cache(functools.partial(made_in_memory, task)) for task in (MODES, MAZE)
}


@dataclass(frozen=True)
class Rung:
    """One question of the ladder.

    Attributes:
        id: a name.
        question: in words.
        answer: what was measured, in words, and what there is to look at.
    """

    id: str
    question: str
    answer: Callable[[Subject], tuple[str, list[Finding]]]


def _imitates(subject: Subject) -> tuple[str, list[Finding]]:
    found = imitation(subject)
    return "no" if found else "yes", found


def _climbs_known_q(subject: Subject) -> tuple[str, list[Finding]]:
    """With Q given, it scores no lower than the data; without a critic, by imitation."""
    data = _DATA[MODES.id]()
    of_data = MODES.normalized_score(float(data.episode_returns().mean()))
    has_critic = "critic" in subject.algorithm.networks
    given = {"known_q": True, **_AS_THEY_ARE} if has_critic else {}
    score = _score(subject.algorithm_id, MODES, **given)
    words = f"{score:.0f} points, the data {of_data:.0f}"
    if score >= of_data - _MARGIN:
        return words, []
    what = "with the true Q given" if has_critic else "where to act as the data is enough"
    return words, [_advice(subject, f"{what}, it scores {words}: {_BELOW}")]


def _solves_a_maze(subject: Subject) -> tuple[str, list[Finding]]:
    """It scores no lower than behaviour cloning on as many steps."""
    reference, score = _reference_score(), _score(subject.algorithm_id, MAZE)
    words = f"{score:.0f} points, {_REFERENCE} {reference:.0f}"
    if score >= reference - _MARGIN:
        return words, []
    return words, [_advice(subject, f"in a tiny maze it scores {words}: {_BELOW}")]


def _is_fast(subject: Subject) -> tuple[str, list[Finding]]:
    """Its speed; there is none that is wrong."""
    own, reference = (_updates_per_second(name) for name in (subject.algorithm_id, _REFERENCE))
    return f"{own:.0f} updates per CPU-second, uncompiled; {_REFERENCE} {reference:.0f}", []


LADDER = (
    Rung("imitation", "does it act as 256 easy transitions do?", _imitates),
    Rung("known-q", "does it climb the true Q of multimodal/modes-1?", _climbs_known_q),
    Rung("maze", "does it solve a tiny maze?", _solves_a_maze),
    Rung("speed", "how fast is it?", _is_fast),
)


def climb(rung: Rung, subject: Subject) -> tuple[str, list[Finding]]:
    """A rung's answer; an error in the method's own code is a finding."""
    try:
        return rung.answer(subject)
    except Exception as error:
        return "no", [finding_of(error, subject)]


def _advice(subject: Subject, sentence: str) -> Finding:
    losses = dict.fromkeys(
        f"{name_of(phase.loss)} at {definition(phase.loss, subject.method)}"
        for phase in subject.phases
    )
    where = definition(subject.method.act, subject.method)
    return Finding(f"{sentence} ({', '.join(losses)})", where, advice=True)


@functools.cache
def _reference_score() -> float:
    return _score(_REFERENCE, MAZE)


def _score(algorithm_id: str, task: TaskSpec, **settings: Any) -> float:
    """Mean normalised score of two seeds after a short training."""
    engine = _engine(algorithm_id, task, **settings)
    engine.train(_STEPS)
    evaluator = Evaluator(task, _SEEDS, _EPISODES)
    try:
        episodes = evaluator.evaluate(engine.policy("ladder")).episodes
    finally:
        evaluator.close()
    return statistics.fmean(task.normalized_score(e.episode_return) for e in episodes)


def _engine(algorithm_id: str, task: TaskSpec, **settings: Any) -> Engine:
    config = resolve_config(algorithm_id, {**_quick(algorithm_id), **settings})
    return Engine(
        algorithm_id,
        config,
        _DATA[task.id](),
        _SEEDS,
        offline_steps=_STEPS,
        compile=False,
        known_q=known_q_of(task, config),
    )


def _quick(algorithm_id: str) -> dict[str, Any]:
    """Settings for a thousand steps, of those that the method has."""
    quick = {"discount": 0.95, "tau": 0.03, "hidden_dims": (64, 64), "batch_size": 128}
    fields = type(resolve_config(algorithm_id, {})).model_fields
    rates = {name: 1e-3 for name in fields if name.endswith("learning_rate")}
    return {name: value for name, value in {**quick, **rates}.items() if name in fields}


def _updates_per_second(algorithm_id: str) -> float:
    engine = _engine(algorithm_id, MAZE)
    engine.train(_TIMED)  # warms up
    begun = time.process_time()
    engine.train(_TIMED)
    return _TIMED / (time.process_time() - begun)
