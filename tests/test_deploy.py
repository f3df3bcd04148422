"""The files of deploy/ and the commands of docs/cluster.md, checked as far as one machine can."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from packaging.specifiers import SpecifierSet

from harness.commands.cli import app
from harness.suite.schema import load_suite
from tests.test_wheel import SOURCES

REPOSITORY = Path(__file__).resolve().parents[1]
DEPLOY = REPOSITORY / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
PINS = dict(
    line.split("==")
    for line in (REPOSITORY / "constraints.txt").read_text().split()
    if "==" in line
)
# Of the custom resources' reference of KubeRay 1.6, in which every other field is a mistake.
JOB = {"entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished"}
CLUSTER = {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def of_deploy() -> Iterator[str]:
    for path in sorted(DEPLOY.iterdir()):
        for command in re.findall(r"python -m harness (.*)", path.read_text()):
            yield command.removesuffix("&")


def of_the_page() -> Iterator[str]:
    page = (REPOSITORY / "docs" / "cluster.md").read_text().replace("\\\n", " ")
    for block in re.findall(r"^```\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        yield from re.findall(r"^harness (.*)", block, re.MULTILINE)


@pytest.mark.parametrize("command", [*of_deploy(), *of_the_page()])
def test_every_command_is_one_that_the_command_line_takes(command: str) -> None:
    parser: Any = typer.main.get_command(app)
    words = shlex.split(command)
    while hasattr(parser, "commands"):
        name, *words = words
        parser = parser.commands[name]
    parser.make_context(name, words)  # raises what a user would read


def test_commands_were_found_in_all_files_that_have_some() -> None:
    assert len(list(of_deploy())) == 2
    assert {command.split()[0] for command in of_the_page()} >= {"plan", "run", "report", "data"}


def test_rays_own_schema_takes_the_launchers_file() -> None:
    util = pytest.importorskip("ray.autoscaler._private.util")
    given = yaml.safe_load((DEPLOY / "launcher.yaml").read_text())
    prepared = util.prepare_config(given)
    util.validate_config(prepared)
    [machines] = prepared["available_node_types"].values()
    assert machines["min_workers"] == len(given["provider"]["worker_ips"])  # all of them, at once
    with pytest.raises(Exception, match="typo"):
        util.validate_config(prepared | {"typo": 1})


def test_the_image_and_the_head_have_what_rays_launcher_needs_to_start_other_nodes() -> None:
    runner = pytest.importorskip("ray.autoscaler._private.command_runner")
    source = Path(runner.__file__).read_text()
    assert "rsync -e '{" in source  # into the container
    assert '["ssh"]' in source  # from the head's container to the others
    installed = DOCKERFILE.partition("apt-get install")[2].partition("&&")[0].split()
    assert {"rsync", "openssh-client"} <= {*installed}
    launcher = yaml.safe_load((DEPLOY / "launcher.yaml").read_text())
    start = shlex.split(launcher["head_start_ray_commands"][-1])
    assert start[0] == "RAY_enable_autoscaler_v2=0"  # v2 starts the head alone: ray issue 59905


def test_the_rayjob_has_kuberays_fields_and_the_rays_version() -> None:
    job = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["spec"].keys() == JOB | {"rayClusterSpec"}
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster.keys() == CLUSTER
    assert cluster["rayVersion"] == PINS["ray"]
    [workers] = cluster["workerGroupSpecs"]
    assert workers.keys() == GROUP
    assert workers["replicas"] == workers["minReplicas"] == workers["maxReplicas"]
    for group in (cluster["headGroupSpec"], workers):
        assert group.keys() <= GROUP
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        [container] = pod["containers"]
        assert container["resources"]["limits"] == container["resources"]["requests"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_all_files_name_the_same_image_and_folders() -> None:
    [data, cache] = re.findall(r"HARNESS_(?:DATA|CACHE)=(\S+)", DOCKERFILE)
    shared, scratch = Path(data).parent, Path(cache).parent
    launcher = yaml.safe_load((DEPLOY / "launcher.yaml").read_text())
    options = launcher["docker"]["run_options"]
    into = {option.split(":")[1] for option in options if option.startswith("--volume")}
    assert into == {str(shared), str(scratch)}
    job = (DEPLOY / "rayjob.yaml").read_text()
    assert f"mountPath: {shared}}}" in job
    assert f"mountPath: {scratch}}}" in job
    assert {*re.findall(r"image: (\S+)", job)} == {launcher["docker"]["image"]}


def test_the_image_has_all_that_the_package_is_built_from() -> None:
    copied = {
        source.rstrip("/")
        for line in re.findall(r"^COPY (.*)", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == {*SOURCES, "constraints.txt"}
    assert all((REPOSITORY / source).exists() for source in copied)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    patterns = [line for line in ignored if not line.startswith(("#", "!"))]
    kept = {line[1:] for line in ignored if line.startswith("!")}
    lost = {name for name in copied if any(fnmatch(name, pattern) for pattern in patterns)}
    assert lost <= kept
    [python] = re.findall(r"^FROM python:([\d.]+)", DOCKERFILE, re.MULTILINE)
    [wanted] = re.findall(r'requires-python = "(.*)"', (REPOSITORY / "pyproject.toml").read_text())
    assert python in SpecifierSet(wanted)
    assert "--constraint constraints.txt" in DOCKERFILE


STAND_INS = {
    "activate": "PATH=$VENV/bin:$PATH\n",
    # Ray's head is a port that opens; nodes are processes that stay.
    "srun": """
