#!/usr/bin/env bash
# Ten million random operations (spawn, yield, sleep, wake from threads, join, exit) on two and on four workers, held against
# a model; or as many as the argument says. Then the two cores' worth of two workers: how long a load that computes takes on
# one and on two. A few minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

count=${1:-10000000}
if ! [[ $count =~ ^[1-9][0-9]*$ ]]; then
    echo "tests/long/workers.sh: '$count' is no number of operations" >&2
    exit 2
fi
CORO_OPERATIONS=$count cargo test --release --test operations -- --nocapture
cargo build --quiet --release --features bench --example peers
for round in 1 2 3; do
    for workers in 1 2; do
        echo "round $round: $(T=$workers target/release/examples/peers scale)"
    done
done
for workers in 1 2; do
    echo "$workers workers: $(T=$workers target/release/examples/peers fair | tr '\n' ' ')"
done
echo "tests/long/workers.sh: OK, $count operations"
