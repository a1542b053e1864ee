#!/usr/bin/env bash
# The crash reports in numbers: 300 random overflows, each with a core that GDB is asked about, and 100 within malloc, 25
# rounds of each other fault, and 20,000 damages of each file in tests/corpus/elf. About twenty minutes; cores have to go
# to files in the crashed process's folder (kernel.core_pattern=core).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export CORO_CRASH_ROUNDS=300 CORO_FUZZ_ROUNDS=20000
cargo test --test crash_random
cargo test --test crash
for _ in $(seq 25); do
    cargo test --quiet --test crash -- \
        wild_pointers use_of_a_freed what_is_no_matter overflow_of_a_threads handler_of_before of_eight
done
cargo test --lib damaged
