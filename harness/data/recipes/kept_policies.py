"""Users' policy files that were rolled out: copies under the data root, so that tasks find them."""

from __future__ import annotations

from pathlib import Path

from harness.data.recipes.policy_files import load_policy, policy_environment
from harness.data.store import data_root, write_errors_explained
from harness.errors import UserError
from harness.files import write_bytes
from harness.tasks import get_task, make_environment
from harness.tasks.rollouts import ENVIRONMENTS, is_policy_name, rollout_id


def keep_policy(
    file: Path, *, environment: str | None, deterministic: bool, force: bool = False
) -> str:
    """Copy a policy to where its rollouts look for it; returns the id of their task.

    Args:
        file: in the format of `policy_files.py`; its name without the ending is the policy's.
        environment: one of `rollouts.ENVIRONMENTS`; None: what the file says.
        deterministic: whether to act by the policy's mean.
        force: replace another policy of this name.

    Raises UserError for a file that is no policy or has no usable name, for an environment that is
    not known or does not fit the policy, and for a name that another policy has already.
    """
    name, where = file.name.removesuffix(".npz"), environment or policy_environment(file)
    if not is_policy_name(name):
        raise UserError(
            f"The policy's file name is part of its datasets' ids: rename {file.name} to small "
            "letters, digits, - and _ that do not end like a size, a seed or a version, such as "
            "my-policy.npz."
        )
    if where not in ENVIRONMENTS:
        found = (
            f"'{environment}' is no environment for rollouts"
            if environment
            else f"{file} does not say what it acts in"
            if where is None
            else f"{file} says it acts in '{where}', which is no environment for rollouts"
        )
        raise UserError(f"{found}. Give --environment one of: {', '.join(ENVIRONMENTS)}.")
    task_id = rollout_id(where, name, deterministic=deterministic)
    _check_dims(file, task_id)
    kept, content = _kept(name), file.read_bytes()
    if kept.exists() and kept.read_bytes() != content and not force:
        raise UserError(
            f"Another policy called {name} was rolled out before. Rename {file.name}, or replace "
            "the former one and this dataset with --force."
        )
    with write_errors_explained(kept):
        write_bytes(kept, content)
    return task_id


def kept_policy(name: str) -> Path:
    """The copy. Raises UserError if there is none."""
    if not _kept(name).is_file():
        raise UserError(
            f"The policy {name} is not on this machine. Roll its file out with: "
            f"python -m harness data make --policy {name}.npz (its path)"
        )
    return _kept(name)


def _kept(name: str) -> Path:
    return data_root() / "policies" / f"{name}.npz"


def _check_dims(file: Path, task_id: str) -> None:
    environment = make_environment(get_task(task_id))
    spaces = (environment.observation_space.shape, environment.action_space.shape)
    wanted = tuple(shape[0] for shape in spaces if shape)
    found = load_policy(file).dims
    if found != wanted:
        raise UserError(
            f"{file} takes {found[0]} numbers and gives {found[1]}, but {task_id} has observations "
            f"of {wanted[0]} and actions of {wanted[1]}. Give --environment the one it was trained "
            "in."
        )
