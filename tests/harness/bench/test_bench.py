"""The benchmark's parts. How fast they are is its output, never a test."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from algorithms.engine.engine import Engine
from algorithms.registry import ABLATIONS, algorithms, resolve_config
from algorithms.transitions import Transitions
from baselines.bc import BC
from harness.bench import report, rotation
from harness.bench.contenders import COMMON, engine_worker, gpu_workers, groups, matching
from harness.bench.parts import acting_milliseconds
from harness.bench.products import Product, ProductTimer, count_products, dominant, total_flop
from harness.bench.report import rates_table, run_gpu_bench, run_methods_bench
from harness.bench.rotation import Contender, Rate, last_core, measure
from harness.bench.synthetic import synthetic_transitions
from harness.bench.trial import chunk_of
from harness.bench.worker import engine, noise_of
from harness.docs.place import Place
from harness.docs.render import render
from harness.errors import UserError

OBS, ACT, BATCH = 17, 6, 256


@pytest.fixture(scope="module")
def few() -> Transitions:
    return synthetic_transitions(4096, OBS, ACT)


def learner(algorithm: str, few: Transitions, seeds: int = 1) -> Engine:
    config = resolve_config(algorithm, {"hidden_dims": (256, 256), "batch_size": BATCH})
    return Engine(algorithm, config, few, range(seeds), offline_steps=10**9, compile=False)


def test_the_products_of_cloning_by_hand(few: Transitions) -> None:
    """Every layer forward and for its weights; all but the first for their inputs."""
    first, middle, last = (BATCH * n for n in (OBS * 256, 256 * 256, 256 * ACT))
    by_hand = 2 * (2 * first + 3 * middle + 3 * last)
    assert total_flop(count_products(learner("bc", few), 0)) == by_hand


def test_the_products_of_td3_bc_by_hand(few: Transitions) -> None:
    """Its actor learns in every other update, through both critics; their heads are no products."""
    actor = BATCH * (OBS * 256 + 256 * 256 + 256 * ACT)
    critic_first, critic_second = BATCH * (OBS + ACT) * 256, BATCH * 256 * 256
    critic = critic_first + critic_second
    targets = actor + 2 * critic
    critics = 2 * (3 * critic - critic_first)
    actors = 3 * actor - BATCH * OBS * 256 + 2 * 2 * critic
    by_hand = 2 * (targets + critics + actors / 2)
    counted = count_products(learner("td3-bc", few), 0)
    assert total_flop(counted) == by_hand
    assert dominant(counted) == Product(2, BATCH, 256, 256)
    assert total_flop(count_products(learner("td3-bc", few, seeds=3), 0)) == 3 * by_hand


def test_the_products_of_edac_s_second_derivatives_are_counted_as_torch_does(
    few: Transitions,
) -> None:
    engine = learner("edac", few)
    with FlopCounterMode(display=False) as torchs:
        engine.train(1)
    assert total_flop(count_products(learner("edac", few), 0)) == torchs.get_total_flops()


def test_a_stage_is_counted_without_what_it_begins_with(few: Transitions) -> None:
    """QDT begins its second stage with its critics on all data; then it is a DT."""
    settings = {"dt": {"batch_size": 2}, "qdt": {"transformer_batch_size": 2, "batch_size": 2}}
    counted = {}
    for stage, (name, given) in enumerate(settings.items()):
        config = resolve_config(name, given)
        engine = Engine(name, config, few, [0], offline_steps=10**9, compile=False)
        counted[name] = count_products(engine, stage)
    assert counted["qdt"] == counted["dt"]


def test_a_later_stage_is_timed_without_training_those_before_it(few: Transitions) -> None:
    settings = {"hidden_dims": [32, 32], "batch_size": 8}
    measured = engine("onestep", 2, 1, "fp32", settings, rows=64, compile=False)
    measured.run(2)
    assert measured.learners == 2
    assert measured.products is not None
    assert measured.products.rate(1e-3) > 0


@pytest.mark.parametrize(
    ("updates", "chunk"), [(0.3, 4), (4.1, 4), (11.9, 8), (31.9, 28), (33, 32), (100, 96)]
)
def test_a_chunk_is_whole_blocks_or_a_few_updates(updates: float, chunk: int) -> None:
    assert chunk_of(updates) == chunk


def test_the_timer_counts_what_it_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four products within two seconds of a clock that goes on by half a second a look."""
    clock = iter([0.0, 0.5, 1.0, 1.5, 2.0])
    monkeypatch.setattr("time.process_time", lambda: next(clock))
    assert ProductTimer(Product(2, 3, 4, 5)).rate(2.0) == 3 * 2 * (2 * 3 * 4 * 5) / 2.0


