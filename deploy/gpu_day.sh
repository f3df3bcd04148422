#!/usr/bin/env bash
# deploy/gpu_day.sh [SUITE ...]
#
# What is worth ten minutes of a GPU, most valuable first: tests that only a GPU can run, speed of
# stacked seeds, whether rounded products (TF32) lead to other scores than exact ones, and then the
# suites given, which continue where they were. Every part has its own time limit, and what it found
# is in $OUT (default: gpu_day) even if a later one is cut off.
set -uo pipefail
cd "$(dirname "$0")/.."

OUT=${OUT:-gpu_day}
PYTHON=${PYTHON:-python3}
LIMIT=${LIMIT:-600} # seconds, of all parts together
END=$((SECONDS + LIMIT))
mkdir -p "$OUT"

part() { # NAME SECONDS COMMAND...: at most so long, and not beyond the end
    local name=$1 seconds=$2 left=$((END - SECONDS)) start=$SECONDS
    shift 2
    ((left > 5)) || { echo "$name: no time left" | tee -a "$OUT/summary"; return; }
    # SIGINT has `harness run` save its runs.
    timeout --signal=INT --kill-after=20 $((seconds < left ? seconds : left)) "$@" \
        >"$OUT/$name.log" 2>&1
    echo "$name: exit status $?, $((SECONDS - start)) s" | tee -a "$OUT/summary"
}

{
    git log -1 --format='commit %h' 2>/dev/null
    nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
    "$PYTHON" -c 'import torch; print("torch", torch.__version__)'
} | tee "$OUT/summary"

part tests 200 "$PYTHON" -m pytest -q -n 12 tests/algorithms/engine/test_gpu.py
part bench 240 "$PYTHON" -m harness bench --device cuda --json "$OUT/bench.json"
for precision in fp32 mixed; do
    sed -e "s/^name: .*/name: gpu_$precision/" -e 's/gpus_per_trial: 0,/gpus_per_trial: 0.1,/' \
        -e "s/^training: {/training: {precision: $precision, /" suites/support.yaml \
        >"$OUT/$precision.yaml"
    part "$precision" 120 "$PYTHON" -m harness run "$OUT/$precision.yaml" \
        --executor local --results "$OUT/results"
done
part precisions 60 "$PYTHON" -m harness compare \
    "$OUT/results/gpu_fp32" "$OUT/results/gpu_mixed"
for suite in "$@"; do
    part "$(basename "$suite" .yaml)" "$LIMIT" "$PYTHON" -m harness run "$suite" \
        --executor local --results "$OUT/results"
done
