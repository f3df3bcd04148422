"""D4RL's files to rows: against stitching done by hand, and against D4RL's rule written anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pytest

from algorithms.transitions import Transitions
from harness import data
from harness.errors import UserError
from harness.tasks import TaskSpec, d4rl_files, get_task
from harness.tasks.d4rl_rules import palm_distance

Arrays = dict[str, np.ndarray[Any, Any]]
HOPPER = (11, 3)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    """The folder of D4RL's files, still empty; any bytes may be theirs."""
    monkeypatch.setenv("HARNESS_D4RL_DATA", str(tmp_path / "files"))
    monkeypatch.setattr(d4rl_files, "CHECKSUMS", {})
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def leave(folder: Path, task_id: str, arrays: Arrays) -> TaskSpec:
    """Write a file where a task looks for it."""
    task = get_task(task_id)
    path = folder / str(task.dataset.params["file"]).rpartition("/")[2]
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip")
        file["metadata/algorithm"] = np.bytes_("SAC")
    return task


def rows(states: list[float], ends: str, successors: list[float] | None = None) -> Arrays:
    """A hopper's file whose row i has the observation `states[i]` in every column.

    `ends` has a letter a row: `t` for terminal, `o` for timeout, `b` for both, `.` for neither.
    Row i's reward is i, its action i / 100.
    """
    obs_dim, action_dim = HOPPER
    count = len(states)
    arrays = {
        "observations": np.repeat(np.array(states, np.float32)[:, None], obs_dim, axis=1),
        "actions": np.repeat(np.arange(count)[:, None] / 100, action_dim, axis=1),
        "rewards": np.arange(count, dtype=np.float32),
        "terminals": np.array([mark in "tb" for mark in ends]),
        "timeouts": np.array([mark in "ob" for mark in ends]),
    }
    arrays["actions"] = arrays["actions"].astype(np.float32)
    if successors is not None:
        column = np.array(successors, np.float32)[:, None]
        arrays["next_observations"] = np.repeat(column, obs_dim, axis=1)
    return arrays


def taken(packed: Transitions) -> list[tuple[float, ...]]:
    """Observation, successor, reward, terminal and timeout of each row."""
    columns = (
        packed.observations[:, 0],
        packed.next_observations[:, 0],
        packed.rewards,
        packed.terminals,
        packed.timeouts,
    )
    return [tuple(map(float, row)) for row in zip(*columns, strict=True)]


def facts(loaded: data.LoadedData) -> dict[str, Any]:
    found: dict[str, Any] = loaded.manifest["dataset"]["constants"]
    return found


# --- stitching by hand ----------------------------------------------------------------------


def test_episodes_end_at_terminals_and_before_timeouts(here: Path) -> None:
    #   row     0   1   2 | 3   4 | 5   6   7     rows 2 (timeout) and 7 (last) are left out
    states = [10, 11, 12, 20, 21, 30, 31, 32.0]
    follow = [11, 12, 13, 21, 22, 31, 32, 33.0]
    task = leave(here, "gym/hopper/medium", rows(states, "..o.t...", follow))
    loaded = data.ensure(task)
    assert taken(loaded.transitions) == [
        (10, 11, 0, 0, 0),
        (11, 12, 1, 0, 1),
        (20, 21, 3, 0, 0),
        (21, 22, 4, 1, 0),  # a terminal step keeps its own successor
        (30, 31, 5, 0, 0),
        (31, 32, 6, 0, 1),
    ]
    np.testing.assert_allclose(loaded.transitions.actions[:, 0], [0, 0.01, 0.03, 0.04, 0.05, 0.06])
    found = facts(loaded)
    assert found["steps in the file"] == 8
    assert found["episodes in the file"] == 3
    assert found["mean return in the file"] == pytest.approx((3 + 7 + 18) / 3)
    assert found["steps left out"] == 2
    assert found["terminal steps"] == 1
    assert found["terminal steps without successor"] == 0
    assert found["ends not marked"] == 0


