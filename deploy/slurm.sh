#!/usr/bin/env bash
# sbatch deploy/slurm.sh SUITE
#
# Runs a suite on all nodes of an allocation, with a Ray cluster that is there for as long as the
# job. Before its time is up the job saves its runs and queues itself again, until all are done
# (docs/cluster.md). Edit what is marked <-.
#SBATCH --job-name=harness
#SBATCH --nodes=2            # <- two nodes ...
#SBATCH --gpus-per-node=4    # <- ... of four GPUs make eight
#SBATCH --cpus-per-task=40   # <- a node's cores: cpus_per_trial for each trial that runs at once
#SBATCH --mem=128G           # <- of a node
#SBATCH --time=24:00:00      # <-
#SBATCH --ntasks-per-node=1  # one Ray a node
#SBATCH --signal=B:TERM@300  # to this script, this many seconds before the end
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

SUITE=${1:?usage: sbatch deploy/slurm.sh SUITE}
SHARED=${SHARED:-$PWD}                     # <- results and data: a folder that all nodes see
SCRATCH=${SCRATCH:-/tmp/harness-$USER}     # <- packed rows: the same folder of each node's own disk
VENV=${VENV:-$PWD/.venv}                   # <- where all nodes see it; see docs/cluster.md

source "$VENV/bin/activate"
export HARNESS_DATA=$SHARED/data HARNESS_CACHE=$SCRATCH RAY_USAGE_STATS_ENABLED=0
export RAY_prestart_worker_first_driver=0  # else `harness run` waits for ever for one of them that died
# Nobody without this job's token can run code on its cluster.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN

HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p) # where this script runs, too
ADDRESS=$HEAD:$((20000 + SLURM_JOB_ID % 20000)) # jobs that share a node do not meet
STEP=(srun --cpus-per-task="$SLURM_CPUS_PER_TASK") # with its --ntasks, else that of the job
RAY=(ray start --block --disable-usage-stats --num-cpus="$SLURM_CPUS_PER_TASK")

"${STEP[@]}" --nodes=1 --ntasks=1 --nodelist="$HEAD" \
    "${RAY[@]}" --head --port="${ADDRESS#*:}" --include-dashboard=false &
RAY_OF_HEAD=$!
for _ in {1..120}; do
    (exec 3<>"/dev/tcp/$HEAD/${ADDRESS#*:}") 2>/dev/null && break
    kill -0 "$RAY_OF_HEAD" # or this ends, with what it said
    sleep 1
done
if ((SLURM_JOB_NUM_NODES > 1)); then
    OTHERS=$((SLURM_JOB_NUM_NODES - 1))
    "${STEP[@]}" --nodes="$OTHERS" --ntasks="$OTHERS" --exclude="$HEAD" \
        "${RAY[@]}" --address="$ADDRESS" &
fi
timeout 300 python - "$ADDRESS" "$SLURM_JOB_NUM_NODES" <<'END'
import sys, time, ray
ray.init(address=sys.argv[1], logging_level="ERROR")
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[2]):
    time.sleep(1)
END

stopping=
python -m harness run "$SUITE" --address "$ADDRESS" --results "$SHARED/results" &
RUN=$!
trap 'stopping=1; kill -TERM "$RUN"' TERM
code=0
wait "$RUN" || code=$?
if [ -n "$stopping" ]; then # the signal ended the first wait
    code=0
    wait "$RUN" || code=$?
fi
if [ "$code" = 130 ]; then # stopped, and all runs saved
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
