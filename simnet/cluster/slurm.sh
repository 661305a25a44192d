#!/bin/bash
# One sweep as a Slurm array, then one task that puts the shards together. From a directory that all nodes share:
#
#   sbatch --array=0-31 simnet/cluster/slurm.sh mechanisms results
#   sbatch --dependency=singleton --job-name=simnet --export=ALL,MERGE=1 simnet/cluster/slurm.sh mechanisms results
#
# Every task runs its share of the runs, one after the other, on one core. A task that is started again skips what is there.
#SBATCH --job-name=simnet
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=04:00:00
set -euo pipefail

scenario=${1:?give a scenario: a file, or the name of one that ships}
out=${2:?give a directory for the results}
simnet=${SIMNET:-simnet}

if [ -n "${MERGE:-}" ]; then
    "$simnet" merge "$out"
    exec "$simnet" report "$out"
fi
# The array's size; simnet finds its own place in SLURM_ARRAY_TASK_ID and counts from the array's first.
exec "$simnet" sweep "$scenario" --out "$out" --shard "${SLURM_ARRAY_TASK_COUNT:?start this with --array}"