def test_without_successors_a_terminal_step_keeps_its_own_observation(here: Path) -> None:
    task = leave(here, "adroit/pen/expert", hand_rows("pen", [10, 11, 20, 21, 22.0], ".t..."))
    loaded = data.ensure(task)
    assert taken(loaded.transitions) == [
        (10, 11, 0, 0, 0),
        (11, 11, 1, 1, 0),
        (20, 21, 2, 0, 0),
        (21, 22, 3, 0, 1),
    ]
    assert facts(loaded)["terminal steps without successor"] == 1


def test_an_end_that_is_not_marked_is_found_by_the_successors(here: Path) -> None:
    states = [10, 11, 12, 20, 21, 22.0]
    follow = [11, 12, 13, 21, 22, 23.0]
    task = leave(here, "gym/hopper/medium-replay", rows(states, "......", follow))
    loaded = data.ensure(task)
    # D4RL would learn the step 12 -> 20, which nobody took.
    assert taken(loaded.transitions) == [
        (10, 11, 0, 0, 0),
        (11, 12, 1, 0, 1),
        (20, 21, 3, 0, 0),
        (21, 22, 4, 0, 1),
    ]
    assert facts(loaded)["ends not marked"] == 1


def test_a_row_that_is_terminal_at_the_time_limit_is_left_out_as_by_d4rl(here: Path) -> None:
    task = leave(here, "gym/hopper/medium", rows([1, 2, 3, 4, 5.0], ".b...", None))
    assert taken(data.ensure(task).transitions) == [
        (1, 2, 0, 0, 1),
        (3, 4, 2, 0, 0),
        (4, 5, 3, 0, 1),
    ]


def test_a_piece_of_one_row_has_nothing_to_take(here: Path) -> None:
    task = leave(here, "gym/hopper/medium", rows([1, 2, 3, 4, 5.0], "oo...", None))
    loaded = data.ensure(task)
    assert taken(loaded.transitions) == [(3, 4, 2, 0, 0), (4, 5, 3, 0, 1)]
    assert facts(loaded)["episodes in the file"] == 3


def test_a_file_without_timeouts_is_cut_at_the_horizon_since_the_last_end(here: Path) -> None:
    count = 350
    arrays = hand_rows("pen", list(np.arange(count, dtype=float)), "." * 30 + "t" + "." * 319)
    del arrays["timeouts"]
    loaded = data.ensure(leave(here, "adroit/pen/human", arrays))  # horizon 100
    kept = {int(row[0]): row[3:] for row in taken(loaded.transitions)}
    left_out = set(range(count)) - set(kept)
    assert left_out == {130, 230, 330, 349}
    assert [row for row, (terminal, _) in kept.items() if terminal] == [30]
    assert [row for row, (_, timeout) in kept.items() if timeout] == [129, 229, 329, 348]
    assert facts(loaded)["timeouts"] == "absent, taken at the horizon"


def hand_rows(hand: str, states: list[float], ends: str) -> Arrays:
    """As `rows`, with the sizes of an Adroit file, without successors."""
    obs_dim, action_dim = {"pen": (45, 24), "door": (39, 28)}[hand]
    arrays = rows(states, ends)
    arrays["observations"] = np.repeat(arrays["observations"][:, :1], obs_dim, axis=1)
    arrays["actions"] = np.repeat(arrays["actions"][:, :1], action_dim, axis=1)
    return arrays


def test_columns_of_rewards_and_flags_are_read_too(here: Path) -> None:
    arrays = rows([1, 2, 3, 4.0], ".o..")
    for name in ("rewards", "terminals", "timeouts"):
        arrays[name] = arrays[name][:, None].astype(np.float32)
    task = leave(here, "gym/hopper/medium", arrays)
    assert taken(data.ensure(task).transitions) == [(1, 2, 0, 0, 1), (3, 4, 2, 0, 1)]


def test_actions_beyond_the_box_are_clipped_and_counted(here: Path) -> None:
    arrays = rows([1, 2, 3, 4.0], "....")
    arrays["actions"][1] = [1.5, -2.0, 0.5]
    loaded = data.ensure(leave(here, "gym/hopper/medium", arrays))
    np.testing.assert_array_equal(loaded.transitions.actions[1], [1.0, -1.0, 0.5])
    assert loaded.manifest["dataset"]["intake"]["clipped_steps"] == 1


