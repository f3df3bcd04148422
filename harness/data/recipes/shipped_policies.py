"""Policies that come with this package: their levels are rolled out without a training.

The folder of a body is what its training left (`sac_training.py`), but for the replay buffer and
the state, and with those policies alone that levels are made of: manifest.json, curve.csv and
policies/<step>.npz. The sha256 of each is in `harness/tasks/made.py`. To put a body's there, once
its training is through:

    python -m harness.data.recipes.shipped_policies hopper
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

from harness.data.datasets import Progress, silent
from harness.data.recipes.sac_checkpoint import CURVE, SacEvaluation, best_of, read_curve
from harness.data.recipes.sac_training import MANIFEST, SACTraining, policy_of
from harness.errors import UserError
from harness.files import parse_object, short_digest
from harness.tasks import get_task
from harness.tasks.spec import TaskSpec

FOLDER = Path(__file__).parents[1] / "policies"


class ShippedPolicies:
    """Of a finished training, as `SACTraining` tells of it.

    Raises UserError, also from `policy`, for files that are not those that the task names.

    Attributes:
        task: one of the levels.
        key: names the training.
    """

    def __init__(self, task: TaskSpec) -> None:
        self.task = task
        self._folder = FOLDER / task.id.split("/")[1]
        self._evaluations = read_curve(self._folder)
        try:
            self.key = short_digest(parse_object((self._folder / MANIFEST).read_bytes()))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self._folder / MANIFEST} cannot be read ({error}). Install this package anew."
            ) from error

    def medium(self, report: Progress) -> SacEvaluation:
        """The first evaluation of at least the task's medium score."""
        wanted = self.task.dataset.params["medium_score"]
        assert isinstance(wanted, int)
        found = next((each for each in self._evaluations if each.score >= wanted), None)
        if found is None:
            raise UserError(
                f"{self._folder / CURVE} never reaches {wanted} points. Install this package anew."
            )
        return found

    def expert(self, report: Progress) -> SacEvaluation:
        """The best evaluation."""
        return best_of(self._evaluations)

    def policy(self, evaluation: SacEvaluation) -> Path:
        """The policy's file."""
        path, policies = policy_of(self._folder, evaluation), self.task.dataset.params["policies"]
        assert isinstance(policies, dict)
        if not path.is_file() or sha256_of(path) not in policies.values():
            raise UserError(
                f"{path} is not the policy that {self.task.dataset.id} is of. Install this package "
                "anew."
            )
        return path


def ship(task: TaskSpec) -> dict[str, str]:
    """Copy what is needed of the task's training; returns the sha256 of each part's policy.

    Trains up to there if need be, and raises UserError where that does.
    """
    training, folder = SACTraining(task), FOLDER / task.id.split("/")[1]
    shutil.rmtree(folder, ignore_errors=True)
    parts = {"medium": training.medium(silent), "expert": training.expert(silent)}
    for evaluation in parts.values():
        path = policy_of(folder, evaluation)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(training.policy(evaluation), path)
    for name in (MANIFEST, CURVE):
        shutil.copyfile(training.folder / name, folder / name)
    return {part: sha256_of(policy_of(folder, each)) for part, each in parts.items()}


def sha256_of(path: Path) -> str:
    """Of a policy's file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    print(json.dumps(ship(get_task(f"made/{sys.argv[1]}/expert")), indent=4))