echo "srun $RAY_AUTH_MODE ${#RAY_AUTH_TOKEN} $*" >> "$LOG"
for word in "$@"; do case $word in
--ntasks=*) SLURM_NTASKS=${word#--ntasks=} ;;
--nodes=*) nodes=${word#--nodes=} ;;
esac; done
[ "$SLURM_NTASKS" = "$nodes" ] || exit 1  # as SLURM: more processors requested than permitted
for word in "$@"; do case $word in --port=*) exec "$PYTHON" -c '
import socket, sys, time
server = socket.create_server(("localhost", int(sys.argv[1])))
time.sleep(60)' "${word#--port=}";; esac; done
sleep 60
""",
    "scontrol": """
[ "$1" = show ] && printf 'localhost\\nsecond\\n'
echo "scontrol $*" >> "$LOG"
""",
    "python": """
case $1 in
-c) exec "$PYTHON" "$@" ;;
-) cat > /dev/null; echo "joined $*" >> "$LOG" ;;
*) trap 'echo saved >> "$LOG"; exit 130' TERM
   echo "$* $HARNESS_DATA $HARNESS_CACHE" >> "$LOG"
   for _ in $(seq "$TENTHS"); do sleep 0.1; done ;;
esac
""",
}


def port_of_a_job() -> int:
    """A free one of those that the script gives to jobs."""
    for port in range(20000 + os.getpid() % 10000, 40000):
        with socket.socket() as server:
            if server.connect_ex(("localhost", port)):
                return port
    raise AssertionError("no port is free")


def slurm_job(
    tmp_path: Path, port: int, stand_ins: dict[str, str], tenths: int
) -> subprocess.Popen[bytes]:
    """The job's script, on two nodes, with `harness run` for so many tenths of a second."""
    (tmp_path / "bin").mkdir()
    for name, body in stand_ins.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/usr/bin/env bash\n{body}")
        path.chmod(0o755)
    slurm = {"JOB_NUM_NODES": 2, "NTASKS": 2, "JOB_ID": port - 20000, "JOB_NODELIST": "n[1-2]"}
    environment = {f"SLURM_{name}": str(value) for name, value in slurm.items()}
    environment |= {"SLURM_CPUS_PER_TASK": "40", "TENTHS": str(tenths)}
    environment |= {"VENV": str(tmp_path), "LOG": str(tmp_path / "log"), "PYTHON": sys.executable}
    environment |= {"SHARED": "/shared", "SCRATCH": "/scratch", "USER": "me"}
    return subprocess.Popen(
        [DEPLOY / "slurm.sh", "suite.yaml"],
        env={**os.environ, **environment},
        start_new_session=True,
    )