def test_maze2d_is_cut_where_its_controller_arrived_and_never_terminal(here: Path) -> None:
    arrays = rows([1, 2, 3, 3, 5, 6.0], "..o...")  # the row after an arrival repeats the one before
    arrays["observations"], arrays["actions"] = (
        arrays["observations"][:, :4],
        arrays["actions"][:, :2],
    )
    loaded = data.ensure(leave(here, "maze2d/umaze", arrays))
    assert taken(loaded.transitions) == [
        (1, 2, 0, 0, 0),
        (2, 3, 1, 0, 1),
        (3, 5, 3, 0, 0),
        (5, 6, 4, 0, 1),
    ]
    assert facts(loaded)["episodes that begin with the observation before"] == 1
    arrays["terminals"][2] = True
    with pytest.raises(UserError, match="terminal steps, which D4RL's maze2d files do not"):
        data.ensure(leave(here, "maze2d/medium", arrays))


# --- stitching at large ---------------------------------------------------------------------


def d4rls_rows(arrays: Arrays) -> list[int]:
    """The rows that D4RL's qlearning_dataset takes: none that a timeout ends, nor the last."""
    return [row for row in range(len(arrays["rewards"]) - 1) if not arrays["timeouts"][row]]


def random_file(seed: int, count: int = 4000) -> Arrays:
    """Random walks of random lengths as D4RL records them, a tenth of them ended by the limit."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {
        "observations": rng.normal(size=(count, 11)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (count, 3)).astype(np.float32),
        "rewards": rng.normal(size=count).astype(np.float32),
        "terminals": rng.random(count) < 0.02,
    }
    arrays["timeouts"] = (rng.random(count) < 0.01) & ~arrays["terminals"]
    ended = arrays["terminals"] | arrays["timeouts"]
    following = np.roll(arrays["observations"], -1, axis=0)
    elsewhere = rng.normal(size=following.shape).astype(np.float32)
    arrays["next_observations"] = np.where(ended[:, None], elsewhere, following)
    arrays["next_observations"][-1] = elsewhere[-1]
    return arrays


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_those_of_d4rls_qlearning_dataset(seed: int, here: Path) -> None:
    arrays = random_file(seed)
    packed = data.ensure(leave(here, "gym/hopper/medium", arrays)).transitions
    expected = d4rls_rows(arrays)
    np.testing.assert_array_equal(packed.observations, arrays["observations"][expected])
    np.testing.assert_array_equal(packed.actions, arrays["actions"][expected])
    np.testing.assert_array_equal(packed.rewards, arrays["rewards"][expected])
    np.testing.assert_array_equal(packed.terminals, arrays["terminals"][expected])
    following = [row + 1 for row in expected]
    alive = packed.terminals == 0
    np.testing.assert_array_equal(
        packed.next_observations[alive], arrays["observations"][following][alive]
    )
    np.testing.assert_array_equal(
        packed.next_observations[~alive], arrays["next_observations"][expected][~alive]
    )


def test_the_imported_dataset_is_sound_and_minari_reads_it(
    here: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = random_file(7)
    task = leave(here, "gym/hopper/medium-expert", arrays)
    loaded = data.ensure(task)
    (problem,) = data.verify(task)  # of random numbers, only the rewards can be told from real ones
    assert "not what its observations say" in problem
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root / "minari"))
    dataset = minari.load_dataset("gym/hopper/medium-expert-v2")
    assert dataset.total_steps == len(loaded.transitions)
    episode = dataset[0]
    assert len(episode.observations) == len(episode.actions) + 1
    assert dataset.spec.env_spec.id == "Hopper-v5"


def test_maze2d_is_a_minari_dataset_of_flat_observations(
    here: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = random_file(3, 500)
    del arrays["next_observations"]
    arrays["terminals"][:] = False
    arrays["observations"], arrays["actions"] = (
        arrays["observations"][:, :4],
        arrays["actions"][:, :2],
    )
    data.ensure(leave(here, "maze2d/large-dense", arrays))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root / "minari"))
    dataset = minari.load_dataset("maze2d/large-dense-v1")
    assert dataset.spec.observation_space.shape == (4,)
    assert dataset[0].observations[0] in dataset.spec.observation_space


def test_the_first_whole_episodes_can_be_asked_for(here: Path) -> None:
    arrays = random_file(1)
    whole = data.ensure(leave(here, "gym/hopper/medium", arrays)).transitions
    part = data.ensure(get_task("gym/hopper/medium", {"transitions": 1000})).transitions
    ends = whole.episode_ends()
    assert len(part) == ends[ends <= 1000].max()
    np.testing.assert_array_equal(part.rows, whole.rows[: len(part)])


# --- what is refused ------------------------------------------------------------------------


def without(arrays: Arrays, name: str) -> Arrays:
    return {key: array for key, array in arrays.items() if key != name}


GOOD = rows([1, 2, 3, 4.0], "..o.", [2, 3, 9, 5.0])


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        (without(GOOD, "rewards"), "it has no rewards"),
        (GOOD | {"actions": GOOD["actions"][:3]}, "4 observations, 3 actions"),
        (GOOD | {"rewards": GOOD["observations"]}, r"rewards have the shape \[4, 11\]"),
        (GOOD | {"terminals": np.array([0, 0, 2, 0])}, "terminals are not all 0 or 1"),
        (
            GOOD | {"next_observations": GOOD["actions"]},
            r"observations have the shape \[4, 11\], their successors \[4, 3\]",
        ),
        (
            rows([1, 2, 3, 4, 5.0], ".....", [7, 7, 7, 7, 7.0]),
            "4 of its 5 steps have a successor that is not the next row's",
        ),
        (rows([1.0], "t"), "none of its steps has a successor"),
        ({name: array[:0] for name, array in GOOD.items()}, "0 observations"),
    ],
)
def test_files_that_cannot_be_d4rls_are_refused(
    arrays: Arrays, complaint: str, here: Path, root: Path
) -> None:
    task = leave(here, "gym/hopper/medium", arrays)
    with pytest.raises(UserError, match=complaint):
        data.ensure(task)
    assert not list(root.glob("minari/**/main_data.hdf5"))


def test_damage_inside_a_file_is_named(here: Path) -> None:
    task = leave(here, "gym/hopper/medium", random_file(0))
    (path,) = here.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"hopper_medium-v2.hdf5 cannot be read .*fetch it again"):
        data.ensure(task)


# --- the sign in Adroit's rewards -----------------------------------------------------------


def door_file(sign: float) -> Arrays:
    """A hand that wanders before a closed door, paid by D4RL's formula or with the other sign."""
    rng, count = np.random.default_rng(0), 1500
    arrays = hand_rows("door", [0.0] * count, ("." * 299 + "o") * 5)
    observations = arrays["observations"] = np.zeros((count, 39), np.float32)
    observations[:, :27] = np.cumsum(rng.normal(scale=0.002, size=(count, 27)), axis=0)
    observations[:, 35:38] = observations[:, :3] + [0.3, 0.1, 0.0]
    arrays["rewards"] = np.zeros(count, np.float32)
    after = palm_distance("door", observations[1:])
    arrays["rewards"][:-1] = sign * 0.1 * after - 0.1 * 1.57**2
    return arrays


@pytest.mark.parametrize(("sign", "word"), [(-1.0, "subtracted"), (1.0, "added")])
def test_the_recorded_sign_is_reported_and_d4rls_is_learnt(
    sign: float, word: str, here: Path
) -> None:
    loaded = data.ensure(leave(here, "adroit/door/cloned", door_file(sign)))
    assert facts(loaded)["the palm's distance in rewards is"] == word
    distance = palm_distance("door", loaded.transitions.next_observations)
    np.testing.assert_allclose(
        loaded.transitions.rewards, -0.1 * distance - 0.1 * 1.57**2, atol=1e-6
    )


def test_a_sign_that_cannot_be_told_is_not_guessed(here: Path) -> None:
    task = leave(here, "adroit/door/human", door_file(0.0))
    with pytest.raises(UserError, match="add or subtract the palm's distance cannot be told"):
        data.ensure(task)


def test_the_pens_rewards_have_no_such_sign(here: Path) -> None:
    loaded = data.ensure(leave(here, "adroit/pen/cloned", hand_rows("pen", [1, 2, 3.0], "...")))
    assert "the palm's distance in rewards is" not in facts(loaded)
    assert loaded.transitions.rewards.tolist() == [0.0, 1.0]
