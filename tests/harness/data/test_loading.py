"""Loading rows from a warm cache: quick, and in pages that all processes share."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROWS, OBS_DIM, ACTION_DIM = 1_000_000, 17, 6

LOAD = """
import sys, time
from harness.data.cache import find_rows

def private():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024

seconds, before = [], private()
for _ in range(3):
    start = time.process_time()
    loaded = find_rows(sys.argv[1])
    seconds.append(time.process_time() - start)
assert len(loaded.transitions) == int(sys.argv[2])
assert loaded.transitions.rewards[-1] == 0
print(min(seconds), private() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc")
def test_a_million_transitions_load_within_a_second_into_shared_pages(root: Path) -> None:
    folder, width = root / "cache" / "rows", 2 * OBS_DIM + ACTION_DIM + 3
    folder.mkdir(parents=True)
    with (folder / "rows.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (ROWS, width)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * ROWS * width)  # zeros that take no disk
    digest = hashlib.sha256(bytes(4 * ROWS * width)).hexdigest()
    dataset = {"dataset": {"id": "local/zeros-v0"}, "constants": {}, "versions": {}}
    dataset |= {"episodes": 1, "steps": ROWS, "bytes": 0, "arrays": {}}
    manifest = {"rows": {"sha256": digest}, "obs_dim": OBS_DIM, "action_dim": ACTION_DIM}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"dataset": dataset}))
    output = subprocess.run(
        [sys.executable, "-c", LOAD, digest, str(ROWS)], capture_output=True, text=True, check=True
    ).stdout
    seconds, megabytes = (float(number) for number in output.split())
    assert seconds < 1.0  # of a core, so that a busy machine changes nothing; measured: 0.26
    assert megabytes < 100  # measured: 0.1; hashing through the map made it 164
