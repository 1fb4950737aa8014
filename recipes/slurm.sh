#!/usr/bin/env bash
# A sweep (train/sweep.py, whose arguments follow) on 4 machines of 8 GPUs under Slurm, from the repository's root:
#   sbatch recipes/slurm.sh table4 [--only RUN] [key=value ...]
# What your cluster wants otherwise goes before the script's name and beats the lines below, for example
#   sbatch --nodes=2 --time=48:00:00 --partition=gpu --account=storm recipes/slurm.sh table4
# A job that lost a machine or was preempted starts again by itself; one that ran out of time is submitted again, by the
# same line. Either goes on from the last checkpoint.
#SBATCH --job-name=storm
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
#SBATCH --signal=B:TERM@120
set -euo pipefail

fail() {
  echo "error: recipes/slurm.sh: $1" >&2
  exit 2
}

[ -n "${SLURM_JOB_ID:-}" ] || fail "start it with sbatch: sbatch recipes/slurm.sh TABLE"
cd "$SLURM_SUBMIT_DIR"
[ -f train/sweep.py ] || fail "no train/sweep.py in $PWD: submit it from the repository's root"
[ -x .venv/bin/python ] || fail "no .venv in $PWD: make setup"

hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
export MASTER_ADDR="${hosts%%$'\n'*}"
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000))  # below 32768, where Linux takes ports for connections
export NNODES="$SLURM_NNODES"
export NPROC_PER_NODE="$SLURM_GPUS_ON_NODE"
export FORCE_TORCHRUN=1
export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"  # since 22.05 srun gives a task one CPU only, unless this is set
export PATH="$PWD/.venv/bin:$PATH"
# The batch shell becomes the sweep, so that Slurm's SIGTERM, two minutes before the end, reaches it.
exec python train/sweep.py "$@"
