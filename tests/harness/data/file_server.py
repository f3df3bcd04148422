"""A real HTTP server on the loopback address that misbehaves as it is told."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each request with the next of the server's answers; the last one stays."""

    server: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.requests.append(dict(self.headers))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer(self)

    def log_message(self, *_: object) -> None:
        """Silence."""

    def head(self, status: int, **headers: object) -> None:
        """Status and headers; names with `_` for `-`."""
        self.send_response(status)
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def reset(self) -> None:
        """Break the connection, once the client has had time to read what was sent."""
        time.sleep(0.1)
        at_once = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.connection.close()


class FileServer(ThreadingHTTPServer):
    """Its `answers` in turn; `requests` are the headers of what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = list(answers)
        self.requests: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """A client that goes away is part of the game."""


@contextlib.contextmanager
def serving(*answers: Answer) -> Iterator[FileServer]:
    """A server that runs until the context ends."""
    with FileServer(*answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def whole(
    content: bytes, tag: str = '"one"', *, upto: int | None = None, broken: bool = False
) -> Answer:
    """As a good server answers, ranges and all; or only `upto` bytes of it, ended or broken off."""

    def answer(handler: Handler) -> None:
        asked, start = handler.headers.get("Range"), 0
        if asked and handler.headers.get("If-Range") in (None, tag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            handler.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
            return
        body = content[start:]
        about = {"Content_Length": len(body), "ETag": tag, "Content_Type": "application/x-hdf5"}
        if start:
            about["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.head(206 if start else 200, **about)
        handler.wfile.write(body if upto is None else body[:upto])
        if broken:
            handler.reset()

    return answer


def status(code: int) -> Answer:
    """Nothing but a status."""
    return lambda handler: handler.head(code, Content_Length=0)


def fixed(code: int, body: bytes, **headers: object) -> Answer:
    """These headers and bytes, whatever was asked for, then the end of the connection."""

    def answer(handler: Handler) -> None:
        handler.head(code, **{"Content_Length": len(body), **headers})
        handler.wfile.write(body)

    return answer
