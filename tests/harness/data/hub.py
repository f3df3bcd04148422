"""A Hugging Face hub on the loopback address: what its client asks of it, and ways to go wrong."""

from __future__ import annotations

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OWNER, REPOSITORY = "farama-minari", "D4RL"
_NAME = f"{OWNER}/{REPOSITORY}"


class Hub(ThreadingHTTPServer):
    """Serves the dataset repository `farama-minari/D4RL`.

    Attributes:
        commit: the id of the newest one.
        files: bytes by path; `.hdf5` files are in LFS, served from a content network as the hub's.
        faults: what to do about the next requests for LFS bytes, one each: "drop" half-way, answer
            with a status, "short": say and send half, "flip": send a wrong byte.
        api_faults: statuses to answer the next requests for the list of files with.
        ranges: the Range header of every request for LFS bytes.
        xet: whether to offer Xet transfers, as the real hub does.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.commit = COMMIT
        self.files: dict[str, bytes] = {}
        self.faults: list[str | int] = []
        self.api_faults: list[int] = []
        self.ranges: list[str | None] = []
        self.xet = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, folder: Path, dataset_id: str) -> None:
        """Publish a dataset of a local root, as Minari uploads it."""
        for path in sorted((folder / dataset_id).rglob("*")):
            if path.is_file():
                name = path.relative_to(folder / REPOSITORY).as_posix()
                self.files[name] = path.read_bytes()
        listed = {
            f"{REPOSITORY}/{name.removesuffix('/data/metadata.json')}"
            for name in self.files
            if name.endswith("/data/metadata.json")
        }
        self.files["namespace_metadata.json"] = json.dumps({"datasets": sorted(listed)}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/api/datasets":
            query = parse_qs(url.query)
            asked = query["author"] == [OWNER] and REPOSITORY in query.get("search", [REPOSITORY])
            self._json([{"id": _NAME}] if asked else [])
        elif url.path in (f"/api/datasets/{_NAME}", f"/api/datasets/{_NAME}/revision/main"):
            status = self.server.api_faults.pop(0) if self.server.api_faults else 200
            if status != 200:
                self._answer(status, {}, b"")
                return
            siblings = [{"rfilename": name} for name in self.server.files]
            self._json({"id": _NAME, "sha": self.server.commit, "siblings": siblings})
        elif match := re.fullmatch(
            f"/datasets/{_NAME}/resolve/(main|{self.server.commit})/(.+)", url.path
        ):
            self._resolve(match[2])
        elif match := re.fullmatch("/lfs/(.+)", url.path):
            self._blob(self.server.files[match[1]])
        else:
            self._answer(404, {}, b"")

    def _resolve(self, name: str) -> None:
        headers = {"X-Repo-Commit": self.server.commit}
        if name not in self.server.files:
            self._answer(404, headers | {"X-Error-Code": "EntryNotFound"}, b"")
            return
        content = self.server.files[name]
        if not name.endswith(".hdf5"):
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            self._answer(200, headers | {"ETag": f'"{blob}"'}, content)
            return
        headers |= {
            "Location": f"{self.server.address}/lfs/{name}",
            "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Linked-Size": str(len(content)),
        }
        if self.server.xet:
            route = (
                f"{self.server.address}/api/datasets/{_NAME}/xet-read-token/{self.server.commit}"
            )
            headers |= {"X-Xet-Hash": "0" * 64, "X-Xet-Refresh-Route": route}
        self._answer(302, headers, b"")

    def _blob(self, content: bytes) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, int):
            self._answer(fault, {}, b"")
            return
        if fault == "short":
            content = content[: len(content) // 2]
        if fault == "flip":
            content = content[:-1] + bytes([content[-1] ^ 1])
        status, headers, start = 200, {}, 0
        if asked:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self._answer(416, {"Content-Range": f"bytes */{len(content)}"}, b"")
                return
            status = 206
            headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        body = content[start:]
        if fault == "drop":
            self._answer(
                status, headers | {"Content-Length": str(len(body))}, body[: len(body) // 2]
            )
            self.close_connection = True
        else:
            self._answer(status, headers, body)

    def _json(self, value: Any) -> None:
        self._answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
