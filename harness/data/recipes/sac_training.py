"""SAC's online training that the locomotion data come from: kept on disk, shared, resumable.

It depends on the environment, the seed and SAC's settings and code alone, not on the levels that
are asked of it: a level that comes later, or a larger budget, trains on from where it was. All is
decided and saved between episodes, because an environment's state cannot be saved; as a seed's
resets, actions and batches come from streams of their own, a training that was killed leaves the
same bytes as one that was not.

A training's folder under the data root:
    manifest.json        what is trained
    curve.csv            the evaluations so far
    policies/<step>.npz  the policy at each evaluation, as `policy_files.py` reads it
    replay.f32           packed float32 rows of everything seen, exploration first
    state.safetensors    the latest checkpoint: learning state, evaluations, rows that count
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from algorithms.engine.seeding import derive_seed
from algorithms.engine.version import ENGINE_VERSION
from algorithms.registry import algorithms, resolve_config
from algorithms.source import code_digest
from algorithms.transitions import Transitions
from harness.data.datasets import Progress
from harness.data.recipes.sac_checkpoint import CURVE, SacCheckpoint, SacEvaluation, best_of
from harness.data.recipes.sac_policy import save_sac_policy
from harness.data.store import data_root, lock, write_errors_explained
from harness.errors import UserError
from harness.files import short_digest, write_json
from harness.rollouts.evaluation import Evaluator
from harness.rollouts.interaction import OnlineTraining, make_online_engine
from harness.rollouts.rollout import Rollout
from harness.tasks import make_environment
from harness.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from algorithms.engine.engine import Engine

ACTING = "noise-1"  # the stochastic policy, which D4RL's data were made with
CHECKPOINT_SECONDS = 60.0  # about the most that a killed training loses
MANIFEST = "manifest.json"


class SACTraining:
    """The training that a task's dataset is made from.

    Attributes:
        task: one of the levels.
        key: names the training.
        folder: where it is kept.
    """

    def __init__(self, task: TaskSpec) -> None:
        params = task.dataset.params
        self.task, self._seed = task, _number(params, "seed")
        self._budget = _number(params, "training_steps")
        self._exploration = _number(params, "exploration_steps")
        self._every = _number(params, "evaluation_every")
        self._episodes = _number(params, "evaluation_episodes")
        overrides = params["sac"]
        assert isinstance(overrides, dict)
        self._config = resolve_config("sac", overrides)
        self._what = {
            "algorithm": "sac",
            "code": code_digest(algorithms()["sac"].module),
            "config": self._config.model_dump(mode="json"),
            "environment": task.environment.model_dump(mode="json", exclude={"semantics"}),
            "horizon": task.horizon,
            "reference": task.reference.model_dump(mode="json", include={"min", "max"}),
            "seed": self._seed,
            "exploration_steps": self._exploration,
            "evaluation_every": self._every,
            "evaluation_episodes": self._episodes,
            "engine_version": ENGINE_VERSION,
        }
        self.key = short_digest(self._what)
        self.folder = data_root() / "training" / self.key

    def medium(self, report: Progress) -> SacEvaluation:
        """The first evaluation of at least the task's medium score, trained up to if need be.

        Raises UserError if the budget ends before.
        """
        wanted = _number(self.task.dataset.params, "medium_score")
        evaluations = self._until(lambda e: e.score >= wanted or e.step >= self._budget, report)
        found = evaluations[-1]
        if found.score < wanted:
            best = max(evaluation.score for evaluation in evaluations)
            raise UserError(
                f"SAC's best evaluation within {self._budget:,} steps was {best:.1f} points, below "
                f"the medium level of {wanted} (see {self.folder / CURVE}). Give the task a "
                "lower medium_score or more training_steps; the training goes on from where it is."
            )
        return found

    def expert(self, report: Progress) -> SacEvaluation:
        """The best evaluation within the budget, trained up to its end if need be."""
        return best_of(self._until(lambda e: e.step >= self._budget, report))

    def policy(self, evaluation: SacEvaluation) -> Path:
        """The policy's file."""
        return policy_of(self.folder, evaluation)

    def replay(self, evaluation: SacEvaluation) -> Transitions:
        """Everything seen before an evaluation, in whole episodes. Raises UserError if damaged."""
        return SacCheckpoint.read(self.folder).replay(evaluation.step)

    def _until(
        self, enough: Callable[[SacEvaluation], bool], report: Progress
    ) -> list[SacEvaluation]:
        """All evaluations up to the first that is enough, trained up to if need be."""
        with write_errors_explained(self.folder), lock(f"training-{self.key}"):
            evaluations: Sequence[SacEvaluation] = ()
            if SacCheckpoint.exists(self.folder):
                evaluations = SacCheckpoint.read(self.folder).evaluations
            if not any(map(enough, evaluations)):
                evaluations = self._train(enough, report)
        first = next(i for i, evaluation in enumerate(evaluations) if enough(evaluation))
        return list(evaluations[: first + 1])

    def _train(
        self, enough: Callable[[SacEvaluation], bool], report: Progress
    ) -> tuple[SacEvaluation, ...]:
        """Continue from the checkpoint, or begin, until an evaluation is enough."""
        if SacCheckpoint.exists(self.folder):
            saved = SacCheckpoint.read(self.folder)
        else:
            write_json(self.folder / MANIFEST, self._what)
            saved = SacCheckpoint.begin(self.folder, self._explore())
        engine = self._engine(saved)
        online = OnlineTraining(self.task, engine, saved.episodes)
        evaluator = Evaluator(self.task, [self._seed], self._episodes)
        step, episodes, evaluations = saved.rows, saved.episodes, [*saved.evaluations]
        clock = time.monotonic()
        while not (evaluations and enough(evaluations[-1])):
            while not online.train(1):
                pass
            before, step, episodes = step, saved.explored + engine.step, episodes + 1
            due = step // self._every > before // self._every
            if due:
                policy = engine.policy(f"evaluation/{step}", ACTING)
                evaluations.append(self._evaluation(evaluator.evaluate(policy), step, episodes))
                path = self.policy(evaluations[-1])
                save_sac_policy(path, engine.state(0), self.task.environment.id)
            if due or time.monotonic() - clock > CHECKPOINT_SECONDS:
                seen = engine.seen(0, saved.rows - saved.explored)
                saved = saved.extended(seen, engine.state(0), episodes, evaluations)
                clock = time.monotonic()
            report(self._description(evaluations), min(step, self._budget), self._budget)
        online.close()
        evaluator.close()
        return saved.evaluations

    def _engine(self, saved: SacCheckpoint) -> Engine:
        """At the checkpoint, its replay buffer filled again."""
        replay = saved.replay(saved.rows)
        dims = (replay.obs_dim, replay.action_dim)
        explored = Transitions(replay.rows[: saved.explored], *dims)
        # Evaluations come with the first episode to end after a multiple of `_every`.
        room = self._budget + self._every + self.task.horizon
        engine = make_online_engine("sac", self._config, explored, self._seed, room)
        for row in range(saved.explored, saved.rows):
            engine.add(Transitions(replay.rows[row : row + 1], *dims))
        if saved.state:
            engine.load_state([saved.state], saved.rows - saved.explored)
        return engine

    def _explore(self) -> Transitions:
        """Whole episodes of uniform actions, of at least so many steps as SAC starts with."""
        environment = make_environment(self.task)
        assert environment.action_space.shape is not None
        rng = np.random.default_rng(derive_seed("exploration", self._seed))
        columns: dict[str, list[Any]] = {}
        episode = 0
        while len(columns.get("rewards", ())) < self._exploration:
            rollout = Rollout(environment, "exploration", self._seed, episode)
            while not rollout.done:
                observation = rollout.observation
                action = rng.uniform(-1.0, 1.0, environment.action_space.shape).astype(np.float32)
                rollout.step(action)
                values = {
                    "observations": observation,
                    "actions": action,
                    "rewards": rollout.reward,
                    "next_observations": rollout.observation,
                    "terminals": rollout.terminated,
                    "timeouts": rollout.done and not rollout.terminated,
                }
                for name, value in values.items():
                    columns.setdefault(name, []).append(value)
            episode += 1
        environment.close()
        return Transitions.pack(**{name: np.asarray(column) for name, column in columns.items()})

    def _evaluation(self, found: Any, step: int, episodes: int) -> SacEvaluation:
        returns = [episode.episode_return for episode in found.episodes]
        return SacEvaluation(
            step=step,
            episodes=episodes,
            score=float(np.mean([self.task.normalized_score(value) for value in returns])),
            mean_return=float(np.mean(returns)),
            mean_length=float(np.mean([episode.length for episode in found.episodes])),
        )

    def _description(self, evaluations: Sequence[SacEvaluation]) -> str:
        what = f"training SAC in {self.task.environment.id}, seed {self._seed}"
        if not evaluations:
            return what
        return f"{what} ({evaluations[-1].score:.1f} points at step {evaluations[-1].step:,})"


def policy_of(folder: Path, evaluation: SacEvaluation) -> Path:
    """Where the policy of an evaluation is in a training's folder."""
    return folder / "policies" / f"{evaluation.step:08d}.npz"


def _number(params: Mapping[str, JsonValue], name: str) -> int:
    value = params[name]
    assert isinstance(value, int)
    return value
