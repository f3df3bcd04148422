"""Data of the kind of D4RL's cloned hands, with an agent's episodes in the place of a human's.

Paper: Fu et al., D4RL, arXiv:2004.07219: of cloned data, half are human demonstrations and half
are episodes of a policy that was cloned from them.

Deviations:
* The demonstrations are episodes of a public agent with its own noise, not a human's: they are
  made by a policy, and better. A human's cannot be made again, so there is nothing like D4RL's
  `human` data here.
* The clone is this project's `bc` and acts without noise; D4RL does not describe its own. An agent
  is cloned more easily than a human, of whom a clone mostly fails: agent and clone scored 81 ± 12
  and 92 ± 12 with the pen (30 episodes each), 104 ± 0 and 97 ± 7 with the door (15 each). One that
  is stopped after 75 updates (`underfit-clone`) fails as well.
* Whole episodes, as many as fit; fewer steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from algorithms.engine.engine import Engine
from algorithms.engine.version import ENGINE_VERSION
from algorithms.registry import algorithms, resolve_config
from algorithms.source import code_digest
from algorithms.transitions import Transitions
from harness.data.datasets import Progress
from harness.data.minari_format import EpisodeArrays
from harness.data.recipe import Origin, Recipe, whole_episodes
from harness.data.recipes.policy_files import policy_file, save_policy
from harness.data.recipes.policy_rollout import Behavior, episode_scores, mean_and_error
from harness.data.recipes.sac_policy import layers_of
from harness.data.recipes.shipped_policies import sha256_of
from harness.data.sources.download_lock import SourceFile
from harness.data.sources.public_policies import fetch_policies
from harness.data.store import data_root, lock, write_errors_explained
from harness.errors import UserError
from harness.files import short_digest
from harness.tasks import words
from harness.tasks.environment import make_unwrapped
from harness.tasks.spec import TaskSpec

CONFIG = {"hidden_dims": [256, 256], "normalize_observations": True}
_BLOCK = 100  # updates between two reports of progress


class AgentClone(Recipe):
    """Half the agent's episodes again and again, half episodes of their clone."""

    def sources(self, task: TaskSpec) -> list[SourceFile]:
        """The agent's file."""
        file = policy_file(_agent(task))
        return [SourceFile(f"local/{file.name}", file, f"found in {file.parent}")]

    def prepare(self, task: TaskSpec, report: Progress) -> None:
        """Train the clone, if this machine has not done so before."""
        path = _clone_file(task)
        with write_errors_explained(path), lock(f"training-{path.stem}"):
            if not path.exists():
                _train_clone(task, path, report)

    def episodes(
        self, task: TaskSpec, workers: int | None, progress: Callable[[int], None]
    ) -> Iterator[EpisodeArrays]:
        """The demonstrations over and over, then as many steps of the clone."""
        half, done = _number(task, "transitions") // 2, 0
        again = whole_episodes(itertools.cycle(_demonstrations(task)), half)
        name, seed = f"clone-{_agent(task)}", _number(task, "seed")
        clone = Behavior(task, _clone_file(task), name, seed, ("deterministic",))
        for episode in itertools.chain(again, clone.episodes(half, workers)):
            done += len(episode["actions"])
            progress(done)
            yield episode

    def constants(self, task: TaskSpec) -> dict[str, JsonValue]:
        """The clone, which may round otherwise on another machine."""
        return {"clone_sha256": sha256_of(_clone_file(task)), "torch": version("torch")}

    def origin(self, task: TaskSpec) -> Origin:
        """For Minari's metadata."""
        params = task.dataset.params
        return Origin(
            algorithm=f"{params['policy']} and its clone by bc",
            text=(
                "LOCAL, made on this machine and not a download of D4RL's or Minari's dataset. "
                f"Half: {params['demonstrations']} episodes of the agent {params['policy']} with "
                "its own noise, again and again. Half: episodes of a policy cloned from these "
                f"({params['training_steps']} updates of bc), without noise. Seed "
                f"{params['seed']}. Rewards and terminations are the evaluation task's: "
                + words.semantics(task)
            ),
            environment=make_unwrapped(task.environment, task.horizon),
            requirements=("gymnasium-robotics", "mujoco"),
        )

    def missing(self, task: TaskSpec) -> list[str]:
        """The agent, if it is not on this machine."""
        try:
            policy_file(_agent(task))
        except UserError as error:
            return [str(error)]
        return []

    def fetch(self, task: TaskSpec, progress: Callable[[str, int, int], None]) -> list[str]:
        """The agent. Raises UserError if it cannot be had."""
        return fetch_policies(progress, [_agent(task)])

    def details(self, task: TaskSpec, data: Transitions) -> str:
        """Normalized scores of the two halves."""
        scores, steps = episode_scores(task, data), data.episode_ends()
        first = int(np.searchsorted(steps, _number(task, "transitions") // 2, side="right"))
        return (
            f"normalized score of the agent's episodes: {mean_and_error(scores[:first])}\n"
            f"normalized score of the clone's: {mean_and_error(scores[first:])}"
        )


def _demonstrations(task: TaskSpec) -> list[EpisodeArrays]:
    name, seed = f"demonstrations-{_agent(task)}", _number(task, "seed")
    agent = Behavior(task, policy_file(_agent(task)), name, seed, ("stochastic",))
    count = _number(task, "demonstrations")
    return [*itertools.islice(agent.episodes(count * task.horizon, workers=1), count)]


def _train_clone(task: TaskSpec, path: Path, report: Progress) -> None:
    """Fit `bc` to the demonstrations and write its policy."""
    columns = [RECIPE.columns(episode) for episode in _demonstrations(task)]
    joined = {name: np.concatenate([each[name] for each in columns]) for name in columns[0]}
    steps, config = _number(task, "training_steps"), resolve_config("bc", CONFIG)
    engine = Engine(
        "bc",
        config,
        Transitions.pack(**joined),
        [_number(task, "seed")],
        offline_steps=steps,
        compile=False,
    )
    while engine.step < steps:
        engine.train(min(_BLOCK, steps - engine.step))
        report(f"cloning {_agent(task)}", engine.step, steps)
    layers = layers_of(engine.state(0))
    arrays = {f"W{i}": weight for i, (weight, _) in enumerate(layers)}
    arrays |= {f"b{i}": bias for i, (_, bias) in enumerate(layers)}
    seen = engine.preprocessing
    arrays |= {"obs_shift": seen.mean.numpy(), "obs_scale": 1 / seen.scale.numpy()}
    meta = {
        "algorithm": "bc",
        "activation": "relu",
        "squash": "tanh",
        "n_layers": len(layers),
        "obs_clip": None,
        "obs_eps": 0.0,
        "out_affine": False,
        "time_feature": False,
        "task": task.environment.id.partition("-v")[0],
    }
    save_policy(path, meta, arrays)


def _clone_file(task: TaskSpec) -> Path:
    """Named by everything that the clone depends on."""
    params = task.dataset.params
    what = {
        "demonstrations": [params[name] for name in ("policy", "demonstrations", "seed")],
        "agent_sha256": sha256_of(policy_file(_agent(task))),
        "environment": task.environment.model_dump(mode="json", exclude={"semantics"}),
        "horizon": task.horizon,
        "steps": params["training_steps"],
        "config": resolve_config("bc", CONFIG).model_dump(mode="json"),
        "code": code_digest(algorithms()["bc"].module),
        "engine_version": ENGINE_VERSION,
    }
    return data_root() / "training" / f"clone-{short_digest(what)}.npz"


def _agent(task: TaskSpec) -> str:
    return str(task.dataset.params["policy"])


def _number(task: TaskSpec, name: str) -> int:
    value = task.dataset.params[name]
    assert isinstance(value, int)
    return value


RECIPE = AgentClone()
