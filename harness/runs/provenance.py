"""Where a run's numbers come from: code, packages, machine and data. No host or user names."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from algorithms import registry
from algorithms.source import module_file
from harness import __version__

_CGROUP = Path("/sys/fs/cgroup")
_OURS = "decision-flow-harness"
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
_UNKNOWN = {  # what git says -> why there is no commit
    "not a git repository": "it is in no git checkout",
    "dubious ownership": (
        "its checkout belongs to another user, whom git does not trust; to trust it: git config "
        "--global --add safe.directory FOLDER"
    ),
}


def provenance(
    *,
    algorithm: Mapping[str, Any],
    command: str,
    executor: str,
    seeds: list[int],
    compiled: bool,
    dataset: Mapping[str, Any],
) -> dict[str, Any]:
    """What `provenance.json` holds.

    Args:
        algorithm: what `algorithm_facts` says of the method.
        command: the command line that asked for the run.
        executor: "local" or "ray".
        seeds: all seeds that trained together in the run's trial; they share its seconds.
        compiled: whether updates were compiled; a spec that asks for it may find no compiler.
        dataset: id, sha256 and manifest of the data.
    """
    import torch

    return {
        "algorithm": dict(algorithm),
        "command": command,
        "executor": executor,
        "trial_seeds": seeds,
        "compiled": compiled,
        **circumstances(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "matmul_precision": torch.get_float32_matmul_precision(),
        "dataset": dict(dataset),
    }


def circumstances() -> dict[str, Any]:
    """The code, packages and processor that anything measured here comes from."""
    return {
        "git": git_state(),
        "packages": package_versions(),
        "cpu": cpu_model(),
        "cores": core_count(),
    }


def algorithm_facts(algorithm_id: str, code: str) -> dict[str, Any]:
    """A method's module, the digest of its code, and where others have it from."""
    info = registry.algorithms()[algorithm_id]
    ours = info.distribution == _OURS
    facts = {
        "id": algorithm_id,
        "module": info.module,
        "code": code,
        "package": info.distribution,
        "version": __version__ if ours else package_version(info.distribution),
    }
    file = module_file(info.module)
    return facts if ours or file is None else facts | {"git": git_state(file)}


def git_state(file: Path = Path(__file__)) -> dict[str, Any]:
    """The commit of the checkout that a file, or else the harness, is in, and whether it changed.

    Its results do not count: a run that writes them anew would make itself dirty.
    Or why that is `unknown`, as outside git and in a checkout that git does not trust.
    """
    folder, name = file.resolve().parent, file.resolve().name
    try:
        head = _git(folder, "rev-parse", "HEAD")
        if head.returncode:
            reasons = (reason for words, reason in _UNKNOWN.items() if words in head.stderr)
            return {"unknown": next(reasons, "git knows no commit of its checkout")}
        if _git(folder, "check-ignore", name).stdout:
            return {"unknown": "git ignores it, as it does a virtual environment"}
        code = (":/", ":(top,exclude)results")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no", *code).stdout
        dirty = bool(changes) or not _git(folder, "ls-files", name).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {"unknown": "git is not installed, or does not answer"}
    return {"commit": head.stdout.strip(), "dirty": dirty}


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=10,
        env={**os.environ, "LC_ALL": "C"},
    )


def package_versions() -> dict[str, str | None]:
    """Versions of the packages that can change a number; None where not installed."""
    # Ours as its code says, since a checkout may be newer than what was installed.
    others = {name: package_version(name) for name in _PACKAGES}
    return {_OURS: __version__, **others}


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
    """Cores this process may use: of the machine, or less of the container it is in."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = map(int, (_CGROUP / "cpu.max").read_text().split())
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return cores
    return min(cores, max(1, quota // period))
