#!/usr/bin/env bash
# The crash reports in numbers: 300 random overflows and 100 within malloc, 25 rounds of each other fault, and 20,000
# damages of each file in tests/corpus/elf. About ten minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export CORO_CRASH_ROUNDS=300 CORO_FUZZ_ROUNDS=20000
cargo test --test crash
for _ in $(seq 25); do
    cargo test --quiet --test crash -- \
        wild_pointers use_of_a_freed what_is_no_matter overflow_of_a_threads handler_of_before of_eight
done
cargo test --lib damaged
