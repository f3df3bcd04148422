"""D4RL's locomotion data remade: SAC trained online, its replay buffer, and its policies' episodes.

Paper: Fu et al., D4RL, arXiv:2004.07219, Section 5: `medium` is made by a policy "trained to
approximately 1/3 the performance of the expert", `medium-replay` is the replay buffer up to there,
`medium-expert` has equal amounts of both policies' episodes. Source read for facts: D4RL
scripts/generation/mujoco/collect_data.py @ 0fce1e7 (episodes of the stochastic policy).

Deviations:
* The medium level is found by evaluations of the stochastic policy, the first that scores
  `medium_score`, a third of the reference expert's 100 points unless told otherwise. D4RL does not
  say when it stopped; its medium data score 42, 44 and 62.
* `expert` is the training's best policy by its evaluations, at whatever score, as SAC's still falls
  now and then at the end; D4RL: "to completion".
* SAC is this project's (`baselines/soft_actor_critic.py`); D4RL's is rlkit's, which explores with
  its policy.
* Whole episodes, as many as fit; D4RL cuts the last one. Observations of the replay buffer have the
  float32 precision that SAC saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import pairwise

import numpy as np
from pydantic import JsonValue

from algorithms.transitions import Transitions
from harness.data.datasets import Progress, silent
from harness.data.minari_format import EpisodeArrays
from harness.data.recipe import Origin, Recipe, whole_episodes
from harness.data.recipes.policy_rollout import Behavior, episode_scores, mean_and_error
from harness.data.recipes.sac_checkpoint import SacEvaluation
from harness.data.recipes.sac_training import SACTraining
from harness.data.recipes.shipped_policies import ShippedPolicies, sha256_of
from harness.tasks import words
from harness.tasks.environment import make_unwrapped
from harness.tasks.made import PARTS
from harness.tasks.spec import TaskSpec

Training = SACTraining | ShippedPolicies


class Locomotion(Recipe):
    """The recipe, for any body and level."""

    def prepare(self, task: TaskSpec, report: Progress) -> None:
        """Train as far as the level needs, where this package has not its policies."""
        _evaluations(task, report)

    def episodes(
        self, task: TaskSpec, workers: int | None, progress: Callable[[int], None]
    ) -> Iterator[EpisodeArrays]:
        """The replay buffer, or an equal share of each policy's episodes, one after the other."""
        training, done = _training(task), 0
        limit = task.dataset.params.get("transitions")
        assert limit is None or isinstance(limit, int)
        for part, evaluation in _evaluations(task).items():
            if isinstance(training, SACTraining) and part == "medium-replay":
                made = whole_episodes(_recorded(training.replay(evaluation)), limit)
            else:
                made = self._rolled_out(training, part, evaluation, workers)
            for episode in made:
                done += len(episode["actions"])
                progress(done)
                yield episode

    def constants(self, task: TaskSpec) -> dict[str, JsonValue]:
        """The training, and where in it each part is from."""
        training = _training(task)
        found: dict[str, JsonValue] = {"training": training.key}
        if isinstance(training, SACTraining):
            found["torch"] = version("torch")
        for part, evaluation in _evaluations(task).items():
            found |= {
                f"{part} at step": evaluation.step,
                f"{part} score in training": evaluation.score,
                f"{part} policy_sha256": sha256_of(training.policy(evaluation)),
            }
        return found

    def origin(self, task: TaskSpec) -> Origin:
        """For Minari's metadata."""
        params, parts = task.dataset.params, _evaluations(task)
        texts = "; ".join(_said(part, evaluation) for part, evaluation in parts.items())
        whose = " The policies come with this project." if "policies" in params else ""
        return Origin(
            algorithm="SAC (this project's)",
            text=(
                "LOCAL, made on this machine and not a download of D4RL's or Minari's dataset: "
                f"D4RL's locomotion recipe rerun in {task.environment.id} with this project's SAC, "
                f"seed {params['seed']}: {texts}.{whose} Rewards and terminations are the "
                f"evaluation task's: {words.semantics(task)}"
            ),
            environment=make_unwrapped(task.environment, task.horizon),
            requirements=("gymnasium", "mujoco"),
        )

    def details(self, task: TaskSpec, data: Transitions) -> str:
        """The normalized score of the episodes; where they are from is among the constants."""
        return f"normalized score of the episodes: {mean_and_error(episode_scores(task, data))}"

    def _rolled_out(
        self, training: Training, part: str, evaluation: SacEvaluation, workers: int | None
    ) -> Iterator[EpisodeArrays]:
        task = training.task
        transitions, seed = task.dataset.params["transitions"], task.dataset.params["seed"]
        assert isinstance(transitions, int)
        assert isinstance(seed, int)
        share = transitions // len(PARTS[str(task.dataset.params["level"])])
        name = f"sac-{part}-{training.key}"
        behavior = Behavior(task, training.policy(evaluation), name, seed, ("stochastic",))
        return behavior.episodes(share, workers)


def _training(task: TaskSpec) -> Training:
    """Of the policies that come with this package, or on this machine."""
    return ShippedPolicies(task) if "policies" in task.dataset.params else SACTraining(task)


def _evaluations(task: TaskSpec, report: Progress = silent) -> dict[str, SacEvaluation]:
    """Where in the training each part of the task's level is from, trained up to if need be."""
    training = _training(task)
    levels = {"medium-replay": training.medium, "medium": training.medium}
    levels["expert"] = training.expert
    return {part: levels[part](report) for part in PARTS[str(task.dataset.params["level"])]}


def _recorded(replay: Transitions) -> Iterator[EpisodeArrays]:
    """The episodes of a replay buffer."""
    for start, end in pairwise([0, *replay.episode_ends().tolist()]):
        seen = slice(start, end)
        states = [replay.observations[seen], replay.next_observations[end - 1 : end]]
        yield {
            "observations": np.concatenate(states).astype(np.float64),
            "actions": replay.actions[seen],
            "rewards": replay.rewards[seen].astype(np.float64),
            "terminations": replay.terminals[seen] > 0,
            "truncations": replay.timeouts[seen] > 0,
        }


def _said(part: str, evaluation: SacEvaluation) -> str:
    kind = "everything seen up to" if part == "medium-replay" else "episodes of the policy at"
    return (
        f"{part}: {kind} step {evaluation.step:,}, where the stochastic policy scored "
        f"{evaluation.score:.1f} points"
    )


RECIPE = Locomotion()
