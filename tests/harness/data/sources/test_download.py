"""Downloads from real servers that drop, truncate, lie, change their minds, or work."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.data.sources.download import Patience, RefusedError, download
from harness.errors import UserError
from tests.harness.data.file_server import Answer, fixed, serving, status, whole

CONTENT = random.Random(0).randbytes(3_000_000)  # more than one read
OTHER = random.Random(1).randbytes(3_000_000)
QUICK = Patience(tries=3, first_wait=0.001, longest_wait=0.002, answer=5.0)


class Wanted:
    """A file to fetch, with what was heard of its progress."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "deep" / "file.hdf5"
        self.progress: list[tuple[int, int]] = []

    def fetch(self, *urls: str, size: int | None = None, patience: Patience = QUICK) -> list[str]:
        """Fetch it; returns the notes."""
        _, notes = download(
            urls,
            self.path,
            size=size,
            check=self._check,
            progress=lambda done, total: self.progress.append((done, total)),
            patience=patience,
        )
        assert self.path.read_bytes() == CONTENT
        assert self.left() == ["file.hdf5"]
        return notes

    def left(self) -> list[str]:
        return sorted(path.name for path in self.path.parent.iterdir())

    @staticmethod
    def _check(part: Path) -> None:
        if part.read_bytes() != CONTENT:
            raise RefusedError("it sent other bytes")


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    return Wanted(tmp_path)


def test_a_good_server_is_asked_once(wanted: Wanted) -> None:
    with serving(whole(CONTENT)) as server:
        assert wanted.fetch(server.url, size=len(CONTENT)) == []
    assert len(server.requests) == 1
    assert wanted.progress[-1] == (len(CONTENT), len(CONTENT))
    assert wanted.progress == sorted(wanted.progress)
    assert len(wanted.progress) > 2


def test_a_transfer_that_ends_early_goes_on_where_it_stopped(wanted: Wanted) -> None:
    parts = [whole(CONTENT, upto=upto) for upto in (100_000, 1_500_000, 1)]
    with serving(*parts, whole(CONTENT)) as server:
        assert wanted.fetch(server.url) == []
    asked = [request.get("Range") for request in server.requests]
    assert asked == [None, "bytes=100000-", "bytes=1600000-", "bytes=1600001-"]
    assert {request.get("If-Range") for request in server.requests[1:]} == {'"one"'}


def test_a_broken_connection_is_taken_up_again(wanted: Wanted) -> None:
    broken = whole(CONTENT, upto=100_000, broken=True)
    with serving(broken, whole(CONTENT)) as server:
        assert wanted.fetch(server.url) == []
    assert server.requests[1]["Range"] == "bytes=100000-"


def test_a_transfer_goes_on_in_the_next_invocation(wanted: Wanted) -> None:
    with serving(whole(CONTENT, upto=400_000), status(503)) as server:
        with pytest.raises(UserError, match=r"503 .*tried 3 times in a row"):
            wanted.fetch(server.url)
        assert wanted.left() == ["file.hdf5.part", "file.hdf5.part.json"]
        server.answers[:] = [whole(CONTENT)]
        wanted.fetch(server.url)
        assert server.requests[-1]["Range"].startswith("bytes=")


def test_a_busy_server_is_asked_again(wanted: Wanted) -> None:
    with serving(status(500), status(429), whole(CONTENT)) as server:
        assert wanted.fetch(server.url) == []


def test_a_server_that_has_no_such_file_is_asked_once_and_a_mirror_then(wanted: Wanted) -> None:
    with serving(status(404)) as lacking, serving(whole(CONTENT)) as mirror:
        (note,) = wanted.fetch(lacking.url, mirror.url)
    assert note == f"{lacking.url}: it answered 404 Not Found"
    assert len(lacking.requests) == 1


def test_a_server_that_ignores_ranges_is_read_from_the_start(wanted: Wanted) -> None:
    full = fixed(200, CONTENT, ETag='"one"')
    with serving(whole(CONTENT, upto=900_000), full) as server:
        (note,) = wanted.fetch(server.url)
    assert note == f"{server.url}: it does not resume, so it was begun again."
    assert "Range" in server.requests[1]


def test_a_file_that_changed_meanwhile_is_noticed(wanted: Wanted) -> None:
    with serving(whole(OTHER, '"old"', upto=900_000), whole(CONTENT, '"new"')) as server:
        (note,) = wanted.fetch(server.url)
    assert note == f"{server.url}: the file changed while it was fetched, so it was begun again."


def test_a_changed_file_is_noticed_even_if_the_server_ignores_the_condition(wanted: Wanted) -> None:
    tail = CONTENT[900_000:]
    resumed = fixed(
        206,
        tail,
        ETag='"new"',
        Content_Range=f"bytes 900000-{len(CONTENT) - 1}/{len(CONTENT)}",
    )
    with serving(whole(OTHER, '"old"', upto=900_000), resumed, whole(CONTENT, '"new"')) as server:
        (note,) = wanted.fetch(server.url)
    assert "the file changed while it was fetched" in note


@pytest.mark.parametrize(
    "said", ["bytes 0-2999999/3000000", "bytes 10-2999999/3000000", "bytes 1-2/3", "nonsense", ""]
)
def test_a_part_other_than_the_one_asked_for_is_not_taken(wanted: Wanted, said: str) -> None:
    wrong = fixed(206, CONTENT[:1000], ETag='"one"', Content_Range=said)
    with serving(whole(CONTENT, upto=900_000), wrong, whole(CONTENT)) as server:
        (note,) = wanted.fetch(server.url)
    assert "it sent other bytes than those asked for" in note


