"""What every method of ours computes in a few updates, kept so that shared code cannot drift.

`python -m tests.algorithms.reference_metrics` writes the file anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from algorithms import registry
from algorithms.engine.engine import Engine
from algorithms.engine.version import ENGINE_VERSION
from algorithms.transitions import Transitions

FILE = Path(__file__).with_name("reference_metrics.json")
SEEDS = (3, 11)
STEPS = (4, 64)
OBS_DIM, ACTION_DIM = 5, 3
DIGITS = 8
SMALL = {
    "hidden_dims": (48, 48),
    "batch_size": 40,
    "context": 4,
    "embedding_dim": 32,
    "policy_hidden_dims": (48, 48),
    "horizon": 2,
    "beam_width": 8,
    "behavior_dims": (48, 48),
    "planning_candidates": 4,
    "actor_dim": 32,
    "guidance_dims": (48, 48),
    "support_actions": 4,
    "actor_hidden_dims": (48, 48),
    "behavior_dim": 32,
    "plans": 8,
}
FEWER = {"dd": {"diffusion_steps": 10}, "diffuser": {"diffusion_steps": 5}}  # they plan by a U-Net
Numbers = dict[str, dict[str, list[float]]]  # one per seed, by step and name


def our_algorithms() -> list[str]:
    """Those of this repository."""
    known = registry.algorithms().values()
    return [info.id for info in known if info.distribution == "decision-flow-harness"]


def make_transitions() -> Transitions:
    """Sixteen episodes of 32 steps; actions follow observations, rewards their size."""
    rng = np.random.default_rng(0)
    count = 512
    observations = rng.standard_normal((count, OBS_DIM))
    noise = rng.standard_normal((count, ACTION_DIM))
    actions = np.clip(0.5 * observations[:, :ACTION_DIM] + 0.1 * noise, -1, 1)
    step = np.arange(count)
    return Transitions.pack(
        observations=observations,
        actions=actions,
        rewards=-np.abs(actions).sum(1),
        next_observations=np.roll(observations, -1, axis=0),
        terminals=step % 64 == 31,
        timeouts=step % 64 == 63,
    )


def measure(algorithm_id: str) -> Numbers:
    """The metrics of both seeds after some updates, and how they act then."""
    fields = registry.load(algorithm_id).Config.model_fields
    small = {name: number for name, number in SMALL.items() if name in fields}
    config = registry.resolve_config(algorithm_id, small | FEWER.get(algorithm_id, {}))
    transitions, total = make_transitions(), max(STEPS)
    engine = Engine(algorithm_id, config, transitions, SEEDS, offline_steps=total, compile=False)
    observations = np.random.default_rng(1).standard_normal((len(SEEDS), 64, OBS_DIM))
    found: Numbers = {}
    for step in STEPS:
        engine.train(step - engine.step)
        actions = engine.policy("reference")(observations.astype(np.float32))
        numbers = {name: [float(v) for v in values] for name, values in engine.metrics().items()}
        numbers["actions/size"] = [float(np.abs(a).mean()) for a in actions]
        numbers["actions/first"] = [float(a[:, 0].mean()) for a in actions]
        found[str(step)] = dict(sorted(numbers.items()))
    return found


def write() -> None:
    """Replace the file by what this code computes."""
    numbers = {name: measure(name) for name in our_algorithms()}
    text = json.dumps({"engine_version": ENGINE_VERSION, "numbers": numbers}, indent=1)
    text = re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda found: f"{float(found[0]):.{DIGITS}g}", text)
    FILE.write_text(re.sub(r"\[\s+([^]]*?),\s+([^]]*?)\s+\]", r"[\1, \2]", text) + "\n")


if __name__ == "__main__":
    write()
