"""Tasks on D4RL's own data: their specs, and that their environments are D4RL's."""

from __future__ import annotations

import re
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest

from harness.errors import UserError
from harness.tasks import TaskSpec, d4rl, get_task, make_environment, maze2d, task_of_dataset, words
from harness.tasks.d4rl_files import CHECKSUMS
from harness.tasks.mazes import MAZES
from tests.conftest import LOCAL_DATA, needs

REFERENCES = LOCAL_DATA.parent / "README.md"
TASKS = [*d4rl.FAMILY.task_ids(), *maze2d.FAMILY.task_ids()]


def d4rl_name(task_id: str) -> str:
    """D4RL's own name for a task, without its version."""
    suite, *rest = task_id.split("/")
    return "-".join(["maze2d", *rest] if suite == "maze2d" else rest)


# --- specs ----------------------------------------------------------------------------------


def test_the_tasks_of_the_three_suites_are_there() -> None:
    gym_ids = {
        f"gym/{body}/{level}"
        for body in ("halfcheetah", "hopper", "walker2d")
        for level in ("medium", "medium-replay", "medium-expert")
    }
    adroit_ids = {
        f"adroit/{hand}/{level}"
        for hand in ("pen", "door", "hammer", "relocate")
        for level in ("human", "cloned", "expert")
    }
    mazes = ("umaze", "medium", "large", "open")
    maze_ids = {f"maze2d/{maze}{kind}" for maze in mazes for kind in ("", "-dense")}
    assert len(TASKS) == 9 + 12 + 8
    assert set(TASKS) == gym_ids | adroit_ids | maze_ids


@pytest.mark.parametrize(
    ("task_id", "file"),
    # Addresses as D4RL's infos.py builds or lists them.
    [
        ("gym/halfcheetah/medium-replay", "gym_mujoco_v2/halfcheetah_medium_replay-v2.hdf5"),
        ("gym/walker2d/medium-expert", "gym_mujoco_v2/walker2d_medium_expert-v2.hdf5"),
        ("gym/hopper/medium", "gym_mujoco_v2/hopper_medium-v2.hdf5"),
        ("adroit/pen/cloned", "hand_dapg_v1/pen-cloned-v1.hdf5"),
        ("adroit/relocate/human", "hand_dapg_v1/relocate-human-v1.hdf5"),
        ("maze2d/umaze", "maze2d/maze2d-umaze-sparse-v1.hdf5"),
        ("maze2d/large-dense", "maze2d/maze2d-large-dense-v1.hdf5"),
        ("maze2d/open", "maze2d/maze2d-open-sparse.hdf5"),
        ("maze2d/open-dense", "maze2d/maze2d-open-dense.hdf5"),
    ],
)
def test_a_task_names_d4rls_file(task_id: str, file: str) -> None:
    dataset = get_task(task_id).dataset
    assert dataset.params["file"] == file
    assert dataset.source == "d4rl"
    assert dataset.id == f"{task_id}-{dataset.params['revision']}"


@pytest.mark.parametrize("task_id", TASKS)
def test_a_spec_says_where_everything_is_from(task_id: str) -> None:
    task = get_task(task_id)
    file = str(task.dataset.params["file"])
    version = {"gym": "v2", "adroit": "v1", "maze2d": "v0" if "open" in task_id else "v1"}
    assert task.dataset.params["revision"] == version[task_id.partition("/")[0]]
    if task.family != "maze2d":
        assert file.endswith(f"-{task.dataset.params['revision']}.hdf5")
    size, sha256 = CHECKSUMS.get(file.rpartition("/")[2], (None, None))
    assert (task.dataset.params["bytes"], task.dataset.params["sha256"]) == (size, sha256)
    assert (sha256 is None) == ("relocate" in file or "maze2d" in file)
    said = words.semantics(task)
    assert said.startswith("d4rl. D4RL's ")
    assert "MuJoCo 4 instead of" in said
    assert f"{task.horizon} steps" in said
    assert words.source(task).startswith(f"D4RL d4rl/infos.py @ 89141a6, {d4rl_name(task_id)}")


def test_every_checksum_belongs_to_a_task() -> None:
    named = {str(get_task(task_id).dataset.params["file"]).rpartition("/")[2] for task_id in TASKS}
    assert set(CHECKSUMS) < named
    assert len({sha256 for _, sha256 in CHECKSUMS.values()}) == len(CHECKSUMS)
    assert all(re.fullmatch(r"[0-9a-f]{64}", sha256) for _, sha256 in CHECKSUMS.values())