def test_a_part_that_nobody_asked_for_is_not_taken(wanted: Wanted) -> None:
    said = f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"
    with (
        serving(fixed(206, CONTENT, Content_Range=said)) as odd,
        serving(whole(CONTENT)) as mirror,
    ):
        (note,) = wanted.fetch(odd.url, mirror.url)
    assert "sent a part of the file without being asked for one" in note


def test_a_server_without_names_for_its_bytes_is_not_resumed(wanted: Wanted) -> None:
    def half(handler: object) -> None:
        handler.head(200, Content_Length=len(CONTENT))  # type: ignore[attr-defined]
        handler.wfile.write(CONTENT[:900_000])  # type: ignore[attr-defined]

    with serving(half, fixed(200, CONTENT)) as server:
        wanted.fetch(server.url)
    assert "Range" not in server.requests[1]


def test_a_weak_tag_does_not_name_bytes_but_a_date_does(wanted: Wanted) -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"

    def half(handler: object) -> None:
        headers = {"ETag": 'W/"one"', "Last_Modified": date, "Content_Length": len(CONTENT)}
        handler.head(200, **headers)  # type: ignore[attr-defined]
        handler.wfile.write(CONTENT[:900_000])  # type: ignore[attr-defined]

    with serving(half, whole(CONTENT, date)) as server:
        server.answers[1] = fixed(200, CONTENT, ETag='W/"one"', Last_Modified=date)
        wanted.fetch(server.url)
    assert server.requests[1]["If-Range"] == date


def test_a_length_too_long_is_named_once_patience_ends(wanted: Wanted) -> None:
    lie = fixed(200, CONTENT, Content_Length=len(CONTENT) + 5)
    with serving(lie) as server, pytest.raises(UserError) as error:
        wanted.fetch(server.url)
    assert "the connection ended after 3,000,000 of 3,000,005 bytes" in str(error.value)
    assert "file.hdf5" not in wanted.left()


def test_a_length_too_short_is_found_by_the_check(wanted: Wanted) -> None:
    lie = fixed(200, CONTENT, Content_Length=len(CONTENT) - 5)
    with serving(lie) as server, pytest.raises(UserError, match="it sent other bytes"):
        wanted.fetch(server.url)
    assert wanted.left() == []


def test_another_length_than_the_known_one_is_refused_before_the_body(wanted: Wanted) -> None:
    with serving(whole(CONTENT[:-1])) as wrong, serving(whole(CONTENT)) as mirror:
        (note,) = wanted.fetch(wrong.url, mirror.url, size=len(CONTENT))
    assert note == f"{wrong.url}: the file has 2,999,999 bytes there, not 3,000,000"


def test_wrong_bytes_are_thrown_away_and_a_mirror_asked(wanted: Wanted) -> None:
    with serving(whole(OTHER)) as wrong, serving(whole(CONTENT)) as mirror:
        (note,) = wanted.fetch(wrong.url, mirror.url, size=len(CONTENT))
    assert note == f"{wrong.url}: it sent other bytes"


def test_a_part_of_one_mirror_is_not_continued_at_another(wanted: Wanted) -> None:
    begun = [whole(OTHER, upto=900_000), status(404)]
    with serving(*begun) as wrong, serving(whole(CONTENT)) as mirror:
        wanted.fetch(wrong.url, mirror.url)
    assert "Range" not in mirror.requests[0]


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8"])
def test_a_web_page_instead_of_the_file_is_refused(wanted: Wanted, kind: str) -> None:
    page = fixed(200, b"<html>Sign in</html>", Content_Type=kind)
    with serving(page) as server, pytest.raises(UserError, match="web page instead of the file"):
        wanted.fetch(server.url)
    assert wanted.left() == []


def test_packed_bytes_are_refused(wanted: Wanted) -> None:
    packed = fixed(200, CONTENT, Content_Encoding="gzip")
    with serving(packed) as server, pytest.raises(UserError, match="encoded as gzip"):
        wanted.fetch(server.url)


def test_a_transfer_in_chunks_of_unknown_length_must_end_properly(wanted: Wanted) -> None:
    def chunked(end: bytes) -> Answer:
        def answer(handler: object) -> None:
            handler.head(200, Transfer_Encoding="chunked")  # type: ignore[attr-defined]
            size = f"{len(CONTENT):x}\r\n".encode()
            handler.wfile.write(size + CONTENT + b"\r\n" + end)  # type: ignore[attr-defined]

        return answer

    with serving(chunked(b""), chunked(b"0\r\n\r\n")) as server:
        assert wanted.fetch(server.url) == []
    assert len(server.requests) == 2


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_silent_server_is_given_up(wanted: Wanted) -> None:
    hasty = Patience(tries=2, first_wait=0.001, answer=0.1)
    with silent_server() as url, serving(whole(CONTENT)) as mirror:
        (note,) = wanted.fetch(url, mirror.url, patience=hasty)
    assert "timed out" in note


def test_every_address_and_its_fault_are_named_when_none_has_it(wanted: Wanted) -> None:
    with silent_server() as gone:
        pass
    with serving(status(403)) as forbidding, pytest.raises(UserError) as error:
        wanted.fetch(gone, forbidding.url)
    title, first, second = str(error.value).splitlines()
    assert title == "file.hdf5 could not be fetched."
    assert first.startswith(f"- {gone}: it could not be reached")
    assert second == f"- {forbidding.url}: it answered 403 Forbidden"


def test_a_server_that_keeps_changing_the_file_is_given_up(wanted: Wanted) -> None:
    changing = [whole(OTHER, f'"{n}"', upto=900_000) for n in range(40)]
    with serving(*changing) as server, pytest.raises(UserError, match="in a row"):
        wanted.fetch(server.url)
    assert len(server.requests) < 40
