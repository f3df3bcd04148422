"""Asks a Ray cluster whether it can be joined, before Ray is loaded here.

Ray itself tries for minutes where nobody answers, and settles how it proves itself to a cluster
when it is imported: so a process of its own asks first, and has seconds to do it.
"""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys

from harness.errors import UserError

_SECONDS = 18
_ASK = """
import sys, logging
import ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
@ray.remote(num_cpus=0)
class Actor:
    def answer(self): pass
ray.get(Actor.remote().answer.remote())
print("joined")
"""
_MODE = "RAY_AUTH_MODE"
_REFUSED = "it asks for a token that is not the one given"
_NO_TOKEN = f"it uses no token, so unset {_MODE} here"


@functools.cache
def prepare_to_join(address: str) -> None:
    """Settle how this process proves itself to the cluster at `address`.

    Raises UserError with the reason, within about 20 seconds, if the cluster cannot be joined.
    """
    if problem := _knock(address):
        raise _cannot_join(address, problem)
    if given := os.environ.get(_MODE):
        if problem := _ask(address, given):
            raise _cannot_join(address, f"{problem} ({_MODE} is set to {given})")
        return
    # A local Ray leaves a token that other clusters may or may not ask for.
    for mode in ("disabled", "token"):
        problem = _ask(address, mode)
        if not problem:
            os.environ[_MODE] = mode
            return
        if problem != _REFUSED:
            break
    raise _cannot_join(address, problem)


def _cannot_join(address: str, problem: str) -> UserError:
    if problem.startswith(_REFUSED):
        problem += (
            ". Copy its token, which `ray get-auth-token` prints there, to ~/.ray/auth_token here, "
            f"and set {_MODE}=token"
        )
    return UserError(
        f"Cannot join the Ray cluster at {address}: {problem}. Or run without it: --executor local."
    )


def _knock(address: str) -> str:
    """Why nobody can be reached at `host:port`; empty if somebody can, or it is another form."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return ""
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return ""


def _ask(address: str, mode: str) -> str:
    """Why the cluster cannot be joined with this mode of proof; empty if it can."""
    environment = {**os.environ, _MODE: mode}
    environment |= {"RAY_NUM_REDIS_GET_RETRIES": "2", "RAY_USAGE_STATS_ENABLED": "0"}
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _ASK, address],
            capture_output=True,
            text=True,
            env=environment,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"something is there, and did not answer as Ray does within {_SECONDS} seconds"
    if "joined" in asked.stdout.splitlines():
        return ""
    if "InvalidAuthToken" in asked.stderr or "AuthenticationError" in asked.stderr:
        return _REFUSED
    if "ActorDiedError" in asked.stderr and mode == "token":  # it joins, and none can answer it
        return _NO_TOKEN
    lines = [line.strip() for line in asked.stderr.splitlines() if line.strip()]
    return (lines[-1] if lines else "it did not say why").rstrip(".")