def test_horizons_are_d4rls() -> None:
    mazes = {"umaze": 300, "medium": 600, "large": 800, "open": 150}
    for task_id in TASKS:
        suite, name, *_ = task_id.split("/")
        if suite == "maze2d":
            expected = mazes[name.removesuffix("-dense")]
        else:
            expected = {"gym": 1000, "adroit": 100 if name == "pen" else 200}[suite]
        assert get_task(task_id).horizon == expected


def table_of_references() -> dict[str, tuple[float, float]]:
    """D4RL's minimum and maximum by dataset, as the shared table has them."""
    table = {}
    rows = REFERENCES.read_text().partition("| datasets | REF_MIN | REF_MAX |\n|---|---|---|\n")[2]
    for row in rows.partition("\n\n")[0].splitlines():
        names, lows, highs = (cell.strip() for cell in row.strip("|").split("|"))
        if names.startswith("maze2d"):
            sparse, dense = names.split(" / ")
            found = [sparse, f"maze2d-{dense}"]
        else:
            name, levels, version = re.findall(r"(\w+)-\{(.*?)\}-(v\d)", names)[0]
            found = [f"{name}-{level}-{version}" for level in levels.split(",")]
            lows, highs = (" / ".join([value] * len(found)) for value in (lows, highs))
        for each, low, high in zip(found, lows.split(" / "), highs.split(" / "), strict=True):
            table[each] = float(low), float(high)
    return table


@needs(REFERENCES, "HARNESS_LOCAL_DATA")
def test_references_are_those_of_the_table() -> None:
    table = table_of_references()
    for task_id in TASKS:
        task = get_task(task_id)
        name = f"{d4rl_name(task_id)}-{task.dataset.params['revision']}"
        assert (task.reference.min, task.reference.max) == table.pop(name)
    assert table == {}


def test_dataset_ids_say_the_size_and_name_their_task() -> None:
    for task_id in TASKS:
        for options in ({}, {"transitions": 3000}):
            task = get_task(task_id, options)
            assert task_of_dataset(task.dataset.id) == task
    assert get_task("gym/hopper/medium", {"transitions": 3000}).dataset.id == (
        "gym/hopper/medium-3k-v2"
    )
    assert task_of_dataset("gym/hopper/medium-v1") is None
    with pytest.raises(UserError, match=r"no option 'data_seed'; it takes transitions\."):
        get_task("adroit/pen/human", {"data_seed": 1})


# --- locomotion -----------------------------------------------------------------------------


def v4_of(task: TaskSpec) -> Any:
    """What gymnasium makes of the same body's v4, which kept D4RL's physics and rewards."""
    return gym.make(task.environment.id.replace("v5", "v4"), disable_env_checker=True)


@pytest.mark.filterwarnings("ignore:.*is out of date.*:DeprecationWarning")
def test_the_walkers_feet_are_d4rls() -> None:
    task = get_task("gym/walker2d/medium")
    ours: Any = make_environment(task).unwrapped
    theirs = v4_of(task).unwrapped
    np.testing.assert_array_equal(ours.model.geom_friction, theirs.model.geom_friction)
    friction = {g: float(ours.model.geom(g).friction[0]) for g in ("foot_geom", "foot_left_geom")}
    assert friction == {"foot_geom": 0.9, "foot_left_geom": 1.9}
    local: Any = make_environment(get_task("local/walker2d/medium")).unwrapped
    assert local.model.geom("foot_geom").friction[0] == 1.9


@pytest.mark.filterwarnings("ignore:.*is out of date.*:DeprecationWarning")
@pytest.mark.parametrize("name", ["hopper", "walker2d"])
def test_bodies_step_and_pay_like_v4(name: str) -> None:
    task = get_task(f"gym/{name}/medium-replay")
    ours, v4 = make_environment(task), v4_of(task)
    rng = np.random.default_rng(5)
    falls = 0
    for seed in range(4):
        state, expected = ours.reset(seed=seed)[0], v4.reset(seed=seed)[0]
        for _ in range(200):
            np.testing.assert_array_equal(state, expected.astype(np.float32))
            action = rng.uniform(-1, 1, v4.action_space.shape).astype(np.float32)
            state, reward, terminated, _, _ = ours.step(action)
            expected, their_reward, their_end, *_ = v4.step(action)
            assert reward == pytest.approx(their_reward, abs=1e-12)
            assert terminated == their_end
            if terminated:
                falls += 1
                break
    assert falls == 4


