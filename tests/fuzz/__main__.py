"""`python -m tests.fuzz --cases 10000 --seed 0`: counts by kind, every failure, exit code 1 if any.

`--first N` starts at a case's number, to see one again: `--first 1234 --cases 1`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

from tests.fuzz.cases import run_cases
from tests.fuzz.originals import make

_SHOWN = 1000  # cases between lines of progress


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        originals = make(Path(folder) / "originals")
        end = given.first + given.cases
        for first in range(given.first, end, _SHOWN):
            work = Path(folder) / "work"
            work.mkdir(exist_ok=True)
            numbers = range(first, min(first + _SHOWN, end))
            outcome = run_cases(originals, work, numbers, given.seed)
            for (kind, how), count in sorted(outcome.counts.items()):
                print(f"cases {numbers[0]} to {numbers[-1]}: {kind}: {count} {how}")
            for failure in outcome.failures:
                print(f"\n{failure}")
            sys.stdout.flush()
            failed += len(outcome.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
