"""`python -m tests.parity train --corl FOLDER`, `collect RESULTS ...`, then `page`.

`train` trains CORL's scripts as the suites beside this file say, and evaluates their policies; one
line of the scores a run, and what has its line already is skipped. ReBRAC of CORL needs JAX: give
`--methods rebrac` in an environment that has jax, flax, optax and chex too. `collect` adds the
harness's runs of those suites; `page` writes docs/parity.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import torch

from harness.data import ensure
from harness.errors import UserError
from harness.rollouts.evaluation import Evaluator
from harness.suite.schema import load_suite, suite_tasks
from harness.tasks.spec import TaskSpec
from tests.parity.page import PAGE, page
from tests.parity.scores import (
    CORL,
    CORL_COMMIT,
    Key,
    Score,
    add_scores,
    read_scores,
    scores_of_suite,
)
from tests.parity.theirs import CONFIGS, METHODS, train

SUITE = Path(__file__).with_name("parity.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.parity")
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("--corl", type=Path, required=True, help=f"a checkout at {CORL_COMMIT}")
    training.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    collecting = commands.add_parser("collect")
    collecting.add_argument("results", nargs="+", type=Path, help="folders of the suite's results")
    commands.add_parser("page")
    given = parser.parse_args()
    if given.command == "train":
        train_all(given.corl, given.methods)
    elif given.command == "collect":
        for folder in given.results:
            print(f"{folder}: {add_scores(scores_of_suite(folder))} new scores")
    else:
        PAGE.write_text(page(PAGE.read_text("utf-8"), read_scores()), "utf-8")


def runs_of(suite_path: Path) -> Iterator[tuple[TaskSpec, str, int, int, int]]:
    """Task, method, seed, steps and episodes of every run of a suite, seed after seed."""
    suite, _ = load_suite(suite_path)
    for seed in suite.seed_list:
        for row in suite.rows:
            for task in suite_tasks(suite):
                if not row.runs_on(task.id):
                    continue
                steps = suite.steps_of(row.entry)
                yield task, row.label, seed, steps, suite.evaluation.episodes


def train_all(corl: Path, methods: list[str]) -> None:
    torch.set_num_threads(1)
    known = {score.key for score in read_scores()}
    for task, method, seed, steps, episodes in runs_of(SUITE):
        key = Key(task.id, method, CORL, seed)
        if method not in methods or key in known:
            continue
        begun = time.process_time()
        transitions = ensure(task).transitions
        policy = train(corl, METHODS[method], CONFIGS[task.id], transitions, steps, seed)
        evaluator = Evaluator(task, [seed], episodes)
        found = evaluator.evaluate(policy).episodes
        evaluator.close()
        score = mean(task.normalized_score(episode.episode_return) for episode in found)
        add_scores([Score(*key, steps, episodes, score, CORL_COMMIT)])
        print(f"@ {key}: {score:.1f}, {time.process_time() - begun:.0f} CPU-seconds", flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
