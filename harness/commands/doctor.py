"""`harness doctor`: what this machine has, what is missing, and what that costs."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec

from rich.console import Console
from rich.table import Table

from harness.data import data_root
from harness.data.local_files import DATASETS, POLICIES
from harness.data.sources import d4rl
from harness.data.sources.minari_roots import user_root
from harness.runs.provenance import core_count, cpu_model, git_state, package_versions

_GOOD, _MISSING = "ok", "missing"


def examine(console: Console) -> None:
    """Print one line for each thing that matters. Imports torch only to ask for GPUs."""
    table = Table(box=None, pad_edge=False)
    for column in ("what", "state", "found", "consequence"):
        table.add_column(column, overflow="fold")
    for row in (*_packages(), *_hardware(), _compiler(), _ray(), _git(), *_data(), _space()):
        table.add_row(*row)
    console.print(table)


def _packages() -> list[tuple[str, str, str, str]]:
    python = platform.python_version()
    supported = (3, 11) <= sys.version_info < (3, 13)
    rows = [
        (
            "python",
            _GOOD if supported else "unsupported",
            python,
            "" if supported else "needs Python 3.11 or 3.12",
        )
    ]
    for name, version in package_versions().items():
        if name == "ray":  # optional
            continue
        consequence = "" if version else f"nothing runs without it: pip install {name}"
        rows.append((name, _GOOD if version else _MISSING, version or "", consequence))
    return rows


def _hardware() -> list[tuple[str, str, str, str]]:
    gpus = _gpus()
    return [
        ("cores", _GOOD, f"{core_count()} x {cpu_model()}", ""),
        (
            "GPUs",
            _GOOD if gpus else "none",
            ", ".join(gpus),
            "" if gpus else "runs train on the CPU, one core a trial",
        ),
    ]


def _gpus() -> list[str]:
    if find_spec("torch") is None:
        return []
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _compiler() -> tuple[str, str, str, str]:
    found = next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), None)
    if found is None:
        cost = "training runs uncompiled, about half as fast: install g++"
        return ("C++ compiler", _MISSING, "", cost)
    printed = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
    return ("C++ compiler", _GOOD, (printed.splitlines() or [found])[0], "")


def _ray() -> tuple[str, str, str, str]:
    version = package_versions()["ray"]
    cost = "no clusters; this machine alone works with --executor local: pip install 'ray[tune]'"
    return ("ray", _GOOD if version else _MISSING, version or "", "" if version else cost)


def _git() -> tuple[str, str, str, str]:
    state = git_state()
    if state is None:
        return ("git", "none", "", "results do not record the commit that made them")
    return ("git", _GOOD, f"{state['commit'][:12]}{' + changes' if state['dirty'] else ''}", "")


def _data() -> list[tuple[str, str, str, str]]:
    """The folders that data are looked for in, and how to name others."""
    rows = []
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
            f"tasks local/…/mixed have no data (docs/data.md): {POLICIES.variable}",
        ),
    ):
        there = folder.is_dir()
        rows.append((what, _GOOD if there else "none", str(folder), "" if there else cost))
    return rows


def _space() -> tuple[str, str, str, str]:
    free = shutil.disk_usage(".").free / 1e9
    enough = free > 2
    cost = "" if enough else "a suite may need more: 1M transitions take about 0.1 GB"
    return ("disk", _GOOD if enough else "low", f"{free:.0f} GB free here", cost)
