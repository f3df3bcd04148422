"""Public Minari datasets: fetched by Minari's own client from a hub on loopback, and imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import minari
import numpy as np
import pytest
from typer.testing import CliRunner

from algorithms.transitions import Transitions
from harness import data
from harness.commands.data import data_app
from harness.data.sources import minari_download
from harness.errors import UserError
from harness.tasks import TaskSpec, get_task, make_environment
from tests.harness.data import public_data
from tests.harness.data.hub import COMMIT, Hub

REPOSITORY = Path(__file__).resolve().parents[4]
MAZE = "D4RL/pointmaze/open-dense-v2"
DOOR = "D4RL/door/human-v2"
DOOR_FILE = "door/human-v2/data/main_data.hdf5"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Minari root with two datasets."""
    folder = tmp_path_factory.mktemp("published")
    public_data.leave(folder, MAZE, *public_data.play(400))
    public_data.leave(folder, DOOR, *public_data.door(8))
    return folder


@pytest.fixture
def user_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    """The user's own Minari root, still empty."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "user"))
    return tmp_path / "user"


@pytest.fixture
def hub(
    published: Path, user_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """A hub that has both datasets; the client looks nowhere else and never waits long."""
    with Hub() as server:
        for dataset_id in (MAZE, DOOR):
            server.add(published, dataset_id)
        constants = huggingface_hub.constants
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", constants.DOWNLOAD_CHUNK_SIZE)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        monkeypatch.setattr(minari_download, "WAITS", (0.0,) * 3)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def maze() -> TaskSpec:
    return get_task("minari/pointmaze/open-dense")


def fetch(task: TaskSpec) -> Transitions:
    """What `data fetch` does, without its words."""
    data.fetch(task)
    return data.prepare(task).transitions


def run(*arguments: str) -> str:
    result = CliRunner().invoke(data_app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def nothing_is_imported(root: Path) -> bool:
    return not list(root.glob("minari/**/*.hdf5")) and not list(root.glob("cache/*"))


def test_fetch_downloads_imports_and_records_the_revision(hub: Hub, root: Path) -> None:
    output = run("fetch", "minari/pointmaze/open-dense")
    size = len(hub.files["pointmaze/open-dense-v2/data/main_data.hdf5"])
    assert f"downloading {MAZE}, bytes: " in output
    assert "minari/pointmaze/open-dense-v2 is ready: " in output
    folder = root / "minari/minari/pointmaze/open-dense-v2"
    constants = json.loads((folder / "manifest.json").read_text())["constants"]
    assert constants[f"revision of {MAZE}"] == COMMIT
    told = run("verify", "minari/pointmaze/open-dense")
    assert "every array is what manifest and lock file say" in told
    card = run("info", "minari/pointmaze/open-dense")
    assert COMMIT in card
    assert "############################" in card  # the map's upper wall
    kept = root / "downloads/minari" / MAZE / "data/main_data.hdf5"
    assert kept.stat().st_size == size

    hub.files.clear()  # what is here is not fetched again
    asked = len(hub.ranges)
    assert "is ready" in run("fetch", "minari/pointmaze/open-dense")
    assert len(hub.ranges) == asked == 1


def test_minari_itself_reads_what_was_downloaded(
    hub: Hub, root: Path, maze: TaskSpec, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(maze)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root / "downloads/minari"))
    assert MAZE in minari.list_local_datasets()


def test_a_dropped_connection_is_resumed_where_it_broke(hub: Hub) -> None:
    size, chunk = len(hub.files[DOOR_FILE]), minari_download.CHUNK
    assert size > 8 * chunk
    hub.faults = ["drop"] * 4  # more than it is tried without anything coming
    assert len(fetch(get_task("minari/adroit/door/human"))) == 8 * 200
    expected = [0]
    for _ in range(4):
        expected.append(expected[-1] + (size - expected[-1]) // 2 // chunk * chunk)
    assert hub.ranges == [None, *(f"bytes={start}-" for start in expected[1:])]


def test_an_interrupted_download_goes_on_with_the_next_command(hub: Hub, root: Path) -> None:
    task = get_task("minari/adroit/door/human")
    hub.faults = ["drop", *[503] * 20]  # its client may swallow one of them
    with pytest.raises(UserError, match=r"data fetch minari/.*` stopped: .*503.*Nothing is lost"):
        fetch(task)
    assert nothing_is_imported(root)
    hub.faults = []
    hub.ranges.clear()
    assert len(fetch(task)) == 8 * 200
    chunk = minari_download.CHUNK
    assert hub.ranges == [f"bytes={len(hub.files[DOOR_FILE]) // 2 // chunk * chunk}-"]


def test_a_busy_remote_is_tried_again(hub: Hub, maze: TaskSpec) -> None:
    hub.faults = [503, 429]
    hub.api_faults = [502]
    assert len(fetch(maze)) > 300
    assert hub.ranges == [None] * 3


def test_half_a_dataset_is_not_taken_for_all_of_it(hub: Hub, maze: TaskSpec) -> None:
    # huggingface_hub returns what is there when it cannot ask for the list of files.
    hub.faults = [503]
    hub.api_faults = [200, 502, 502]
    assert len(fetch(maze)) > 300


def test_more_than_there_is_begins_anew(hub: Hub, root: Path) -> None:
    task = get_task("minari/adroit/door/human")
    hub.faults = ["drop", *[503] * 20]
    with pytest.raises(UserError, match="Nothing is lost"):
        fetch(task)
    hub.faults = []
    (part,) = (root / "downloads").rglob("*.incomplete")
    part.write_bytes(bytes(2 * len(hub.files[DOOR_FILE])))
    assert len(fetch(task)) == 8 * 200


def test_a_file_shorter_than_was_said_is_not_taken(hub: Hub, root: Path, maze: TaskSpec) -> None:
    hub.faults = ["short"] * 20
    with pytest.raises(UserError, match="could not be downloaded from hf://farama-minari"):
        fetch(maze)
    assert nothing_is_imported(root)
    hub.faults = []
    assert len(fetch(maze)) > 300


def test_wrong_bytes_are_named_and_deleted(hub: Hub, root: Path, maze: TaskSpec) -> None:
    hub.faults = ["flip"]
    with pytest.raises(UserError, match=r"arrived damaged: .*main_data.hdf5 is not the remote's"):
        fetch(maze)
    assert nothing_is_imported(root)
    assert not list(root.glob("downloads/**/*.hdf5"))
    assert len(fetch(maze)) > 300


def test_a_file_cut_off_before_it_was_published_is_named(
    hub: Hub, root: Path, maze: TaskSpec
) -> None:
    name = "pointmaze/open-dense-v2/data/main_data.hdf5"
    hub.files[name] = hub.files[name][:3000]
    with pytest.raises(UserError, match=r"main_data.hdf5 cannot be read .*truncated.*fetch it"):
        fetch(maze)
    assert nothing_is_imported(root)


def test_a_version_that_the_remote_lacks_is_named(hub: Hub, published: Path) -> None:
    for name in [name for name in hub.files if name.startswith("door/")]:
        hub.files[name.replace("human-v2", "human-v3")] = hub.files.pop(name).replace(
            b"human-v2", b"human-v3"
        )
    listed = hub.files["namespace_metadata.json"]
    hub.files["namespace_metadata.json"] = listed.replace(b"human-v2", b"human-v3")
    with pytest.raises(
        UserError, match=f"no {DOOR} on hf://farama-minari: it has D4RL/door/human-v3"
    ):
        fetch(get_task("minari/adroit/door/human"))
    with pytest.raises(UserError, match=r"no D4RL/pen/expert-v2 .* nor any other version"):
        fetch(get_task("minari/adroit/pen/expert"))


def test_a_format_that_minari_does_not_read_is_named(hub: Hub, root: Path) -> None:
    name = "door/human-v2/data/metadata.json"
    hub.files[name] = hub.files[name].replace(b"0.4.3", b"9.0.0")
    with pytest.raises(UserError, match=f"{DOOR} was written by Minari 9.0.0, which Minari 0.5"):
        fetch(get_task("minari/adroit/door/human"))
    assert not hub.ranges


def test_without_a_network_the_command_says_what_to_do(
    hub: Hub, root: Path, user_root: Path, maze: TaskSpec
) -> None:
    hub.server_close()
    hub.shutdown()
    heard: list[str] = []
    with pytest.raises(UserError) as caught:
        data.fetch(maze, progress=lambda what, *_: heard.append(what))
    asked = f"asking hf://farama-minari for {MAZE}"
    assert heard == [asked, *(f"{asked} (try {count})" for count in (2, 3, 4))]
    assert str(caught.value).startswith(
        "`python -m harness data fetch minari/pointmaze/open-dense-v2` stopped: "
    )
    for words in ("refused", "Nothing is lost", "Type the same command again", str(user_root)):
        assert words in str(caught.value)


def test_offline_mode_is_not_waited_for(
    hub: Hub, maze: TaskSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(minari_download, "WAITS", (1000.0,))
    with pytest.raises(UserError, match=r"stopped: .*offline mode is enabled.*Nothing is lost"):
        fetch(maze)


def test_other_data_under_the_same_version_are_named(
    hub: Hub, root: Path, maze: TaskSpec, tmp_path: Path
) -> None:
    fetch(maze)
    for folder in ("downloads", "minari", "cache"):
        shutil.rmtree(root / folder)
    public_data.leave(tmp_path / "later", MAZE, *public_data.play(300))
    hub.add(tmp_path / "later", MAZE)
    hub.commit = COMMIT[::-1]
    with pytest.raises(UserError, match=r"has changed since it was taken in: .*files.lock.json"):
        fetch(maze)
    assert nothing_is_imported(root)


def test_the_users_own_copy_is_imported_without_a_network(
    published: Path, root: Path, maze: TaskSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(published))
    assert len(fetch(maze)) > 300
    assert not (root / "downloads").exists()
    constants = data.prepare(maze).manifest["dataset"]["constants"]
    assert constants[f"revision of {MAZE}"].startswith("unknown")


def test_a_run_without_the_data_says_how_to_get_them(user_root: Path, maze: TaskSpec) -> None:
    command = "python -m harness data fetch minari/pointmaze/open-dense-v2"
    with pytest.raises(UserError, match=command):
        data.ensure(maze, make=False)
    with pytest.raises(UserError, match=f"{MAZE} that .* is neither in .*{command}"):
        data.ensure(maze)


def test_damage_after_the_download_is_named(hub: Hub, root: Path, maze: TaskSpec) -> None:
    fetch(maze)
    path = root / "downloads/minari" / MAZE / "data/main_data.hdf5"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=r"main_data.hdf5 is not the remote's file"):
        data.prepare(maze, force=True)
    assert data.verify(maze) == []  # what was imported before is still there


def test_a_dataset_in_anothers_place_is_named(
    published: Path, user_root: Path, maze: TaskSpec
) -> None:
    (user_root / MAZE).parent.mkdir(parents=True)
    (user_root / MAZE).symlink_to(published / DOOR)
    with pytest.raises(UserError, match=f"{MAZE} says of itself that it is {DOOR}"):
        data.ensure(maze)


def test_the_goal_seen_is_the_one_that_was_rewarded(
    published: Path, root: Path, maze: TaskSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(published))
    loaded = data.ensure(maze)
    rows = loaded.transitions
    ends = rows.episode_ends()
    assert len(ends) >= 4
    assert make_environment(maze).observation_space.shape == (rows.obs_dim,)
    goals = rows.observations[:, 4:]
    for arrived in (rows.observations, rows.next_observations):
        np.testing.assert_array_equal(arrived[:, 4:], goals)
    for first, end in zip([0, *ends[:-1]], ends, strict=True):
        assert len(np.unique(goals[first:end], axis=0)) == 1
    distance = np.linalg.norm(rows.next_observations[:, :2] - goals, axis=1)
    np.testing.assert_allclose(rows.rewards, np.exp(-distance), atol=1e-6)
    assert (np.flatnonzero(distance <= 0.45) == ends - 1).all()
    assert not rows.terminals.any()
    told = loaded.manifest["dataset"]["constants"]["stale first goals"]
    assert told == f"{len(ends) - 1} of {len(ends)} episodes"


@pytest.mark.parametrize("sign", ["added", "subtracted"])
def test_adroits_rewards_get_d4rls_sign(
    sign: str, tmp_path: Path, user_root: Path, published: Path
) -> None:
    env, episodes = public_data.door(3)
    d4rls = []
    for arrays in episodes:
        palm, handle = arrays["observations"][1:, 29:32], arrays["observations"][1:, 32:35]
        d4rls.append(arrays["rewards"] - 0.2 * np.linalg.norm(palm - handle, axis=1))
    if sign == "subtracted":
        for arrays, rewards in zip(episodes, d4rls, strict=True):
            arrays["rewards"] = rewards
    public_data.leave(user_root, DOOR, env, episodes)
    task = get_task("minari/adroit/door/human")
    loaded = data.ensure(task)
    np.testing.assert_allclose(loaded.transitions.rewards, np.concatenate(d4rls), atol=1e-5)
    constants = loaded.manifest["dataset"]["constants"]
    assert constants["palm's distance in recorded rewards"] == sign


def test_rewards_of_neither_sign_are_refused(user_root: Path) -> None:
    env, episodes = public_data.door(2)
    for arrays in episodes:
        arrays["rewards"] = arrays["rewards"] * 3
    public_data.leave(user_root, DOOR, env, episodes)
    with pytest.raises(UserError, match="neither add nor subtract the palm's distance"):
        data.ensure(get_task("minari/adroit/door/human"))


def test_an_episode_with_too_few_observations_is_named(user_root: Path) -> None:
    env, episodes = public_data.door(2)
    episodes[1]["observations"] = episodes[1]["observations"][1:]
    public_data.leave(user_root, DOOR, env, episodes)
    with pytest.raises(UserError, match="episode 1: it has 200 actions and 200 of"):
        data.ensure(get_task("minari/adroit/door/human"))


def test_other_remotes_are_refused(
    hub: Hub, maze: TaskSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_REMOTE", "gcp://minari-remote")
    with pytest.raises(UserError, match="'gcp://minari-remote', but only Hugging Face"):
        fetch(maze)


def test_the_command_as_typed_resumes_although_the_hub_offers_xet(
    hub: Hub, tmp_path: Path, root: Path
) -> None:
    hub.xet = True
    hub.faults = ["drop"]
    half = len(hub.files[DOOR_FILE]) // 2
    result = subprocess.run(
        [sys.executable, "-m", "harness", "data", "fetch", "minari/adroit/door/human"],
        cwd=REPOSITORY,
        env=os.environ
        | {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "(try 2)" in result.stdout
    assert "tried again." in result.stdout
    assert "is ready" in result.stdout
    assert hub.ranges == [None, f"bytes={half // minari_download.CHUNK * minari_download.CHUNK}-"]