def test_every_method_takes_part_a_few_at_a_time_beside_a_common_one() -> None:
    failed: dict[str, str] = {}
    parts = groups(matching("*"), failed)
    assert failed == {}
    assert {part[0][1][1] for part in parts} == {COMMON}
    assert max(map(len, parts)) <= 5
    others = [worker for part in parts for worker in part[1:]]
    assert len({name for name, _ in others}) == len(others)
    expected = {k for k, info in algorithms().items() if info.family != ABLATIONS}
    assert {arguments[1] for _, arguments in others} | {COMMON} == expected
    stages = {name: json.loads(arguments[-1]) for name, arguments in others}
    common_widths = {"hidden_dims": [256, 256], "batch_size": 256}
    assert stages["onestep, stage 1 of 2"] == stages["onestep, stage 2 of 2"] == common_widths
    assert stages["dt"] == {"batch_size": 16}
    assert stages["qdt, stage 2 of 2"] == {"transformer_batch_size": 16}
    assert "qipo, stage 2 of 6" in stages
    assert "qipo, stage 3 of 6" not in stages  # the updates of the second again


def test_stacks_for_a_gpu_are_compared_with_one_seed_and_noise_with_its_update() -> None:
    workers, bases = gpu_workers()
    of_worker = dict(workers)
    assert len(of_worker) == len(workers)
    assert {bases[name] for name in of_worker} <= of_worker.keys()
    for name, (kind, algorithm, seeds, stage, precision, settings) in of_worker.items():
        other = of_worker[bases[name]]
        assert [other[0], other[1], other[3], other[5]] == ["engine", algorithm, stage, settings]
        differs = {kind != "engine", seeds != other[2], precision != other[4]}
        assert differs == {True, False} or name == bases[name]
    stacks: dict[tuple[str, str], set[str]] = {
        (words[1], words[3]): set() for words in of_worker.values()
    }
    for words in of_worker.values():
        stacks[words[1], words[3]].add(words[2])
    assert set(map(frozenset, stacks.values())) == {frozenset({"1", "5", "20", "64"})}


def test_noise_alone_is_what_the_engine_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many numbers as the engine draws in as many updates, by torch's own generators."""
    drawn: list[int] = []
    randn = torch.randn

    def counted(*shape: int, **others: Any) -> torch.Tensor:
        drawn.append(math.prod(shape))
        return randn(*shape, **others)

    settings = {"hidden_dims": (32, 32), "batch_size": 8}
    whole = engine("df-div", 2, 0, "fp32", settings, rows=64, compile=False)
    monkeypatch.setattr(torch, "randn", counted)
    whole.run(64)
    by_engine = sum(drawn)
    drawn.clear()
    noise_of("df-div", 2, settings, "cpu").run(64)
    assert sum(drawn) == by_engine > 0


def test_without_a_gpu_the_benchmark_of_gpus_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no GPU here"):
        run_gpu_bench(None)


def test_on_a_gpu_all_start_before_the_first_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripted workers that warm up only once another has been started too."""
    events: list[str] = []
    monkeypatch.setattr(rotation, "_start", start_scripted)
    warm_up = Contender.warm_up

    def noted(contender: Contender) -> None:
        events.append(f"awaited {contender.name}")
        warm_up(contender)

    monkeypatch.setattr(Contender, "warm_up", noted)
    workers = [("a", ["10", "9"]), ("b", ["20", "9"])]
    cases: list[tuple[rotation.Place, list[str]]] = [
        (0, ["started a", "awaited a", "started b", "awaited b"]),
        ("cuda", ["started a", "started b", "awaited a", "awaited b"]),
    ]
    for place, expected in cases:
        events.clear()
        measure(workers, place, {}, lambda name: events.append(f"started {name}"))
        assert events == expected


def test_a_method_that_cannot_be_made_is_a_reason_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    def create(self: BC) -> None:
        raise ValueError("no width for this")

    monkeypatch.setattr(BC, "create", create)
    failed: dict[str, str] = {}
    (part,) = groups(["bc", "iql"], failed)
    assert [name for name, _ in part] == [COMMON, "iql"]
    assert failed == {"bc": "ValueError: no width for this"}


def make_contender(name: str, rates: list[float], bounds: list[float]) -> Contender:
    process = subprocess.Popen([sys.executable, "-c", ""], text=True)
    process.wait()
    flop = 2e6 if bounds else None
    return Contender(name, process, 1, flop, 512.0, rates, bounds)


def test_ratios_and_shares_are_medians_of_those_of_each_round() -> None:
    slow = make_contender("slow", [10.0, 5.0, 30.0], [20.0, 20.0, 40.0])
    rates = {"slow": slow.rates, "fast": [20.0, 20.0, 20.0]}
    rate = rotation._rate(slow, "fast", rates)
    assert (rate.median, rate.low, rate.high) == (10.0, 5.0, 30.0)
    assert rate.ratio == 0.5
    assert rate.bound == 20.0
    assert rate.share == 0.5
    assert rotation._rate(slow, "absent", rates).ratio is None


def text(rates: list[Rate]) -> str:
    console = Console(file=io.StringIO(), width=300)
    console.print(rates_table(rates, "made up"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_shows_rates_bounds_and_shares() -> None:
    ours = Rate("ours", 123.4, 100.0, 150.0, 2.5, "theirs", 450e6, 250.0, 0.4936, 600.0)
    theirs = Rate("theirs", 49.4, 40.0, 60.0, 1.0, "theirs", None, None, None, 700.0)
    lines = [
        [cell.strip() for cell in line.split("│")] for line in text([ours, theirs]).split("\n")
    ]
    cells = {line[1]: line[2:-1] for line in lines if len(line) > 3}
    expected = ["123", "100 - 150", "2.50 x theirs", "450", "250", "49%", "600"]
    assert cells["ours"] == expected
    assert cells["theirs"] == ["49.4", "40 - 60", "1.00 x theirs", "", "", "", "700"]


def test_a_worker_that_fails_ends_the_benchmark_with_its_name_and_reason(tmp_path: Path) -> None:
    worker = ("CORL iql", ["corl", "iql", str(tmp_path)])
    with pytest.raises(UserError, match=r"'CORL iql' failed: .* give the folder of a checkout"):
        measure([worker], last_core(), {}, starting=lambda name: None)


# A worker that answers at once: so many updates a chunk, and dies after so many chunks.
SCRIPTED = """
import json, sys
def say(**answer):
    print("@" + json.dumps(answer), flush=True)