# --- maze2d ---------------------------------------------------------------------------------


def d4rls_model(name: str) -> Any:
    """D4RL's maze as its own code describes it, without what is only seen."""
    walls = "".join(
        f'<geom type="box" conaffinity="1" pos="{row + 1} {column + 1} 0" size="0.5 0.5 0.2"/>'
        for row, line in enumerate(MAZES[name].grid)
        for column, mark in enumerate(line)
        if mark == "#"
    )
    return mujoco.MjModel.from_xml_string(f"""
    <mujoco>
      <compiler inertiafromgeom="true" angle="radian"/>
      <option timestep="0.01" gravity="0 0 0" iterations="20" integrator="Euler"/>
      <default>
        <joint damping="1" limited="false"/>
        <geom friction=".5 .1 .1" density="1000" margin="0.002" condim="1" contype="2"
              conaffinity="1"/>
      </default>
      <worldbody>
        <geom type="plane" size="40 40 0.25" pos="0 0 -0.1" contype="1" conaffinity="0"/>
        <body pos="1.2 1.2 0">
          <geom name="point" type="sphere" size="0.1" contype="1"/>
          <joint name="x" type="slide" axis="1 0 0"/>
          <joint name="y" type="slide" axis="0 1 0"/>
        </body>
        {walls}
      </worldbody>
      <actuator>
        <motor joint="x" ctrlrange="-1 1" ctrllimited="true" gear="100"/>
        <motor joint="y" ctrlrange="-1 1" ctrllimited="true" gear="100"/>
      </actuator>
    </mujoco>""")


def d4rls_step(model: Any, data: Any, action: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One step as D4RL takes it; returns row, column and their velocities."""
    data.qvel[:] = np.clip(data.qvel, -5, 5)
    mujoco.mj_forward(model, data)
    data.ctrl[:] = np.clip(action, -1, 1)
    mujoco.mj_step(model, data)
    mujoco.mj_rnePostConstraint(model, data)
    return np.concatenate([data.qpos, data.qvel])


@pytest.mark.parametrize(("task_id", "goal"), [("umaze", (1, 1)), ("large-dense", (7, 9))])
def test_maze2d_drives_and_pays_like_d4rls_own_model(task_id: str, goal: tuple[int, int]) -> None:
    env: Any = make_environment(get_task(f"maze2d/{task_id}"))
    model = d4rls_model(task_id.removesuffix("-dense"))
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    touched, rewarded = 0, 0
    for seed in range(6):
        state, _ = env.reset(seed=seed)
        place, velocity = rng.uniform(-0.1, 0.1, 2) + goal, rng.normal(size=2)
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:] = place, velocity
        env.set_state(place, velocity)
        push = rng.uniform(-1, 1, 2)
        for _ in range(120):
            action = np.clip(push + rng.normal(size=2), -1.2, 1.2).astype(np.float32)
            expected = d4rls_step(model, data, action)
            state, reward, terminated, _, info = env.step(action)
            np.testing.assert_allclose(state, expected, atol=1e-5)
            distance = np.linalg.norm(expected[:2] - goal)
            pays = np.exp(-distance) if "dense" in task_id else float(distance <= 0.5)
            assert reward == pytest.approx(pays, abs=1e-6)
            assert info["success"] == (distance <= 0.5)
            assert not terminated
            rewarded += distance <= 0.5
            touched += data.ncon > 1  # more than the ground
    assert touched > 100
    assert 0 < rewarded < 6 * 120


def test_maze2d_starts_where_d4rl_starts() -> None:
    task = get_task("maze2d/umaze")
    env, cells, speeds = make_environment(task), set(), []
    for seed in range(200):
        state, info = env.reset(seed=seed)
        cell = tuple(np.rint(state[:2]).astype(int).tolist())
        assert np.abs(state[:2] - cell).max() <= 0.1
        assert info["success"] == (cell == (1, 1))
        cells.add(cell)
        speeds.append(state[2:])
    assert cells == set(MAZES["umaze"].free_cells())  # the goal's cell, too
    assert np.std(speeds) == pytest.approx(0.1, abs=0.015)
    first, again = env.reset(seed=7)[0], env.reset(seed=7)[0]
    np.testing.assert_array_equal(first, again)


def test_maze2d_lasts_for_d4rls_horizon() -> None:
    env = make_environment(get_task("maze2d/open"))
    env.reset(seed=0)
    ends = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(150)]
    assert ends == [(False, False)] * 149 + [(False, True)]
