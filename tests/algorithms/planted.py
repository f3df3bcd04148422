"""A method of a third party's own: a small package with an entry point, to plant mistakes in."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ID, MODULE, CLASS = "planted", "planted_method", "Planted"

SOURCE = '''\
"""A twin critic, and an actor that climbs it."""

import random

import numpy as np
import torch

from algorithms.base import Adam, Algorithm, Config, Normal, Phase, Stage
from algorithms.networks import MLP


class Settings(Config):
    """Nothing of its own."""


class Planted(Algorithm[Settings]):
    """max_a min_i Q_i(s, a)."""

    Config = Settings

    def create(self):
        obs, act, hidden = self.obs_dim, self.action_dim, self.config.hidden_dims
        self.networks = {
            "actor": MLP(obs + act, act, hidden),
            "critic": MLP(obs + act, 1, hidden, ensemble=2),
        }
        self.optimizers = {name: Adam(1e-3) for name in self.networks}
        self.targets = {"critic": 0.005}
        self.noise = {"smoothing": Normal(act)}
        self.act_noise = {"gaussian": Normal(act)}
        critic = Phase(
            self.critic_loss,
            ("critic",),
            updates_targets=("critic",),
        )
        actor = Phase(self.actor_loss, ("actor",))
        self.stages = (Stage((critic, actor)),)

    def critic_loss(self, nets, batch, noise):
        next_actions = nets.frozen.actor(batch.next_observations, noise["smoothing"])
        next_q = nets.target.critic(batch.next_observations, next_actions).amin(1)
        backup = batch.rewards + 0.99 * batch.masks * next_q
        q = nets.critic(batch.observations, batch.actions)
        error = q - backup.unsqueeze(1)
        loss = error.square().mean((1, 2))
        return loss, {"critic/loss": loss}

    def actor_loss(self, nets, batch, noise):
        actions = nets.actor(batch.observations, noise["smoothing"])
        q = nets.frozen.critic(batch.observations, actions).amin(1)
        return -q.mean(-1), {"actor/q": q.mean(-1)}

    def online_phases(self):
        return self.stages[0].phases

    def act(self, nets, observations, noise):
        actions = torch.tanh(nets.actor(observations, noise["gaussian"]))
        return actions
'''


class Package:
    """Where the method is; one test's, and gone after it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / f"{MODULE}.py"
        self._info = folder / "planted-1.0.dist-info"
        self._info.mkdir(parents=True)
        (self._info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
        self.point_to(f"{MODULE}:{CLASS}")
        self.write()

    def point_to(self, target: str) -> None:
        """Set what the entry point names."""
        text = f"[harness.algorithms]\n{ID} = {target}\n"
        (self._info / "entry_points.txt").write_text(text)

    def write(self, *changes: tuple[str, str], source: str = SOURCE) -> str:
        """Write the method, or another, with some of its text changed; returns all of it."""
        text = source
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.file.write_text(text)
        return text

    def line(self, text: str) -> str:
        """`file:line` of the only line that has `text`."""
        lines = self.file.read_text().splitlines()
        [number] = [i for i, line in enumerate(lines, 1) if text in line]
        return f"{self.file.name}:{number}"


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """The package on this process's path, and on that of processes it starts."""
    package = Package(folder)
    monkeypatch.syspath_prepend(folder)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), before]).strip(os.pathsep))
    yield package
    sys.modules.pop(MODULE, None)