updates, chunks = map(int, sys.argv[1:])
say(learners=2, flop=1e6)
for _ in range(chunks):
    sys.stdin.readline()
    say(updates=updates, seconds=1.0, flop_per_cpu_second=1e8, peak_memory_mb=1.0)
say(failure="a scripted end")
"""


def start_scripted(arguments: Sequence[str], place: rotation.Place) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPTED, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_where_failures_are_collected_the_others_go_on_and_the_file_has_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common, fails = ("common", ["20", "9"]), ("fails", ["10", "3"])
    monkeypatch.setattr(rotation, "_start", start_scripted)
    monkeypatch.setattr(
        report, "groups", lambda ids, failed: [[common, fails], [common, ("slow", ["5", "9"])]]
    )
    path = tmp_path / "numbers.json"
    run_methods_bench("bc", path)
    written = json.loads(path.read_text())
    assert written["failed"] == {"fails": "bench: 'fails' failed: a scripted end"}
    rates = {rate["name"]: rate for rate in written["training"]}
    assert {name: (r["median"], r["ratio"]) for name, r in rates.items()} == {
        "common": (40.0, 1.0),
        "slow": (10.0, 0.25),
    }
    assert rates["slow"]["bound"] == 100.0
    assert rates["slow"]["share"] == 0.1
    assert "fails: bench: 'fails' failed: a scripted end" in capsys.readouterr().out

    page = render("rates numbers.json", Place(tmp_path / "page.md", tmp_path))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    slow = next(row for row in rows if row[:1] == ["slow"])
    assert (slow[1], slow[3], slow[5], slow[6]) == ("10", "0.25", "100", "10%")
    assert "- fails: not measured: bench: 'fails' failed: a scripted end" in page


def test_numbers_of_finished_groups_are_on_file_when_a_later_one_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(arguments: Sequence[str], place: rotation.Place) -> subprocess.Popen[str]:
        if arguments == ["stop"]:
            raise KeyboardInterrupt
        return start_scripted(arguments, place)

    monkeypatch.setattr(rotation, "_start", start)
    later = [("later", ["stop"])]
    monkeypatch.setattr(report, "groups", lambda ids, failed: [[("first", ["20", "9"])], later])
    path = tmp_path / "numbers.json"
    with pytest.raises(KeyboardInterrupt):
        run_methods_bench("bc", path)
    assert [rate["name"] for rate in json.loads(path.read_text())["training"]] == ["first"]


def test_a_worker_that_ended_before_it_is_told_to_go_on_fails_with_its_own_words() -> None:
    command = [sys.executable, "-c", """print('@{"failure": "out of memory"}', flush=True)"""]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=0
    ) as process:
        process.wait()
        with pytest.raises(UserError, match="bench: 'it' failed: out of memory"):
            rotation.Contender("it", process).run_chunk()


def test_without_the_common_one_there_is_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_start", start_scripted)
    workers = [("common", ["20", "2"]), ("other", ["10", "9"])]
    failed: dict[str, str] = {}
    (rate,) = measure(workers, last_core(), {}, lambda name: None, failed)
    assert (rate.name, rate.ratio) == ("other", None)
    assert list(failed) == ["common"]


def test_a_worker_that_says_nothing_is_ended_and_its_time_is_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rotation, "ANSWER_SECONDS", 0.2)
    failed: dict[str, str] = {}
    assert measure([engine_worker("bc")], last_core(), {}, lambda name: None, failed) == []
    assert failed == {"bc": "bench: 'bc' took more than 0 s and was ended."}


def test_an_unknown_pattern_says_where_the_ids_are() -> None:
    with pytest.raises(UserError, match="no method matches 'x-\\*'; `harness list algorithms`"):
        run_methods_bench("x-*", None)


def test_acting_is_measured_on_a_real_policy() -> None:
    assert acting_milliseconds() > 0
