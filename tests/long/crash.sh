#!/usr/bin/env bash
# The crash reports in numbers: 1,000 random overflows or as many as the first argument says, each eighth with a core that
# GDB is asked about; half as many other faults; a fifth as many overflows where reporting is hard; and 20,000 damages of
# each file in tests/corpus/elf. Others each time: the second argument is the seed, by which a run can be had again. About
# twenty minutes; cores have to go to files in the crashed process's folder (kernel.core_pattern=core).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

count=${1:-1000}
seed=${2:-$((RANDOM << 30 | RANDOM << 15 | RANDOM))}
if ! [[ $count =~ ^[1-9][0-9]*$ && $seed =~ ^[0-9]+$ ]]; then
    echo "usage: tests/long/crash.sh [OVERFLOWS [SEED]]; '$*' are no such numbers" >&2
    exit 2
fi
echo "==> tests/long/crash.sh $count $seed"
export CORO_CRASH_ROUNDS=$count CORO_CRASH_SEED=$seed CORO_FUZZ_ROUNDS=20000 CORO_FUZZ_SEED=$seed
cargo test --test crash_random random
cargo test --lib damaged
echo "tests/long/crash.sh: OK, $count overflows, $(((count + 1) / 2)) other faults, $(((count + 4) / 5)) hard ones, seed $seed"
