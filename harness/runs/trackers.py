"""Copies of a run's numbers for experiment trackers: TensorBoard, W&B, MLflow, Aim.

They are for looking at: no report reads them, a run without them has the same results, and what a
tracker cannot take never stops one. Workers log their runs themselves, whoever started them, since
a trial of Ray Tune holds several seeds. A tracker knows its user from its own login or environment
variables; nothing of that is stored.
"""

from __future__ import annotations

import math
import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from harness.errors import UserError, nearest
from harness.files import write_bytes
from harness.runs.spec import RunSpec
from harness.runs.trial import LOCKS

FOLDER = "tracking"  # of a run's own; not sealed and not packed
ALWAYS = "tensorboard"
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow", "aim": "aim"}


Values = Mapping[str, float]


@dataclass(frozen=True)
class Tracked:
    """The run that a tracker is to know.

    Attributes:
        spec: what it is.
        suite_dir: results/<suite>.
    """

    spec: RunSpec
    suite_dir: Path

    @property
    def folder(self) -> Path:
        """Where trackers leave files of the run's own."""
        return self.suite_dir / self.spec.folder / FOLDER

    @property
    def project(self) -> str:
        """The suite's name."""
        return self.suite_dir.name

    @property
    def name(self) -> str:
        """Among the project's runs."""
        return f"{self.spec.task.id} {self.spec.label} seed {self.spec.seed}"

    def kept_id(self, tracker: str) -> str | None:
        """The id under which a tracker knows the run, if it went on before."""
        path = self.folder / f"{tracker}.id"
        return path.read_text().strip() if path.is_file() else None

    def keep_id(self, tracker: str, found: str) -> None:
        """Remember it for when the run goes on."""
        write_bytes(self.folder / f"{tracker}.id", f"{found}\n".encode())


class Tracker(Protocol):
    """Takes a run's numbers; made with a `Tracked` once there are some."""

    def log(self, step: int, values: Values) -> None:
        """Numbers by name, after so many gradient steps."""

    def close(self, *, done: bool) -> None:
        """There are no more now; `done`: nor ever."""


class TensorBoard:
    """An event file in the run's folder; one more each time that the run goes on."""

    def __init__(self, run: Tracked) -> None:
        # Not the package's own writer, which names files after the host and starts a process.
        from tensorboardX import RecordWriter
        from tensorboardX.proto import event_pb2, summary_pb2

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        run.folder.mkdir(parents=True, exist_ok=True)
        self._writer = RecordWriter(str(run.folder / f"events.out.tfevents.{time.time_ns()}"))
        self._write(file_version="brain.Event:2")

    def log(self, step: int, values: Values) -> None:
        pairs = [self._summary.Value(tag=k, simple_value=v) for k, v in values.items()]
        self._write(step=step, summary=self._summary(value=pairs))

    def close(self, *, done: bool) -> None:
        self._writer.close()

    def _write(self, **content: Any) -> None:
        event = self._event(wall_time=time.time(), **content)
        self._writer.write(event.SerializeToString())
        self._writer.flush()


class Wandb:
    """A W&B run in the project of the suite's name, or of WANDB_PROJECT."""

    def __init__(self, run: Tracked) -> None:
        import wandb

        known = run.kept_id("wandb") or uuid.uuid4().hex
        run.keep_id("wandb", known)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or run.project,
            id=known,
            resume="allow",
            reinit="create_new",  # a worker has a run for each of its seeds
            name=run.name,
            group=f"{run.spec.task.id} {run.spec.label}",
            config=run.spec.to_json(),
            dir=str(run.folder),
        )

    def log(self, step: int, values: Values) -> None:
        self._run.log(dict(values), step=step)

    def close(self, *, done: bool) -> None:
        self._run.finish()


