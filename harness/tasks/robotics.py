"""gymnasium-robotics' environments, made by the dozen: one model for all, and no litter."""

from __future__ import annotations

import contextlib
import functools
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
from gymnasium.envs.mujoco import MujocoEnv

# The import prints a notice about Adroit versions that cannot be installed; scores made here state
# their semantics themselves.
with contextlib.redirect_stderr(io.StringIO()):
    from gymnasium_robotics.envs import adroit_hand
    from gymnasium_robotics.envs.maze import point_maze


class _LightPoint(point_maze.PointEnv):  # type: ignore[misc]
    """The point with a model shared by all its kind, which saves 12 MB and 60 ms each.

    Sharing changes no physics: only the drawn target is written to the model.
    """

    def _initialize_simulation(self) -> tuple[Any, Any]:
        model = _compiled(Path(self.fullpath).read_text("utf-8"))
        return model, mujoco.MjData(model)


@functools.cache
def _compiled(xml: str) -> Any:
    return mujoco.MjModel.from_xml_string(xml)


class _LightHand(MujocoEnv):
    """An Adroit hand with a model shared by all its kind, which saves 9 MB and 75 ms each.

    A reset draws places and writes them to the model, the same entries every time. So each
    environment keeps its own and puts them back before it steps.
    """

    def _initialize_simulation(self) -> tuple[Any, Any]:
        model = _loaded(self.fullpath)
        return model, mujoco.MjData(model)

    def set_state(self, qpos: Any, qvel: Any) -> None:
        """Every reset ends with this, once the places are written."""
        super().set_state(qpos, qvel)  # type: ignore[no-untyped-call]
        self._places = [places.copy() for places in self._shared_places()]

    def do_simulation(self, ctrl: Any, n_frames: int) -> None:
        """The first thing a step does."""
        for shared, own in zip(self._shared_places(), self._places, strict=True):
            shared[:] = own
        super().do_simulation(ctrl, n_frames)

    def _shared_places(self) -> tuple[Any, ...]:
        return self.model.body_pos, self.model.body_quat, self.model.site_pos


@functools.cache
def _loaded(path: str) -> Any:
    return mujoco.MjModel.from_xml_path(path)


_HEAVY_HANDS = {
    adroit_hand.adroit_pen: adroit_hand.AdroitHandPenEnv,
    adroit_hand.adroit_door: adroit_hand.AdroitHandDoorEnv,
    adroit_hand.adroit_hammer: adroit_hand.AdroitHandHammerEnv,
    adroit_hand.adroit_relocate: adroit_hand.AdroitHandRelocateEnv,
}
_LIGHT_HANDS = {
    module: type(heavy.__name__, (_LightHand, heavy), {}) for module, heavy in _HEAVY_HANDS.items()
}


@contextlib.contextmanager
def light_environments(*, share: bool = True) -> Iterator[None]:
    """Mazes and hands made inside share their models; mazes leave no files behind.

    share: False for one that is drawn, as a shared model shows another environment's goal.

    gymnasium-robotics writes each maze's model to the temporary directory, under a name made of
    the clock alone, which two processes can share, and never removes it.
    """
    heavy, directory = point_maze.PointEnv, tempfile.tempdir
    with tempfile.TemporaryDirectory() as private:
        tempfile.tempdir = private
        if share:
            point_maze.PointEnv = _LightPoint
            _use(_LIGHT_HANDS)
        try:
            yield
        finally:
            point_maze.PointEnv, tempfile.tempdir = heavy, directory
            _use(_HEAVY_HANDS)


def _use(hands: dict[Any, Any]) -> None:
    """Put these classes where the registered environments are looked up."""
    for module, hand in hands.items():
        setattr(module, hand.__name__, hand)
