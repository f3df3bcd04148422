"""The command line as a user types it: real processes, exit codes, and what they print."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.commands.run import whole_suite_command
from harness.data import ensure
from harness.execution.draft import RunOptions
from harness.execution.plan import Plan
from harness.execution.work import work
from harness.suite.schema import load_suite, suite_tasks
from tests.harness.conftest import REPOSITORY, TINY_TASK, CommandLine, evaluation_files, trials_of
from tests.harness.their_package import TheirPackage

WriteSuite = Callable[..., Path]
HUGE = {
    "training": {"steps": 10**7, "compile": False},
    "evaluation": {"every": 10**7, "episodes": 1},
}
LOCAL = ("--executor", "local")


def states(results: Path) -> list[str]:
    files = sorted(results.rglob("status.json"))
    return [json.loads(path.read_text())["state"] for path in files]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 100
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_training(results: Path) -> bool:
    """Whether a run under `results` has taken steps."""
    return any(json.loads(path.read_text())["step"] > 0 for path in results.rglob("status.json"))


def results_of(plan: Plan) -> Path:
    """Everything a finished `run` leaves but its report, made in this process."""
    plan.suite_file("python -m harness run tiny.yaml").write(plan.directory)
    for trial in trials_of(plan):
        list(work(trial))
    return plan.directory


def test_a_run_reports_and_running_again_does_nothing(
    harness: CommandLine, write_suite: WriteSuite, plan_of: Callable[..., Plan]
) -> None:
    """Its workers leave the bytes that this process does."""
    folder = results_of(plan_of())
    files = evaluation_files(folder)
    suite = write_suite()
    printed = harness("run", suite, *LOCAL, "--fresh")
    assert "deleting 2 earlier runs" in printed
    assert "2 runs of 40 steps, 0 done already, 2 to do" in printed
    assert "runs: 2 done" in printed
    assert "report.html" in printed
    assert evaluation_files(folder) == files
    for name in ("table.md", "table.csv", "table.tex", "report.html", "suite.json"):
        assert (folder / name).stat().st_size > 0
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("runs/**/*")}
    assert "2 done already, 0 to do" in harness("run", suite, *LOCAL)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("runs/**/*")} == before


def test_a_report_needs_neither_torch_nor_ray(plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    folder = results_of(plan_of())
    program = (
        "import sys; sys.modules['torch'] = sys.modules['ray'] = sys.modules['gymnasium'] = None; "
        f"sys.argv = ['harness', 'report', 'tiny', '--results', {str(tmp_path / 'results')!r}]; "
        "from harness.commands.cli import main; main()"
    )
    printed = subprocess.check_output([sys.executable, "-c", program], cwd=REPOSITORY, text=True)
    assert "table.md" in printed
    assert (folder / "table.md").exists()
    assert (folder / "report.html").exists()


def test_a_method_whose_code_changed_is_trained_again_unless_its_runs_are_kept(
    harness: CommandLine,
    write_suite: WriteSuite,
    plan_of: Callable[..., Plan],
    their_package: TheirPackage,
) -> None:
    theirs = {"algorithms": {"theirs": {}}, "seeds": 1}
    folder = results_of(plan_of(**theirs))
    suite = write_suite(**theirs)
    their_package.change("-1.0")
    printed = harness("run", suite, *LOCAL, "--keep")
    assert "1 done already, 0 to do" in printed
    assert "since 1 of its runs was made: it is kept, and marked in tables." in printed
    printed = harness("run", suite, *LOCAL)
    assert "0 done already, 1 to do" in printed
    assert "since 1 of its runs was made: it is trained again. To keep it: --keep." in printed
    files = evaluation_files(folder)
    assert len(files) == 2
    assert len(set(files.values())) == 2
    their_package.change("1.0")
    assert "1 done already, 0 to do" in harness("run", suite, *LOCAL)
    assert evaluation_files(folder) == files
    their_package.change("-2.0")
    printed = harness("run", suite, *LOCAL, "--fresh")
    assert "0 done already, 1 to do" in printed
    assert "deleting" not in printed  # as there is nothing by today's code
    assert "--keep" not in printed
    assert "deleting 1 earlier run in" in harness("run", suite, *LOCAL, "--fresh")


def test_afresh_is_what_was_selected_beside_what_earlier_code_left(
    harness: CommandLine,
    write_suite: WriteSuite,
    plan_of: Callable[..., Plan],
    their_package: TheirPackage,
) -> None:
    both = {"algorithms": {"theirs": {}, "bc": {}}, "seeds": 1}
    results_of(plan_of(**both))
    suite = write_suite(**both)
    their_package.change("-1.0")
    printed = harness("run", suite, *LOCAL, "--fresh", "--only", "bc")
    assert "deleting 1 earlier run in" in printed
    assert states(harness.results) == ["done", "done"]


@pytest.mark.parametrize("executor", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_ctrl_c_saves_everything_and_says_how_to_continue(
    harness: CommandLine, write_suite: WriteSuite, executor: str
) -> None:
    with harness.start("run", write_suite(**HUGE), "--executor", executor) as process:
        wait_for(lambda: is_training(harness.results), process)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopping: saving every run" in printed
    assert "Stopped with 0 of 2 runs done" in printed
    assert "same command to continue" in printed
    assert "Traceback" not in printed
    assert states(harness.results) == ["interrupted"] * 2
    assert len(list(harness.results.rglob("checkpoint.safetensors"))) == 2
    assert not list(harness.results.rglob(".stop"))


@pytest.mark.parametrize(
    ("executor", "asked"),
    [
        ("local", signal.SIGHUP),
        pytest.param("ray", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_command_that_is_asked_to_end_or_loses_its_terminal_stops_cleanly_and_can_go_on(
    harness: CommandLine, write_suite: WriteSuite, executor: str, asked: signal.Signals
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
    try:
        with harness.start("run", write_suite(**HUGE), "--executor", executor) as process:
            wait_for(lambda: is_training(harness.results), process)
            process.send_signal(asked)
            printed, _ = process.communicate(timeout=60)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert process.returncode == 130
    assert "same command to continue" in printed
    assert states(harness.results) == ["interrupted"] * 2


def test_under_nohup_a_lost_terminal_stops_nothing_and_being_asked_to_end_does(
    harness: CommandLine, write_suite: WriteSuite
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does, and children inherit
    try:
        with harness.start("run", write_suite(**HUGE), *LOCAL) as process:
            wait_for(lambda: is_training(harness.results), process)
            process.send_signal(signal.SIGHUP)
            time.sleep(1)
            assert states(harness.results) == ["running"] * 2
            process.send_signal(signal.SIGTERM)
            printed, _ = process.communicate(timeout=60)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert process.returncode == 130
    assert "same command to continue" in printed
    assert states(harness.results) == ["interrupted"] * 2


def test_a_second_ctrl_c_kills(harness: CommandLine, write_suite: WriteSuite) -> None:
    suite = write_suite(**HUGE)
    with harness.start("run", suite, *LOCAL) as process:
        wait_for(lambda: is_training(harness.results), process)
        process.send_signal(signal.SIGINT)
        wait_for(lambda: bool(list(harness.results.rglob(".stop"))), process)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in printed


def test_workers_of_a_killed_command_save_and_end(
    harness: CommandLine, write_suite: WriteSuite
) -> None:
    with harness.start("run", write_suite(**HUGE), *LOCAL) as process:
        wait_for(lambda: is_training(harness.results), process)
        process.kill()
        process.communicate(timeout=60)  # ends when the workers have closed their output
    deadline = time.monotonic() + 60
    while states(harness.results) != ["interrupted"] * 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_one_failing_algorithm_leaves_the_others_and_exits_with_1(
    harness: CommandLine, write_suite: WriteSuite, tmp_path: Path
) -> None:
    # A weight that overflows: the policy's actions become NaN and the evaluation refuses.
    broken = {"algorithm": "td3-bc", "config": {"alpha": 1e300}}
    # So many cores for a trial that one worker takes both.
    suite = write_suite(
        algorithms={"broken": broken, "bc": {}}, resources={"cpus_per_trial": 10**6}
    )
    printed = harness("run", suite, *LOCAL, code=1)
    assert "failed: pointmaze/umaze broken seed 0" in printed
    assert states(tmp_path / "results") == ["done", "done", "failed", "failed"]
    assert "failed" in (harness.results / "tiny" / "table.md").read_text()


def test_a_folder_of_another_spec_stops_the_command_and_loses_nothing(
    harness: CommandLine, write_suite: WriteSuite, plan_of: Callable[..., Plan]
) -> None:
    files = evaluation_files(results_of(plan_of()))
    spec = next(harness.results.rglob("seed-1/spec.json"))
    spec.write_text(spec.read_text().replace('"steps": 40', '"steps": 50'))
    status = spec.with_name("status.json")  # of a done run it would be damage, and repaired
    status.write_text(status.read_text().replace('"done"', '"interrupted"'))
    printed = harness("run", write_suite(), *LOCAL, code=2)
    assert "holds the results of a different spec" in printed
    assert "steps" in printed
    assert evaluation_files(harness.results / "tiny") == files


def test_changed_data_stop_the_command_before_any_run(
    harness: CommandLine,
    write_suite: WriteSuite,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    suite = write_suite()
    [task] = suite_tasks(load_suite(suite)[0])
    ensure(task)
    [rows] = (tmp_path / "data").rglob("rows.npy")
    content = bytearray(rows.read_bytes())
    content[len(content) // 2] ^= 1
    rows.chmod(0o644)
    rows.write_bytes(content)
    printed = harness("run", suite, *LOCAL, code=2)
    assert "sha256" in printed
    assert "data make" in printed
    assert states(harness.results) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nowhere.yaml"), "no suite file nowhere.yaml"),
        (("run", "quickstarts"), "Did you mean 'quickstart'?"),
        (("run", "quickstart", "--only", "dqn", "--smoke", *LOCAL), "selects nothing"),
        (("run", "quickstart", "--seeds", "0"), "greater than or equal to 1"),
        (("run", "quickstart", "--executor", "slurm"), "'slurm' is not one of"),
        (("run", "quickstart", "--address", "auto", *LOCAL), "needs the executor ray"),
        (("run", "quickstart", "--fresh", "--keep"), "give one of them"),
        (("run",), "Missing argument 'SUITE'"),
        (("report", "quickstart"), "no results of 'quickstart'"),
        (("list", "robots"), "'robots' is not one of"),
        (("list", "algorithms", "iqll"), "Did you mean 'iql'"),
        (("list", "algorithms", "inac"), "one of a package of your own is known once that is"),
        (("list", "suites", "quickstart"), "Only algorithms and tasks are shown one by one"),
        (("list", "tasks", "pointmaze/umazes"), "Did you mean 'pointmaze/umaze'?"),
        (("train",), "No such command 'train'"),
    ],
    ids=str,
)
def test_bad_arguments_exit_with_2_and_say_why(
    harness: CommandLine, arguments: tuple[str, ...], message: str
) -> None:
    assert message in harness(*arguments, code=2)


def test_a_bad_suite_exits_with_2_and_lists_its_mistakes(
    harness: CommandLine, write_suite: WriteSuite
) -> None:
    suite = write_suite(algorithms={"bc": {"config": {"batch_sise": 3}}})
    printed = harness("run", suite, *LOCAL, code=2)
    assert f"error: {suite} has a problem:" in printed
    assert "algorithms.bc.config.batch_sise: unknown key 'batch_sise'" in printed
    assert "Did you mean 'batch_size'?" in printed
    assert not harness.results.exists()


@pytest.mark.parametrize("absent", ["ray", "pyarrow"])
def test_without_ray_the_way_to_get_it_is_shown(
    write_suite: WriteSuite, tmp_path: Path, absent: str
) -> None:
    suite = write_suite(tasks=[TINY_TASK])
    program = (
        f"import sys; sys.modules[{absent!r}] = None; "
        f"sys.argv = ['harness', 'run', {str(suite)!r}]; "
        "from harness.commands.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env={**os.environ, "HARNESS_DATA": str(tmp_path)},
    )
    assert result.returncode == 2
    assert "pip install 'ray[tune]'" in result.stderr
    assert "--executor local" in result.stderr
    assert "Traceback" not in result.stderr


def test_too_little_memory_is_called_that_and_not_a_missing_package(
    write_suite: WriteSuite, tmp_path: Path
) -> None:
    limit = 650 * 2**20  # bytes: Python starts, and torch does not fit
    result = subprocess.run(
        [sys.executable, "-m", "harness", "run", write_suite(), *LOCAL],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env={**os.environ, "HARNESS_DATA": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: there is not enough memory (")
    assert "install" not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_cluster_that_is_not_there_exits_with_2(
    harness: CommandLine, write_suite: WriteSuite
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # ours, and nobody listens
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        printed = harness("run", write_suite(), "--address", address, code=2)
    assert f"Cannot join the Ray cluster at {address}" in printed
    assert "--executor local" in printed


@pytest.mark.parametrize("what", ["algorithms", "tasks", "suites", "datasets"])
def test_lists_are_tables_or_json(harness: CommandLine, what: str) -> None:
    rows = json.loads(harness("list", what, "--json"))
    table = harness("list", what)
    assert rows
    for row in rows:
        assert str(next(iter(row.values()))) in table


def test_every_method_has_an_oracle_and_settings_for_the_benchmarks(harness: CommandLine) -> None:
    rows = json.loads(harness("list", "algorithms", "--json"))
    ours = [row for row in rows if "ablations" not in row["family"]]
    assert len(ours) >= 40
    for row in ours:
        assert row["oracle"], row["id"]
        assert 1946 < int(row["year"]) < 2030
        assert row["critic"] in ("trusted", "not needed")
    without = {
        row["id"] for row in ours if row["settings"] != ["gym_mujoco", "pointmaze", "adroit"]
    }
    assert without == {"sac"}  # it learns online


def test_a_method_shows_its_fields_and_what_suites_set_them_to(harness: CommandLine) -> None:
    shown = harness("list", "algorithms", "iql")
    for line in (
        r"expectile +0\.7 +number, > 0, < 1 +τ of Eq\. 5; 0\.9 on AntMaze",
        r"batch_size +256 .*transitions per update",
        r"d3rlpy 2\.8\.1 .*losses \d",
        r"suites/adroit\.yaml\s+iql:\s+steps: 1000000\s+config:\s+expectile: 0\.7",
    ):
        assert re.search(line, shown), line
    (fields,) = [json.loads(harness("list", "algorithms", "iql", "--json"))["fields"]]
    assert {"Field": "`tau`", "Default": "`0.005`"}.items() <= fields[4].items()


def test_a_task_shows_its_data_its_rules_and_its_scale(harness: CommandLine) -> None:
    shown = harness("list", "tasks", "made/hopper/medium")
    for line in (
        r"dataset +made/hopper/medium-by\w+-v0",
        r"made by +recipe locomotion level medium, transitions 1000000",
        r"environment +Hopper-v5",
        r"scores 0 and 100 +returns of -20\.2723 and 3234\.3 ",
        r"these are +D4RL d4rl/infos\.py",
    ):
        assert re.search(line, shown), line
    spec = json.loads(harness("list", "tasks", "made/hopper/medium", "--json"))
    assert (spec["horizon"], spec["reference"]["max"]) == (1000, 3234.3)
    assert re.search("needs +public policies", harness("list", "tasks", "local/pen/mixed"))


def test_doctor_tells_versions_cores_and_what_is_missing(harness: CommandLine) -> None:
    printed = harness("doctor")
    for word in ("python", "torch", "cores", "GPUs", "C++ compiler", "ray", "disk"):
        assert word in printed


def test_doctor_tells_what_the_environment_does_to_runs(
    harness: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("0" * 64)
    (tmp_path / "file").touch()
    for name, value in {
        "MPLBACKEND": "module://not_there.backend",
        "MUJOCO_GL": "osmesa",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_AUTH_MODE": "token",
        "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "file"),
    }.items():
        monkeypatch.setenv(name, value)
    printed = harness("doctor")
    for found in (
        "module://not_there.backend",
        "osmesa",
        str(token),
        "RAY_AUTH_MODE=token",
        "safe.directory",
        f"cannot be loaded from {tmp_path / 'file'}",
    ):
        assert found in printed


def test_results_name_the_command_that_makes_all_of_them() -> None:
    few = RunOptions(only=["bc"])
    assert whole_suite_command("suites/a.yaml", few) == "python -m harness run suites/a.yaml"
    other = RunOptions(seeds=2, smoke=True, cpu=True, keep=True)
    assert whole_suite_command("a b.yaml", other) == (
        "python -m harness run 'a b.yaml' --smoke --cpu --keep --seeds 2"
    )


def test_what_a_shell_or_notebook_has_set_stops_nothing(plan_of: Callable[..., Plan]) -> None:
    """A backend and a renderer that are not there, and an output that knows 128 letters."""
    folder = results_of(plan_of())
    inherited = {
        "MPLBACKEND": "module://not_there.backend",
        "MUJOCO_GL": "osmesa",
        "PYTHONIOENCODING": "ascii",
    }
    result = subprocess.run(
        [sys.executable, "-m", "harness", "report", str(folder)],
        cwd=REPOSITORY,
        env={**os.environ, **inherited},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "table.md" in result.stdout
    assert result.stderr == ""
