#!/usr/bin/env bash
# deploy/gpu_day.sh [SUITE ...]
#
# What is worth ten minutes of a GPU, most valuable first: tests that only a GPU can run, and beside
# them whether rounded products (TF32) lead to other scores than exact ones; then, alone, the speed
# of stacked seeds; then the suites given, which continue where they were. Every part has its own
# time limit, and what it found is in $OUT (default: gpu_day) even if a later one is cut off.
set -uo pipefail
cd "$(dirname "$0")/.."

OUT=${OUT:-gpu_day}
PYTHON=${PYTHON:-python3}
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

for precision in fp32 mixed; do
    cat >"$OUT/$precision.yaml" <<SUITE
name: gpu_$precision
title: Products in $precision on a GPU
question: Do rounded products lead to other scores than exact ones?
tasks: [{pointmaze/umaze: {transitions: 200000}}]
defaults: {hidden_dims: [256, 256], tau: 0.03, normalize_observations: true, learning_rate: 1.0e-3}
algorithms: {fql: {config: {alpha: 1.0}}, iql: {}, td3-bc: {}, bc: {}}
seeds: 5
training: {precision: $precision, steps: 10000}
evaluation: {every: 2500, episodes: 50, protocol: last}
resources: {cpus_per_trial: 2, gpus_per_trial: 0.1, seeds_per_trial: 5}
SUITE
done
part data 60 "$PYTHON" -m harness data make pointmaze/umaze-200k-v0
for precision in fp32 mixed; do
    part "$precision" 200 "$PYTHON" -m harness run "$OUT/$precision.yaml" \
        --executor local --results "$OUT/results" &
done
# All methods as they are, and a few of them compiled, too, which takes a minute each.
part tests 200 "$PYTHON" -m pytest -v --tb=short -n 8 -p no:cacheprovider \
    -k "not True or True-iql or True-fql or True-df-dir" tests/algorithms/engine/test_gpu.py &
wait
part precisions 60 "$PYTHON" -m harness compare \
    "$OUT/results/gpu_fp32" "$OUT/results/gpu_mixed"
part bench 240 "$PYTHON" -m harness bench --device cuda --json "$OUT/bench.json"
for suite in "$@"; do
    part "$(basename "$suite" .yaml)" "$LIMIT" "$PYTHON" -m harness run "$suite" \
        --executor local --results "$OUT/results"
done
