"""One file over HTTP: resumed where it stopped, tried again, tried elsewhere, or not there at all.

Nothing is believed of a server: every answer's status, type, length, range and validator must fit
what was asked for, and the whole file must pass its check before it appears under its name.
"""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path
from typing import Any, NoReturn

from harness.errors import UserError

_CHUNK = 1 << 20
_BUSY = {408, 425, 429, 500, 502, 503, 504}  # statuses that may pass
_NETWORK = (OSError, http.client.HTTPException)  # urllib's own errors are OSErrors


class RefusedError(Exception):
    """This server does not have the file, or has another; its message says why."""


class _DroppedError(Exception):
    """The transfer stopped; what arrived is kept if the server says which file it is of."""


@dataclass(frozen=True)
class Patience:
    """How long to go on: tries in a row that bring nothing, waits between them, one answer (s)."""

    tries: int = 6
    first_wait: float = 1.0  # doubles with every try
    longest_wait: float = 60.0
    answer: float = 60.0


@dataclass(frozen=True)
class _Origin:
    """Which file a part is of: its address, the server's name for its bytes, and its length."""

    url: str
    validator: str | None  # a strong ETag, or else Last-Modified
    length: int | None


def download(
    urls: Sequence[str],
    final: Path,
    *,
    size: int | None,
    check: Callable[[Path], None],
    progress: Callable[[int, int], None],
    patience: Patience,
) -> tuple[str, list[str]]:
    """Bring a file from the first of several addresses that has it.

    Args:
        urls: its addresses, tried in order.
        final: where it appears, whole; a `.part` beside it is kept for the next try if it is not.
        size: bytes that the file must have, if that is known.
        check: looks at the whole file and raises `RefusedError` for what it should not be.
        progress: hears bytes there, bytes in all (0 while unknown).
        patience: with servers that do not answer.

    Returns:
        The address it came from, and a sentence for everything that went wrong before.

    Raises:
        UserError: no address has it; the message names each and why.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    transfer = _Transfer(final.with_name(f"{final.name}.part"), size, progress, patience)
    failures: list[str] = []
    for url in urls:
        try:
            transfer.bring(url)
        except RefusedError as refusal:
            failures.append(f"{url}: {refusal}")
            continue
        try:
            check(transfer.part)
        except RefusedError as refusal:
            transfer.forget()
            failures.append(f"{url}: {refusal}")
            continue
        transfer.part.replace(final)
        transfer.forget()
        return url, [*transfer.notes, *failures]
    raise UserError(
        f"{final.name} could not be fetched.\n"
        + "\n".join(f"- {line}" for line in [*transfer.notes, *failures])
    )


class _Transfer:
    """The part of a file that has arrived, and how it goes on."""

    def __init__(
        self,
        part: Path,
        size: int | None,
        progress: Callable[[int, int], None],
        patience: Patience,
    ) -> None:
        self.part = part
        self.notes: list[str] = []
        self._sidecar = part.with_name(f"{part.name}.json")
        self._size, self._progress, self._patience = size, progress, patience

    def forget(self) -> None:
        """Delete the part, if any, and what is known of it."""
        self.part.unlink(missing_ok=True)
        self._sidecar.unlink(missing_ok=True)

    def bring(self, url: str) -> None:
        """Transfer until the part is whole. Raises RefusedError when server or patience ends."""
        wait, fruitless, most = self._patience.first_wait, 0, 0
        while True:
            try:
                self._attempt(url)
            except _DroppedError as drop:
                # One that got further than any before may be followed by as many again.
                fruitless = 0 if self._arrived() > most else fruitless + 1
                most = max(most, self._arrived())
                if fruitless >= self._patience.tries:
                    raise RefusedError(f"{drop} (tried {fruitless} times in a row)") from drop
                if fruitless:
                    time.sleep(wait)
                    wait = min(2 * wait, self._patience.longest_wait)
                continue
            return

    def _arrived(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _attempt(self, url: str) -> None:
        origin = self._resumable(url)
        start = self._arrived() if origin else 0
        if origin and start == origin.length:
            return
        request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
        if origin and origin.validator and start:
            request.add_header("Range", f"bytes={start}-")
            request.add_header("If-Range", origin.validator)
        with self._open(request, start) as response:
            start, length = self._accept(response, origin, url, start)
            self._receive(response, start, length)

    def _open(self, request: urllib.request.Request, start: int) -> Any:
        try:
            return urllib.request.urlopen(request, timeout=self._patience.answer)
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
                self._start_over(request.full_url, "it has fewer bytes than had arrived")
            answer = f"it answered {error.code} {error.reason}"
            raise _DroppedError(answer) if error.code in _BUSY else RefusedError(answer) from error
        except _NETWORK as error:
            raise _DroppedError(f"it could not be reached ({error})") from error

    def _resumable(self, url: str) -> _Origin | None:
        """What the part is of, if that is this address and the server can say what changed."""
        if not (self.part.exists() and self._sidecar.exists()):
            return None
        try:
            origin = _Origin(**json.loads(self._sidecar.read_text()))
        except (ValueError, TypeError):
            return None
        return origin if origin.url == url and origin.validator and origin.length else None

    def _accept(
        self, response: Any, origin: _Origin | None, url: str, start: int
    ) -> tuple[int, int | None]:
        """The byte an answer starts with and the length of the whole file, if it says so."""
        headers = response.headers
        _refuse_other_content(headers)
        found = _Origin(url, _validator(headers), _length(headers))
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            if origin is None or not start:
                raise RefusedError("it sent a part of the file without being asked for one")
            if found.validator not in (None, origin.validator):
                self._start_over(url, "the file changed while it was fetched")
            if _range(headers) != (start, origin.length):
                self._start_over(url, "it sent other bytes than those asked for")
            return start, origin.length
        if None not in (self._size, found.length) and found.length != self._size:
            raise RefusedError(f"the file has {found.length:,} bytes there, not {self._size:,}")
        if origin and start:
            changed = found.validator != origin.validator
            why = "the file changed while it was fetched" if changed else "it does not resume"
            self.notes.append(f"{url}: {why}, so it was begun again.")
        self._sidecar.write_text(json.dumps(asdict(found)))
        return 0, found.length

    def _start_over(self, url: str, why: str) -> NoReturn:
        self.notes.append(f"{url}: {why}, so it was begun again.")
        self.forget()
        raise _DroppedError(why)

    def _receive(self, response: Any, start: int, length: int | None) -> None:
        arrived = start
        with self.part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            while block := _read(response):
                file.write(block)
                arrived += len(block)
                self._progress(arrived, length or 0)
        if length is not None and arrived != length:
            raise _DroppedError(f"the connection ended after {arrived:,} of {length:,} bytes")


def _read(response: Any) -> bytes:
    try:
        block: bytes = response.read1(_CHUNK)  # what has come, so that a break loses nothing
    except http.client.IncompleteRead as error:
        raise _DroppedError(f"the connection ended early ({error})") from error
    except _NETWORK as error:
        raise _DroppedError(f"the connection broke ({type(error).__name__}: {error})") from error
    return block


def _refuse_other_content(headers: Message) -> None:
    """Raises RefusedError for an error page, or for bytes that would have to be unpacked first."""
    if headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise RefusedError("it answered with a web page instead of the file")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise RefusedError(f"it sends the file encoded as {headers['Content-Encoding']}")


def _validator(headers: Message) -> str | None:
    """What If-Range may hold: a strong ETag, or else the date of the last change."""
    tag = headers.get("ETag")
    if tag is not None and not tag.startswith("W/"):
        return str(tag)
    return headers.get("Last-Modified")


def _length(headers: Message) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _range(headers: Message) -> tuple[int, int] | None:
    """The first byte sent, and the length of the whole file; None if that is not said."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
    return (int(match[1]), int(match[2])) if match else None
