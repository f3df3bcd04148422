"""`python -m tests.parity train --corl FOLDER`, `collect RESULTS ...`, then `page`.

`train` trains a repository's code (`--corl`, `--fql` or `--flow-rl`) as the suite beside this file
says, and evaluates its policies; one line of the scores a run, and what has its line already is
skipped. ReBRAC of CORL and all of the other two need JAX: an environment that has jax, flax, optax
and chex too, and orbax-checkpoint for flow-rl. `collect` adds the harness's runs of those suites;
`page` writes docs/parity.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from statistics import mean

import torch

from algorithms.transitions import Transitions
from harness.data import ensure
from harness.errors import UserError
from harness.rollouts.evaluation import Evaluator, Policy
from tests.parity import corl, flow_rl, fql
from tests.parity.page import PAGE, page
from tests.parity.repositories import CORL, FLOW_RL, FQL, REPOSITORIES, Repository
from tests.parity.runs import Run, runs_of
from tests.parity.scores import Key, Score, add_scores, read_scores, scores_of_suite

Train = Callable[[Path, Run, Transitions], Policy]
TRAINING: dict[str, tuple[Collection[str], Train]] = {
    CORL.name: (corl.METHODS, corl.train),
    FQL.name: (fql.METHODS, fql.train),
    FLOW_RL.name: (flow_rl.METHODS, flow_rl.train),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.parity")
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    whose = training.add_mutually_exclusive_group(required=True)
    for repository in REPOSITORIES:
        at = f"a checkout of {repository.address} at {repository.commit}"
        whose.add_argument(f"--{repository.name}", type=Path, dest=repository.name, help=at)
    training.add_argument("--methods", nargs="+", help="of the suite; all of them when left out")
    collecting = commands.add_parser("collect")
    collecting.add_argument("results", nargs="+", type=Path, help="folders of the suite's results")
    commands.add_parser("page")
    given = parser.parse_args()
    if given.command == "train":
        for repository in REPOSITORIES:
            if folder := getattr(given, repository.name):
                train_all(repository, folder, given.methods)
    elif given.command == "collect":
        for folder in given.results:
            print(f"{folder}: {add_scores(scores_of_suite(folder))} new scores")
    else:
        PAGE.write_text(page(PAGE.read_text("utf-8"), read_scores()), "utf-8")


def train_all(repository: Repository, folder: Path, methods: list[str] | None) -> None:
    """Raises UserError if the repository has no such method here."""
    known_methods, train = TRAINING[repository.name]
    if unknown := set(methods or ()) - set(known_methods):
        names = ", ".join(known_methods)
        raise UserError(
            f"{repository.title} is run for {names} here, not for {', '.join(sorted(unknown))}."
        )
    torch.set_num_threads(1)
    known = {score.key for score in read_scores()}
    for run in runs_of(repository.suite_path):
        key = Key(run.task.id, run.method, repository.name, run.seed)
        if run.method not in (methods or known_methods) or key in known:
            continue
        begun = time.process_time()
        policy = train(folder, run, ensure(run.task).transitions)
        trained = time.process_time()
        evaluator = Evaluator(run.task, [run.seed], run.episodes)
        found = evaluator.evaluate(policy).episodes
        evaluator.close()
        score = mean(run.task.normalized_score(episode.episode_return) for episode in found)
        add_scores([Score(*key, run.steps, run.episodes, score, repository.commit)])
        spent = f"{trained - begun:.0f} + {time.process_time() - trained:.0f} CPU-seconds"
        print(f"@ {key}: {score:.1f}, {spent}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
