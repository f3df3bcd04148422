"""Loading MuJoCo models without its notes on how they are written."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import mujoco


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Models loaded inside do not print, and log to MUJOCO_LOG.TXT, that an attribute is old.

    HalfCheetah's does, once for every environment. Other warnings become Python's.
    """
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_hear)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def _hear(message: str) -> None:
    if "attribute 'settotalmass' is deprecated" not in message:
        warnings.warn(message, stacklevel=2)
