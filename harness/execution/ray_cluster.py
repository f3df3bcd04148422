"""Before Ray is loaded here: asks a cluster whether it can be joined, or keeps to this machine.

Ray itself tries for minutes where nobody answers, and settles how it proves itself to a cluster
when it is imported: so a greeting comes first, which every cluster answers at once, and then a
process of its own asks.
"""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys

from harness.errors import UserError

_ANSWER_SECONDS = 5  # for a connection, and for the answer to a greeting
_SECONDS = 90  # to import Ray, join and hear from an actor, on a machine that is busy already
_NODE_SECONDS = "8"  # of them for finding the node that this machine is
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # of gRPC
_FRAME_BYTES, _SETTINGS = 9, b"\x04"  # of an HTTP/2 frame's header; its type, the fourth byte
_TLS_ALERT = 0x15
_ASK = """
import sys, logging
import ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
@ray.remote(num_cpus=0)
class Actor:
    def answer(self): pass
ray.get(Actor.remote().answer.remote())
print("joined", ray.get_runtime_context().gcs_address if sys.argv[1] == "auto" else sys.argv[1])
"""
_MODE = "RAY_AUTH_MODE"
_NO_TOKEN = f"it uses no token, so unset {_MODE} here"
_NO_NODE = (
    "a Ray cluster may be there, and this machine is none of its nodes. Work on one that is, or "
    "make it one with `ray start --address=HOST:PORT`"
)


class _NotJoinedError(Exception):
    """Why a cluster cannot be joined."""


class _TokenRefusedError(_NotJoinedError):
    """It asks for a token that is not the one given."""

    def __init__(self) -> None:
        super().__init__(
            "it asks for a token that is not the one given. Copy its token, which `ray "
            "get-auth-token` prints there, to ~/.ray/auth_token here, and set "
            f"{_MODE}=token"
        )


@functools.cache
def prepare_to_join(address: str) -> str:
    """Settle which cluster `address` means, and how this process proves itself to it.

    Returns the address to join. `auto` is settled once: on a machine with several clusters Ray
    takes any of them, each time anew. Raises UserError with the reason, within 20 seconds unless
    this machine is too busy to ask, if the cluster cannot be joined.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address
    _knock(address)
    given = os.environ.get(_MODE)
    # A local Ray leaves a token that other clusters may or may not ask for.
    mode = given or "disabled"
    try:
        try:
            joined = _ask(address, mode)
        except _TokenRefusedError:
            if given:
                raise
            mode, joined = "token", _ask(address, "token")
    except _NotJoinedError as error:
        raise _cannot_join(address, str(error), given) from None
    os.environ[_MODE] = mode
    return joined


def prepare_to_start() -> None:
    """Have a Ray that this process starts be heard on this machine alone, as Ray has it on macOS.

    It reads the variable when it is imported.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


def _cannot_join(address: str, problem: str, given: str | None = None) -> UserError:
    if given:
        problem += f" ({_MODE} is set to {given})"
    return UserError(
        f"Cannot join the Ray cluster at {address}: {problem}. Or run without it: --executor local."
    )


def _knock(address: str) -> None:
    """Raises UserError if it is no address, or one where nobody answers as Ray does."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        raise _cannot_join(address, "an address is HOST:PORT, or auto on a node of the cluster")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS) as server:
            _greet(server)
    except (OSError, OverflowError) as error:
        raise _cannot_join(address, str(error)) from None


def _greet(server: socket.socket) -> None:
    """Raises OSError without an answer, or if it is none of gRPC's, which begin with SETTINGS.

    A server that takes greetings of another kind alone, as with TLS, is left to Ray.
    """
    answer = b""
    try:
        server.sendall(_GREETING)
        while len(answer) < _FRAME_BYTES and (more := server.recv(_FRAME_BYTES - len(answer))):
            answer += more
    except ConnectionError:
        return
    except TimeoutError:
        if not answer:
            raise TimeoutError(
                f"something is there, and did not answer within {_ANSWER_SECONDS} seconds"
            ) from None
    if answer and answer[0] != _TLS_ALERT and answer[3:4] != _SETTINGS:
        raise ConnectionError("what answers there is not Ray")


def _ask(address: str, mode: str) -> str:
    """The address of the cluster that was joined with this mode of proof.

    Raises _NotJoinedError with the reason if it cannot be.
    """
    environment = {**os.environ, _MODE: mode}
    environment |= {"RAY_NUM_REDIS_GET_RETRIES": "2", "RAY_USAGE_STATS_ENABLED": "0"}
    environment["RAY_gcs_server_request_timeout_seconds"] = _NODE_SECONDS
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _ASK, address],
            capture_output=True,
            text=True,
            env=environment,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise _NotJoinedError(
            f"Ray is there, and could not be joined within {_SECONDS} seconds"
        ) from None
    for line in asked.stdout.splitlines():
        if line.startswith("joined "):
            return line.removeprefix("joined ")
    if "InvalidAuthToken" in asked.stderr or "AuthenticationError" in asked.stderr:
        raise _TokenRefusedError
    if "ActorDiedError" in asked.stderr and mode == "token":  # it joins, and none can answer it
        raise _NotJoinedError(_NO_TOKEN)
    if "No node info found" in asked.stderr:
        raise _NotJoinedError(_NO_NODE)
    lines = [line.strip() for line in asked.stderr.splitlines() if line.strip()]
    raise _NotJoinedError((lines[-1] if lines else "it did not say why").rstrip("."))
