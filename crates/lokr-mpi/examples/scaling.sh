#!/usr/bin/env bash
# Prints the tables of docs/scaling.md: the fine-tuning of digits at 1, 2 and 4 ranks, and the model of a step's time.
# Needs Open MPI; takes about two minutes on a quiet machine, after building.
set -euo pipefail
cd "$(dirname "$0")/../../.."

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 RAYON_NUM_THREADS=1
cargo build --release --workspace --features lokr-mpi/mpi --example finetune_digits_mpi --example step_time
examples=${CARGO_TARGET_DIR:-target}/release/examples
for hidden in 256 1024; do
    printf '\nhidden layers of %d, 64 samples a step\n' "$hidden"
    for ranks in 1 2 4; do
        mpirun --oversubscribe -n "$ranks" "$examples/finetune_digits_mpi" "$hidden" 64 10 | grep -E '^(ranks|adding)'
    done
    printf 'one rank, 32 and 16 samples a step\n'
    for batch in 32 16; do
        mpirun -n 1 "$examples/finetune_digits_mpi" "$hidden" "$batch" 10 | grep -E '^ranks'
    done
done
printf '\n'
"$examples/step_time"
