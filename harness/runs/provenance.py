"""Where a run's numbers come from: code, packages, machine and data. No host or user names."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from harness import __version__

_PACKAGES = (
    "torch",
    "numpy",
    "gymnasium",
    "gymnasium-robotics",
    "mujoco",
    "minari",
    "pydantic",
    "ray",
    "safetensors",
)


def provenance(
    *, command: str, executor: str, seeds: list[int], compiled: bool, dataset: Mapping[str, Any]
) -> dict[str, Any]:
    """What `provenance.json` holds.

    Args:
        command: the command line that asked for the run.
        executor: "local" or "ray".
        seeds: all seeds that trained together in the run's trial; they share its seconds.
        compiled: whether updates were compiled; a spec that asks for it may find no compiler.
        dataset: id, sha256 and manifest of the data.
    """
    import torch

    return {
        "command": command,
        "executor": executor,
        "trial_seeds": seeds,
        "compiled": compiled,
        "git": git_state(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": package_versions(),
        "cpu": cpu_model(),
        "cores": core_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "matmul_precision": torch.get_float32_matmul_precision(),
        "dataset": dict(dataset),
    }


def git_state() -> dict[str, Any] | None:
    """The commit of the harness's own checkout and whether it has changes; None outside git."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    status = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(status)} if commit else None


def _git(root: Path, *arguments: str) -> str:
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def package_versions() -> dict[str, str | None]:
    """Versions of the packages that can change a number; None where not installed."""
    # Ours as its code says, since a checkout may be newer than what was installed.
    others = {name: package_version(name) for name in _PACKAGES}
    return {"decision-flow-harness": __version__, **others}


def package_version(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """The processor's name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def core_count() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
