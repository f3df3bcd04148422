"""What a training of SAC goes on from: learning state, replay buffer and evaluations, on disk.

The replay file only ever grows; the state is replaced whole after it and says how many of its rows
count. So a process may be killed at any time: what it had appended since is cut off again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from algorithms.transitions import Transitions, row_width
from harness.errors import UserError
from harness.files import write_bytes

STATE, REPLAY, CURVE = "state.safetensors", "replay.f32", "curve.csv"
SeedState = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class SacEvaluation:
    """How the stochastic policy did after `step` environment steps and so many `episodes`."""

    step: int
    episodes: int
    score: float  # normalised, in points
    mean_return: float
    mean_length: float


@dataclass(frozen=True)
class SacCheckpoint:
    """One moment of a training, between two episodes.

    Attributes:
        folder: of the training.
        state: the learning state; empty before the first update.
        rows: steps so far, and rows of the replay file that count.
        explored: those of uniform actions, which come first.
        episodes: of the online training.
        evaluations: in order.
        obs_dim: of a row.
        action_dim: of a row.
        sha256: of the rows that count.
    """

    folder: Path
    state: SeedState
    rows: int
    explored: int
    episodes: int
    evaluations: tuple[SacEvaluation, ...]
    obs_dim: int
    action_dim: int
    sha256: str

    @classmethod
    def begin(cls, folder: Path, explored: Transitions) -> SacCheckpoint:
        """The moment after exploration; nothing is on disk but its rows."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / REPLAY).write_bytes(b"")
        dims = (explored.obs_dim, explored.action_dim)
        empty = cls(folder, {}, 0, len(explored), 0, (), *dims, sha256="")
        return replace(empty, rows=len(explored), sha256=empty._append(explored))

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether a checkpoint has been written."""
        return (folder / STATE).exists()

    @classmethod
    def read(cls, folder: Path) -> SacCheckpoint:
        """The latest one. Raises UserError if it cannot be read."""
        try:
            with safe_open(folder / STATE, framework="numpy") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                written = json.loads(file.metadata()["training"])
            evaluations = tuple(SacEvaluation(**each) for each in written.pop("evaluations"))
            return cls(folder, state, evaluations=evaluations, **written)
        except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
            raise UserError(
                f"{folder / STATE} cannot be read ({error}). Delete the folder {folder} to train "
                "from the start."
            ) from error

    def extended(
        self,
        seen: Transitions,
        state: SeedState,
        episodes: int,
        evaluations: Sequence[SacEvaluation],
    ) -> SacCheckpoint:
        """A later moment, written to disk; `seen` is what came since this one."""
        later = replace(
            self,
            state=state,
            rows=self.rows + len(seen),
            episodes=episodes,
            evaluations=tuple(evaluations),
            sha256=self._append(seen),
        )
        written = {
            field.name: getattr(later, field.name)
            for field in fields(later)
            if field.name not in {"folder", "state", "evaluations"}
        }
        written["evaluations"] = [asdict(each) for each in evaluations]
        content = save(state, {"training": json.dumps(written)})
        write_bytes(self.folder / STATE, content, durable=True)
        write_bytes(self.folder / CURVE, _table(evaluations))
        return later

    def replay(self, steps: int) -> Transitions:
        """The first of the transitions seen. Raises UserError for other bytes than were written."""
        path, width = self.folder / REPLAY, row_width(self.obs_dim, self.action_dim)
        rows = np.fromfile(path, np.float32, self.rows * width)
        if hashlib.sha256(rows.data).hexdigest() != self.sha256:
            raise UserError(
                f"{path} is not what {STATE} beside it says (sha256 expected {self.sha256[:16]}…). "
                f"Delete the folder {self.folder} to train from the start."
            )
        return Transitions(rows.reshape(-1, width)[:steps], self.obs_dim, self.action_dim)

    def _append(self, seen: Transitions) -> str:
        """Write rows behind those that count; returns the sha256 of all."""
        path = self.folder / REPLAY
        with path.open("r+b") as file:
            counting = file.read(self.rows * row_width(self.obs_dim, self.action_dim) * 4)
            digest = hashlib.sha256(counting)
            file.truncate()
            file.write(seen.rows.data)
            digest.update(seen.rows.data)
            file.flush()
            os.fsync(file.fileno())
        return digest.hexdigest()


def best_of(evaluations: Sequence[SacEvaluation]) -> SacEvaluation:
    """The one with the highest score, of equals the first."""
    return max(evaluations, key=lambda evaluation: evaluation.score)


def read_curve(folder: Path) -> tuple[SacEvaluation, ...]:
    """The evaluations of a training that came with this package.

    Raises UserError if they cannot be read.
    """
    try:
        rows = csv.DictReader((folder / CURVE).read_text("utf-8").splitlines())
        counts, numbers = ("step", "episodes"), ("score", "mean_return", "mean_length")
        return tuple(
            SacEvaluation(
                *(int(row[name]) for name in counts), *(float(row[name]) for name in numbers)
            )
            for row in rows
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder / CURVE} cannot be read ({error}). Install this package anew."
        ) from error


def _table(evaluations: Sequence[SacEvaluation]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(SacEvaluation))
    writer.writerows(astuple(each) for each in evaluations)
    return text.getvalue().encode()
