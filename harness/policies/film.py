"""A film of an episode, rendered without a screen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.errors import UserError
from harness.tasks import make_environment
from harness.tasks.spec import TaskSpec

_RENDERERS = ("egl", "osmesa")  # MuJoCo's that need no screen
_TRY = "import mujoco; context = mujoco.GLContext(64, 64); context.make_current()"
_SIDE, _RATE = 320, 25  # pixels, frames a second; the most of each
_FORMATS = (".gif", ".webp", ".mp4")


class Film(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps pictures of its first episode.

    Attributes:
        frames: uint8 `[height, width, 3]` each.
        rate: frames a second, so that the film is as fast as the simulation.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        steps_a_second = float(env.unwrapped.metadata.get("render_fps", _RATE))
        self._every = max(1, round(steps_a_second / _RATE))
        self.rate = steps_a_second / self._every
        self.frames: list[NDArray[np.uint8]] = []
        self._steps = self._episodes = 0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """An episode begins."""
        found = self.env.reset(**kwargs)
        self._steps, self._episodes = 0, self._episodes + 1
        self._take()
        return found

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of it."""
        found = self.env.step(action)
        self._steps += 1
        self._take()
        return found

    def _take(self) -> None:
        if self._episodes > 1 or self._steps % self._every:
            return
        picture = Image.fromarray(np.asarray(self.env.render(), np.uint8))
        picture.thumbnail((_SIDE, _SIDE))
        self.frames.append(np.asarray(picture))


def filmed_environment(task: TaskSpec) -> Film:
    """The task's environment with a camera. Raises UserError if it or nothing here can render."""
    plain = make_environment(task)
    modes = plain.unwrapped.metadata.get("render_modes") or ()
    plain.close()
    if "rgb_array" not in modes:
        raise UserError(
            f"The environment {task.environment.id} of {task.id} draws no pictures: leave the "
            "video out."
        )
    _use_renderer()
    return Film(make_environment(task, "rgb_array"))


def check_film(path: Path) -> None:
    """Raises UserError for a file that no film can be written to, before there is one."""
    if path.suffix not in _FORMATS:
        raise UserError(f"A video ends in {', '.join(_FORMATS)}; found {path.name}.")
    if path.suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise UserError(
            "Writing .mp4 takes ffmpeg, which is not on PATH: install it, or name the video .webp "
            "or .gif."
        )


def write_film(film: Film, path: Path) -> None:
    """Write what it has seen. Raises UserError as `check_film` does, or if ffmpeg fails."""
    check_film(path)
    if path.suffix == ".mp4":
        return _write_mp4(film, path)
    first, *others = (Image.fromarray(frame) for frame in film.frames)
    first.save(path, save_all=True, append_images=others, duration=round(1000 / film.rate), loop=0)
    return None


def _write_mp4(film: Film, path: Path) -> None:
    height, width, _ = film.frames[0].shape
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{film.rate}"]
    encode = ["-i", "-", "-pix_fmt", "yuv420p", str(path)]
    command = ["ffmpeg", "-y", "-loglevel", "error", *raw, *encode]
    done = subprocess.run(command, input=np.stack(film.frames).tobytes(), capture_output=True)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(f"ffmpeg could not write {path}: {reason[-1] if reason else 'no reason'}.")


def _use_renderer() -> None:
    """Set MUJOCO_GL to one that works here; tried in a process of its own, as it may abort."""
    for name in _RENDERERS:
        environment = {**os.environ, "MUJOCO_GL": name}
        tried = subprocess.run([sys.executable, "-c", _TRY], env=environment, capture_output=True)
        if tried.returncode == 0:
            os.environ["MUJOCO_GL"] = name
            return
    raise UserError(
        "MuJoCo can render nothing here without a screen: install EGL (Debian: libegl1 and "
        "libgl1-mesa-dri) or OSMesa (libosmesa6), or leave the video out."
    )