class Mlflow:
    """An MLflow run in the experiment of the suite's name.

    In the store that MLFLOW_TRACKING_URI names, or else in `mlflow.db` of the suite's results.
    """

    def __init__(self, run: Tracked) -> None:
        from mlflow import MlflowClient

        own = f"sqlite:///{run.suite_dir / 'mlflow.db'}"
        known = run.kept_id("mlflow")
        # One worker at a time, as the first of all makes the store and the experiment.
        with FileLock(run.suite_dir / LOCKS / "mlflow.lock"):
            self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or own)
            self._id = known or self._begin(run)
        if known is None:
            run.keep_id("mlflow", self._id)

    def log(self, step: int, values: Values) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self, *, done: bool) -> None:
        self._client.set_terminated(self._id, "FINISHED" if done else "KILLED")

    def _begin(self, run: Tracked) -> str:
        found = self._client.get_experiment_by_name(run.project)
        experiment = found.experiment_id if found else self._client.create_experiment(run.project)
        tags = {"harness.hash": run.spec.hash}
        made = self._client.create_run(experiment, run_name=run.name, tags=tags).info.run_id
        spec = run.spec
        facts = {"task": spec.task.id, "label": spec.label, "seed": spec.seed, **spec.config}
        for name, value in facts.items():
            self._client.log_param(made, name, value)
        return str(made)


class Aim:
    """An Aim run in the repository that AIM_REPO names, or else in the suite's results."""

    def __init__(self, run: Tracked) -> None:
        import aim

        # One worker at a time, as Aim refuses a repository that another is just making.
        with FileLock(run.suite_dir / LOCKS / "aim.lock"):
            self._run = aim.Run(
                run_hash=run.kept_id("aim"),
                repo=os.environ.get("AIM_REPO") or str(run.suite_dir),
                experiment=run.project,
                system_tracking_interval=None,
                capture_terminal_logs=False,
            )
        self._run.name = run.name
        self._run["spec"] = run.spec.to_json()
        run.keep_id("aim", self._run.hash)

    def log(self, step: int, values: Values) -> None:
        for name, value in values.items():
            self._run.track(value, name=name, step=step)

    def close(self, *, done: bool) -> None:
        self._run.close()


_KINDS: dict[str, Callable[[Tracked], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "mlflow": Mlflow,
    "aim": Aim,
}


@dataclass
class Trackers:
    """All trackers of one run. They are started by the first numbers there are.

    Attributes:
        note: what went wrong with them, in words; such a tracker is given no more.
    """

    run: Tracked
    names: Sequence[str]
    note: str = ""
    _started: dict[str, Tracker] | None = field(default=None, init=False)

    def log(self, step: int, values: Values) -> None:
        """Numbers by name, after so many gradient steps; what is not finite is left out."""
        if self._started is None:
            self._started = {}
            for name in self.names:
                self._try(name, "start", partial(self._start, name))
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        for name, tracker in [*self._started.items()]:
            self._try(name, "log", partial(tracker.log, step, finite))

    def close(self, *, done: bool) -> None:
        """There are no more now; `done`: nor ever."""
        for name, tracker in [*(self._started or {}).items()]:
            self._try(name, "end", partial(tracker.close, done=done))
        self._started = None

    def _start(self, name: str) -> None:
        assert self._started is not None
        self._started[name] = _KINDS[name](self.run)

    def _try(self, name: str, what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # whatever a tracker's package raises, the run goes on
            (self._started or {}).pop(name, None)
            reason = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
            self.note = f"{name} could not {what} and is left out ({reason})"


def installed_trackers(asked: Iterable[str]) -> tuple[str, ...]:
    """The trackers of an invocation: those asked for, and TensorBoard where its package is.

    Raises UserError for one that is none, or whose package is not installed.
    """
    names = list(dict.fromkeys(asked))
    for name in names:
        if name not in _PACKAGES:
            raise UserError(
                f"There is no tracker '{name}'.{nearest(name, _PACKAGES)} There are "
                f"{', '.join(_PACKAGES)}."
            )
        if find_spec(_PACKAGES[name]) is None:
            raise UserError(
                f"--log {name} needs the package {_PACKAGES[name]}, which is not installed: "
                f"pip install {_PACKAGES[name]}, or leave it out."
            )
    there = [ALWAYS] if find_spec(_PACKAGES[ALWAYS]) is not None else []
    return tuple(dict.fromkeys([*there, *names]))
