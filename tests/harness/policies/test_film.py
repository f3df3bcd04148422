"""A film of the first episode, at the simulation's speed, without a screen."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from harness.errors import UserError
from harness.policies.film import Film, check_film, filmed_environment, write_film
from harness.tasks import get_task


class Counter(gym.Env[Any, Any]):
    """Its pictures are as bright as its step; an episode has 20."""

    observation_space = gym.spaces.Box(-1, 1, (1,))
    action_space = gym.spaces.Box(-1, 1, (2,))

    def __init__(self, rate: int) -> None:
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": rate}
        self.count = 0

    def reset(self, **_: Any) -> Any:
        self.count = 0
        return np.zeros(1), {}

    def step(self, _: Any) -> Any:
        self.count += 1
        return np.zeros(1), 0.0, False, self.count == 20, {}

    def render(self) -> Any:
        return np.full((40, 60, 3), 10 * self.count, np.uint8)


@pytest.mark.parametrize(("rate", "every"), [(20, 1), (50, 2), (125, 5)])
def test_it_has_the_first_episode_and_its_speed(rate: int, every: int, tmp_path: Path) -> None:
    film = Film(Counter(rate))
    for _ in range(2):
        film.reset()
        while not film.step(None)[3]:
            pass
    assert [frame[0, 0, 0] // 10 for frame in film.frames] == [*range(0, 21, every)]
    write_film(film, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as found:
        assert found.n_frames == 20 // every + 1  # type: ignore[attr-defined]
        assert found.info["duration"] == pytest.approx(1000 * every / rate, abs=10)


def test_a_file_that_cannot_be_written_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UserError, match=r"ends in \.gif, \.webp, \.mp4; found film\.avi"):
        check_film(Path("film.avi"))
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(UserError, match=r"takes ffmpeg, which is not on PATH"):
        check_film(Path("film.mp4"))


def test_no_renderer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(UserError, match="can render nothing here without a screen: install EGL"):
        filmed_environment(get_task("pointmaze/umaze"))
