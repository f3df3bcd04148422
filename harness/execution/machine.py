"""What this machine can train with: GPUs that torch can use, and a place for compiled code."""

from __future__ import annotations

import functools
import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.errors import UserError

NO_GPU = (
    "The suite trains on GPUs (resources.gpus_per_trial) and there is none here. To train on the "
    "CPU, slowly, add: --cpu"
)
_TRY_GPU = """
import sys, torch
try:
    torch.ones(1, device="cuda").add_(1).item()
except Exception as error:
    sys.exit(str(error).splitlines()[0])
"""
# Where torch keeps compiled code, for all processes and trials; it reads it when needed.
COMPILED = "TORCHINDUCTOR_CACHE_DIR"
VISIBLE = "CUDA_VISIBLE_DEVICES"


def local_gpus() -> list[str]:
    """The GPUs that this process may use, by the names that `CUDA_VISIBLE_DEVICES` has for them.

    Asks the driver, which knows nothing of that variable, since torch is slow to import.
    """
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    except OSError:
        return []
    there = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    allowed = os.environ.get(VISIBLE)
    if not there or allowed is None:
        return [str(number) for number in range(there)]
    names = [name.strip() for name in allowed.split(",")]
    # CUDA heeds what comes before the first name that is none.
    known = [not name.lstrip("-").isdigit() or 0 <= int(name) < there for name in names]
    return [] if names == [""] else names[: (*known, False).index(False)]


def gpu_slots(per_trial: float) -> list[str]:
    """The GPU of each trial that can run at once, of which each takes a part, at most a whole."""
    return [gpu for _ in range(int(1 / per_trial)) for gpu in local_gpus()]


@functools.cache
def gpu_name() -> str:
    """What the driver calls the first GPU; empty if there is none."""
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        listed = subprocess.run(asked, capture_output=True, text=True)
    except OSError:
        return ""
    return listed.stdout.partition("\n")[0].strip()


def gpu_problem() -> str:
    """Why nothing can be trained on a GPU of this machine, a sentence; empty if it can."""
    if not local_gpus():
        return NO_GPU
    reason = torchs_problem()
    return reason and (
        f"There is a GPU here, and torch cannot use it: {reason}. Install the torch that its "
        "driver needs (pytorch.org), or train on the CPU, slowly: --cpu"
    )


@functools.cache
def torchs_problem() -> str:
    """What torch says when it is to use a GPU; empty if it can.

    Asked in a process of its own, for some seconds: torch may be built for other drivers or GPUs.
    """
    command = [sys.executable, "-c", _TRY_GPU]
    tried = subprocess.run(command, capture_output=True, text=True)
    if tried.returncode == 0:
        return ""
    *_, reason = tried.stderr.strip().splitlines() or [f"it ends with code {tried.returncode}"]
    return reason.rstrip(".")


def compiled_code() -> Path:
    """The folder that torch keeps compiled code in."""
    return Path(os.environ.get(COMPILED) or tempfile.gettempdir())


def settle_compiled_code() -> None:
    """Have compiled code kept where it can be loaded, which a TMPDIR mounted noexec forbids.

    Raises UserError if there is no such place.
    """
    asked = compiled_code()
    if can_load_from(asked):
        return
    instead = user_cache()
    if COMPILED in os.environ or not can_load_from(instead):
        raise UserError(
            f"Compiled code cannot be loaded from {asked}: it is mounted noexec, or cannot be "
            f"written. Set {COMPILED} to another folder, or train uncompiled, with compile: false "
            "under training."
        )
    os.environ[COMPILED] = str(instead)


def user_cache() -> Path:
    """The folder of what this user need not have made twice on this machine."""
    return Path.home() / ".cache" / "decision-flow-harness"


def can_load_from(folder: Path) -> bool:
    """Whether a library in a folder, made if missing, could be loaded: it is mapped as code."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
            file.flush()
            mmap.mmap(file.fileno(), 1, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
    except OSError:
        return False
    return True
