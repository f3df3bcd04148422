"""`harness doctor`: what this machine has, what is missing, and what that costs."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.padding import Padding

from harness.data import data_root
from harness.data.local_files import DATASETS, POLICIES
from harness.data.sources import d4rl
from harness.data.sources.minari_roots import user_root
from harness.errors import UserError
from harness.execution.machine import (
    can_load_from,
    compiled_code,
    gpu_problem,
    local_gpus,
    settle_compiled_code,
)
from harness.runs.provenance import core_count, cpu_model, git_state, package_versions

_GOOD, _MISSING = "ok", "missing"


class _Finding(NamedTuple):
    what: str
    state: str
    found: str
    consequence: str = ""


def examine(console: Console, inherited: Mapping[str, str]) -> None:
    """Print a line for each thing that matters, and below it what to do, if anything.

    inherited: variables of the environment that the harness does not use, as they were.
    """
    for line in (*_packages(), *_hardware(), *_ray(), _git(), *_data(), _space()):
        _show(console, line)
    for name, value in inherited.items():
        _show(console, _Finding(name, "unused", value, "figures go to files; nothing is rendered"))


def _show(console: Console, line: _Finding) -> None:
    what, state, found, consequence = line
    # Not wrapped: a path is to be copied whole.
    console.print(f"{what:<22} {state:<9} {found}".rstrip(), markup=False, soft_wrap=True)
    if consequence:
        console.print(Padding(consequence, (0, 0, 0, 4), expand=False), markup=False)


def _packages() -> Iterator[_Finding]:
    supported = (3, 11) <= sys.version_info < (3, 13)
    state, cost = (_GOOD, "") if supported else ("wrong", "the harness needs Python 3.11 or 3.12")
    yield _Finding("python", state, platform.python_version(), cost)
    for name, version in package_versions().items():
        if name == "ray":  # optional
            continue
        cost = "" if version else f"nothing runs without it: pip install {name}"
        yield _Finding(name, _GOOD if version else _MISSING, version or "", cost)


def _hardware() -> Iterator[_Finding]:
    yield _Finding("cores", _GOOD, f"{core_count()} x {cpu_model()}")
    if not local_gpus():
        yield _Finding(
            "GPUs", "none", "", "suites for GPUs train on the CPU, slowly, with: run --cpu"
        )
    elif problem := gpu_problem():
        yield _Finding("GPUs", "unusable", str(len(local_gpus())), problem)
    else:
        yield _Finding("GPUs", _GOOD, ", ".join(_gpus()))
    yield _compiler()
    yield _place_of_compiled_code()


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _compiler() -> _Finding:
    found = next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), None)
    if found is None:
        cost = "training runs uncompiled, about half as fast: install g++"
        return _Finding("C++ compiler", _MISSING, "", cost)
    printed = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
    return _Finding("C++ compiler", _GOOD, (printed.splitlines() or [found])[0])


def _place_of_compiled_code() -> _Finding:
    asked = compiled_code()
    if can_load_from(asked):
        return _Finding("compiled code", _GOOD, str(asked))
    try:
        settle_compiled_code()
    except UserError as error:
        return _Finding("compiled code", "unusable", str(asked), str(error))
    cost = f"mounted noexec, so compiled code goes to {compiled_code()}"
    return _Finding("compiled code", "unusable", str(asked), cost)


def _ray() -> Iterator[_Finding]:
    version = package_versions()["ray"]
    if version is None:
        cost = (
            "no clusters; on this machine alone: run --executor local, or pip install 'ray[tune]'"
        )
        yield _Finding("ray", _MISSING, "", cost)
        return
    yield _Finding("ray", _GOOD, version)
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    mode = os.environ.get("RAY_AUTH_MODE")
    if os.environ.get("RAY_AUTH_TOKEN"):
        found = "RAY_AUTH_TOKEN"
    else:
        found = str(token) if token.exists() else ""
    cost = (
        f"run --address joins clusters with RAY_AUTH_MODE={mode}; unset it to try both"
        if mode
        else "run --address tries without it, then with it"
    )
    yield _Finding("Ray's token", _GOOD if found else "none", found, cost if found or mode else "")


def _git() -> _Finding:
    state = git_state()
    if "unknown" in state:
        cost = f"results do not record the commit of the code: {state['unknown']}"
        return _Finding("git", "unknown", "", cost)
    return _Finding("git", _GOOD, f"{state['commit'][:12]}{' + changes' if state['dirty'] else ''}")


def _data() -> Iterator[_Finding]:
    """The folders that data are looked for in, and how to name others."""
    for what, folder, cost in (
        ("data", data_root(), "made when first needed; another folder: HARNESS_DATA"),
        ("D4RL's files", d4rl.folder(), "harness data fetch gets them; yours: HARNESS_D4RL_DATA"),
        (
            "Minari's datasets",
            user_root(),
            "harness data fetch gets them; yours: MINARI_DATASETS_PATH",
        ),
        (
            "local datasets",
            DATASETS.path,
            f"most tasks local/… have no data (docs/data.md): {DATASETS.variable}",
        ),
        (
            "local policies",
            POLICIES.path,
            f"harness data fetch policies gets them; yours: {POLICIES.variable}",
        ),
    ):
        there = folder.is_dir()
        yield _Finding(what, _GOOD if there else "none", str(folder), "" if there else cost)


def _space() -> _Finding:
    free = shutil.disk_usage(".").free / 1e9
    enough = free > 2
    cost = "" if enough else "a suite may need more: 1M transitions take about 0.1 GB"
    return _Finding("disk", _GOOD if enough else "low", f"{free:.0f} GB free here", cost)
