#!/usr/bin/env bash
# deploy/gpu_day.sh [SUITE ...]
#
# What is worth ten minutes of a GPU, most valuable first: tests that only a GPU can run, and beside
# them whether rounded products (TF32, bfloat16) lead to other scores than exact ones; then, alone, the speed
# of stacked seeds, beside unifloral's if UNIFLORAL is a checkout of it; then the suites given, which
# continue where they were. Every part has its own time limit, and what it found is in $OUT (default:
# gpu_day) even if a later one is cut off.
set -uo pipefail
cd "$(dirname "$0")/.."

OUT=${OUT:-gpu_day}
PYTHON=${PYTHON:-python3} # with jax, flax and optax, too, where UNIFLORAL is a checkout of unifloral
LIMIT=${LIMIT:-600} # seconds, of all parts together
END=$((SECONDS + LIMIT))
mkdir -p "$OUT/logs"

part() { # NAME SECONDS COMMAND...: at most so long, and not beyond the end
    local name=$1 seconds=$2 left=$((END - SECONDS)) start=$SECONDS
    shift 2
    ((left > 5)) || { echo "$name: no time left" | tee -a "$OUT/summary"; return; }
    # SIGINT has `harness run` save its runs.
    timeout --signal=INT --kill-after=20 $((seconds < left ? seconds : left)) "$@" \
        >"$OUT/logs/$name.log" 2>&1
    echo "$name: exit status $?, $((SECONDS - start)) s" | tee -a "$OUT/summary"
}

{
    git log -1 --format='commit %h' 2>/dev/null
    nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
    "$PYTHON" -c 'import torch; print("torch", torch.__version__)'
} | tee "$OUT/summary"

part data 60 "$PYTHON" -m harness data make pointmaze/umaze-200k-v0
for precision in fp32 mixed bf16; do
    part "$precision" 200 "$PYTHON" -m harness run precision_"$precision" \
        --executor local --results "$OUT/results" &
done
# All methods as they are, and a few of them compiled, too, which takes a minute each.
part tests 200 "$PYTHON" -m pytest -v --tb=short -n 8 -p no:cacheprovider \
    -k "not True or True-iql or True-fql or True-df-dir" tests/algorithms/engine/test_gpu.py &
wait
for precision in mixed bf16; do
    part "fp32_$precision" 60 "$PYTHON" -m harness compare \
        "$OUT/results/local/precision_fp32" "$OUT/results/local/precision_$precision"
done
part bench 240 "$PYTHON" -m harness bench --device cuda --json "$OUT/bench.json"
[[ -z ${UNIFLORAL:-} ]] || part unifloral 120 "$PYTHON" -m harness bench --device cuda \
    --unifloral "$UNIFLORAL" --json "$OUT/unifloral.json"
for suite in "$@"; do
    part "$(basename "$suite" .yaml)" "$LIMIT" "$PYTHON" -m harness run "$suite" \
        --executor local --results "$OUT/results"
done