@pytest.mark.parametrize("out_of_time", [False, True])
def test_the_slurm_job_starts_ray_on_all_nodes_and_queues_itself_again_only_if_stopped(
    tmp_path: Path, out_of_time: bool
) -> None:
    log, port = tmp_path / "log", port_of_a_job()
    process = slurm_job(tmp_path, port, STAND_INS, tenths=300 if out_of_time else 1)
    try:
        deadline = time.monotonic() + 20
        while out_of_time and not (log.exists() and "harness run" in log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if out_of_time:
            time.sleep(0.2)  # the stand-in sets its trap
            process.send_signal(signal.SIGTERM)  # as --signal=B:TERM does
        code = process.wait(timeout=20)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    lines = log.read_text().splitlines()
    head, others = sorted(line for line in lines if line.startswith("srun"))
    if "--head" not in head:
        head, others = others, head
    assert head.startswith("srun token 64 ")  # a token of 64 letters for everybody
    assert others.startswith("srun token 64 ")
    assert "--nodelist=localhost ray start" in head
    assert "--nodes=1 --ntasks=1 --exclude=localhost ray start" in others
    assert f"--address=localhost:{port}" in others
    assert f"joined - localhost:{port} 2" in lines
    run = f"-m harness run suite.yaml --address localhost:{port} --results /shared/results"
    assert f"{run} /shared/data /scratch" in lines
    requeued = f"scontrol requeue {port - 20000}" in lines
    assert (code, "saved" in lines, requeued) == (
        (130, True, True) if out_of_time else (0, False, False)
    )


def test_a_slurm_job_ends_if_ray_cannot_start_on_its_head(tmp_path: Path) -> None:
    process = slurm_job(tmp_path, port_of_a_job(), STAND_INS | {"srun": "exit 1"}, tenths=1)
    try:
        assert process.wait(timeout=20) != 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert "harness run" not in (tmp_path / "log").read_text()


def test_slurm_is_asked_for_what_the_page_says() -> None:
    options = dict(
        re.findall(r"^#SBATCH --([\w-]+)=(\S+)", (DEPLOY / "slurm.sh").read_text(), re.M)
    )
    gpus = int(options["nodes"]) * int(options["gpus-per-node"])
    assert gpus == 8
    assert int(options["nodes"]) * int(options["cpus-per-task"]) == 80  # 40 trials of two CPUs
    page = (REPOSITORY / "docs" / "cluster.md").read_text()
    assert "eight GPUs run 40 trials at once and need 80 CPUs" in page


def test_the_day_of_a_gpu_runs_its_parts_in_turn_and_says_how_each_ended(tmp_path: Path) -> None:
    """With a stand-in for Python that fails in the benchmark and notes what it is given."""
    stand_in, log = tmp_path / "python", tmp_path / "log"
    stand_in.write_text(f'#!/bin/sh\necho "$*" >> {log}\n[ "$3" != bench ]\n')
    stand_in.chmod(0o755)
    given = {"OUT": str(tmp_path / "out"), "PYTHON": str(stand_in), "UNIFLORAL": "/a checkout"}
    environment = {**os.environ, **given}
    subprocess.run(
        [DEPLOY / "gpu_day.sh", "suites/mine.yaml"], env=environment, check=True, timeout=60
    )
    lines = (tmp_path / "out" / "summary").read_text().splitlines()
    ended = dict(re.findall(r"^(\w+): exit status (\d+)", "\n".join(lines), re.M))
    beside = ["bf16", "fp32", "mixed", "tests"]  # end in any order
    names = ["data", *beside, "fp32_mixed", "fp32_bf16", "bench", "unifloral", "mine"]
    assert sorted(list(ended)[1:5]) == beside
    assert [*list(ended)[:1], *list(ended)[5:]] == [*names[:1], *names[5:]]
    assert ended == {name: "1" if name in ("bench", "unifloral") else "0" for name in names}
    parser: Any = typer.main.get_command(app)
    logged = log.read_text().replace("/a checkout", "'/a checkout'")
    for line in re.findall(r"^-m harness (.*)", logged, re.M):
        name, *words = shlex.split(line)
        parser.commands[name].make_context(name, words)  # raises what a user would read


@pytest.mark.parametrize("precision", ["mixed", "bf16"])
def test_the_suites_of_two_precisions_differ_in_nothing_else(precision: str) -> None:
    both = ("fp32", precision)
    found = [load_suite(REPOSITORY / f"suites/ablations/precision_{name}.yaml")[0] for name in both]
    assert tuple(suite.training.precision for suite in found) == both
    assert found[0].resources.gpus_per_trial > 0
    exact, rounded = (suite.model_dump(exclude={"name", "title"}) for suite in found)
    rounded["training"]["precision"] = "fp32"
    assert rounded == exact


def test_the_day_of_a_gpu_ends_when_its_minutes_are_over(tmp_path: Path) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/bin/sh\n[ $1 = -c ] || exec sleep 30\n")
    stand_in.chmod(0o755)
    environment = {**os.environ, "OUT": str(tmp_path), "PYTHON": str(stand_in)}
    environment["LIMIT"] = "8"
    start = time.monotonic()
    subprocess.run([DEPLOY / "gpu_day.sh"], env=environment, check=True, timeout=60)
    assert time.monotonic() - start < 25
    summary = (tmp_path / "summary").read_text()
    assert "data: exit status 124" in summary
    assert "bench: no time left" in summary
