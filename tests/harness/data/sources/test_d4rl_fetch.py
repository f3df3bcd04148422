"""Fetching D4RL's files as typed, from servers on the loopback address; and the lock file."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from harness import data
from harness.commands.data import data_app
from harness.data.sources import d4rl as d4rl_source
from harness.data.sources import download_lock
from harness.data.sources.download import Patience
from harness.errors import UserError
from harness.tasks import d4rl_files, get_task
from tests.harness.data.file_server import Handler, fixed, serving, status, whole

NAME = "hopper_medium-v2.hdf5"


def hdf5(seed: int = 0) -> bytes:
    """A file as D4RL's, of 40 rows."""
    rng, image = np.random.default_rng(seed), io.BytesIO()
    with h5py.File(image, "w") as file:
        file["observations"] = rng.normal(size=(40, 11)).astype(np.float32)
        file["actions"] = rng.uniform(-1, 1, (40, 3)).astype(np.float32)
        file["rewards"] = rng.normal(size=40).astype(np.float32)
        file["terminals"] = np.zeros(40, np.bool_)
        file["timeouts"] = np.arange(40) % 10 == 9
    return image.getvalue()


CONTENT = hdf5()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def unknown(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder; nobody knows what D4RL's files must be."""
    monkeypatch.delenv("HARNESS_D4RL_DATA", raising=False)
    monkeypatch.setattr(d4rl_files, "CHECKSUMS", {})
    monkeypatch.setattr(d4rl_source, "PATIENCE", Patience(tries=2, first_wait=0.001, answer=5.0))
    return root


@pytest.fixture
def known(unknown: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, but what the hopper's file must be is known."""
    published = {NAME: (len(CONTENT), sha256(CONTENT))}
    monkeypatch.setattr(d4rl_files, "CHECKSUMS", published)
    return unknown


def fetch(monkeypatch: pytest.MonkeyPatch, *mirrors: str, ids: tuple[str, ...] = ()) -> str:
    """`data fetch` as typed; returns what it prints."""
    monkeypatch.setenv("HARNESS_D4RL_MIRRORS", " ".join(mirrors))
    arguments = ["fetch", *(ids or ["gym/hopper/medium"])]
    result = CliRunner().invoke(data_app, arguments, catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result.output


def test_a_file_is_fetched_locked_and_ready(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(whole(CONTENT)) as server:
        printed = fetch(monkeypatch, server.url)
    assert "gym/hopper/medium-v2 is ready: 36 transitions" in printed
    assert f"fetching {NAME} (bytes): done" in printed
    assert (known / "d4rl" / NAME).read_bytes() == CONTENT
    entry = json.loads(download_lock.lock_file().read_text())[NAME]
    assert entry["sha256"] == sha256(CONTENT)
    assert entry["bytes"] == len(CONTENT)
    assert entry["origin"] == f"{server.url}/gym_mujoco_v2/{NAME}"
    loaded = data.ensure(get_task("gym/hopper/medium"), make=False)
    assert loaded.manifest["dataset"]["sources"] == {NAME: sha256(CONTENT)}


@pytest.mark.usefixtures("known")
def test_what_is_there_is_not_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(whole(CONTENT)) as server:
        fetch(monkeypatch, server.url)
        fetch(monkeypatch, server.url)
        assert len(server.requests) == 1


@pytest.mark.usefixtures("known")
def test_mirrors_are_tried_in_order_and_their_faults_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving(status(404)) as lacking,
        serving(fixed(200, b"<!DOCTYPE html>" + bytes(len(CONTENT) - 15))) as page,
        serving(whole(hdf5(seed=1))) as wrong,
        serving(whole(CONTENT)) as good,
    ):
        printed = fetch(monkeypatch, lacking.url, page.url, wrong.url, good.url)
    assert f"{lacking.url}/gym_mujoco_v2/{NAME}: it answered 404 Not Found" in printed
    assert f"{page.url}/gym_mujoco_v2/{NAME}: it sent a web page" in printed
    assert f"{wrong.url}/gym_mujoco_v2/{NAME}: it sent other bytes: sha256 " in printed
    assert "is ready: 36 transitions" in printed


@pytest.mark.usefixtures("known")
def test_a_mirror_may_have_the_files_in_one_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def flat(handler: Handler) -> None:
        (whole(CONTENT) if handler.path == f"/base/{NAME}" else status(404))(handler)

    with serving(flat) as server:
        assert "is ready: 36 transitions" in fetch(monkeypatch, f"{server.url}/base/")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"0" * 500, "it sent no readable HDF5 file"),
        (CONTENT[:-300], "it sent no readable HDF5 file .*truncated"),
        (b"\n <HTML><body>moved</body>", "it sent a web page"),
        (b"", "it sent no readable HDF5 file"),
    ],
)
def test_what_is_no_whole_hdf5_file_never_appears(
    content: bytes, complaint: str, unknown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = whole(content) if content else fixed(200, b"")
    with serving(answer) as server, pytest.raises(UserError, match=complaint):
        fetch(monkeypatch, server.url)
    assert list((unknown / "d4rl").iterdir()) == []
    assert not download_lock.lock_file().exists()


@pytest.mark.usefixtures("unknown")
def test_an_hdf5_file_of_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        file["observations"] = np.zeros((3, 11))
    with serving(whole(image.getvalue())) as server, pytest.raises(UserError) as error:
        fetch(monkeypatch, server.url)
    assert "an HDF5 file without actions, rewards, terminals" in str(error.value)


def test_an_unpublished_file_is_locked_at_first_sight(
    unknown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(whole(CONTENT)) as server:
        fetch(monkeypatch, server.url)
    (unknown / "d4rl" / NAME).unlink()
    (unknown / "minari/gym/hopper/medium-v2/manifest.json").unlink()
    other = hdf5(seed=1)
    with serving(whole(other)) as server, pytest.raises(UserError) as error:
        fetch(monkeypatch, server.url)
    assert f"sha256 {sha256(other)[:16]}…, expected {sha256(CONTENT)[:16]}…" in str(error.value)
    assert "files.lock.json of 20" in str(error.value)
    assert not (unknown / "d4rl" / NAME).exists()


def test_a_local_file_is_held_to_its_lock_too(unknown: Path) -> None:
    (unknown / "d4rl").mkdir(parents=True)
    path = unknown / "d4rl" / NAME
    path.write_bytes(CONTENT)
    data.ensure(get_task("gym/hopper/medium"))
    path.write_bytes(hdf5(seed=1))
    part = get_task("gym/hopper/medium", {"transitions": 20})
    with pytest.raises(UserError, match=rf"{path} has changed since .*files\.lock\.json"):
        data.ensure(part)


def test_a_download_that_cannot_be_trained_on_is_neither_kept_nor_locked(
    unknown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = io.BytesIO(CONTENT)
    with h5py.File(image, "r+") as file:
        file["rewards"][3] = np.inf
    with serving(whole(image.getvalue())) as server, pytest.raises(UserError) as error:
        fetch(monkeypatch, server.url)
    assert "row 3 of its rewards holds inf" in str(error.value)
    assert not download_lock.lock_file().exists()
    with serving(whole(CONTENT)) as server:  # repaired there
        fetch(monkeypatch, server.url)
    assert len(data.ensure(get_task("gym/hopper/medium"), make=False).transitions) == 36


def test_a_local_file_that_is_not_the_published_one_is_refused(known: Path) -> None:
    (known / "d4rl").mkdir(parents=True)
    (known / "d4rl" / NAME).write_bytes(hdf5(seed=1))
    with pytest.raises(UserError, match=r"not the file it should be.*a second party's record"):
        data.ensure(get_task("gym/hopper/medium"))
    assert not download_lock.lock_file().exists()


@pytest.mark.usefixtures("unknown")
def test_every_failure_is_told_and_the_rest_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ("adroit/pen/human", "gym/hopper/medium", "pointmaze/umaze")
    answers = [status(404), status(404), whole(CONTENT)]  # the pen's is asked for twice
    with serving(*answers) as server, pytest.raises(UserError) as error:
        fetch(monkeypatch, server.url, ids=ids)
    assert "pen-human-v1.hdf5 could not be fetched" in str(error.value)
    assert "pointmaze/umaze-v0 is not fetched but made" in str(error.value)
    assert data.ensure(get_task("gym/hopper/medium"), make=False).transitions is not None


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("mirror", ["file:///tmp", "/tmp/files", "ftp://host"])
def test_mirrors_are_web_addresses(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=f"http.*found '{mirror}'.*HARNESS_D4RL_DATA"):
        fetch(monkeypatch, mirror)


def test_the_first_address_is_d4rls_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_D4RL_MIRRORS", raising=False)
    assert d4rl_source.mirrors() == ["http://rail.eecs.berkeley.edu/datasets/offline_rl"]
    monkeypatch.setenv("HARNESS_D4RL_MIRRORS", "https://a/b/, http://c")
    assert d4rl_source.mirrors() == ["https://a/b", "http://c"]


@pytest.mark.parametrize(
    "secret", ["https://me:hunter2@a/b", "ftp://me:hunter2@a", "http://a?hunter2"]
)
def test_a_mirror_with_a_password_is_refused_without_printing_it(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_D4RL_MIRRORS", f"https://fine {secret}")
    with pytest.raises(UserError, match="without user, password or token") as raised:
        d4rl_source.mirrors()
    assert "hunter2" not in str(raised.value)


# --- missing data ---------------------------------------------------------------------------


def test_everything_missing_is_named_at_once_and_nothing_made(
    unknown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_LOCAL_DATA", str(tmp_path / "nowhere"))
    ids = ["pointmaze/umaze", "gym/hopper/medium", "maze2d/open", "local/hopper/medium-expert"]
    tasks = [get_task(task_id, {"transitions": 1500}) for task_id in ids]
    d4rl, maze, medium, expert = data.missing(tasks)  # and no pointmaze: a recipe makes it
    assert d4rl.endswith("with: python -m harness data fetch gym/hopper/medium-1500-v2")
    assert maze.endswith("with: python -m harness data fetch maze2d/open-1500-v0")
    assert "The dataset local/hopper/medium-v0" in medium
    assert "The dataset local/hopper/expert-v0" in expert
    assert data.missing([*tasks, *tasks]) == data.missing(tasks)
    assert not (unknown / "minari").exists()


def test_a_file_that_is_there_is_not_missing(unknown: Path) -> None:
    (unknown / "d4rl").mkdir(parents=True)
    (unknown / "d4rl" / NAME).write_bytes(CONTENT)
    task = get_task("gym/hopper/medium")
    assert data.missing([task]) == []
    data.ensure(task)
    (unknown / "d4rl" / NAME).unlink()
    assert data.missing([task]) == []  # it is not needed any more


@pytest.mark.usefixtures("unknown")
def test_opening_what_is_not_there_says_how_to_fetch_it() -> None:
    for make in (True, False):
        with pytest.raises(UserError, match=r"data fetch gym/hopper/medium-v2$"):
            data.ensure(get_task("gym/hopper/medium"), make=make)
