#!/usr/bin/env bash
# 100,000,000 coroutines come and go (or as many as the argument says): resident memory must stay flat (less than
# 1 MiB a minute), and no slot may have a generation twice. About a minute. With both kinds of redzones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
count=${1:-100000000}

cargo build --quiet --release --package coro-programs --features bench --example churn
for redzone in guard mprotect; do
    echo "==> CORO_REDZONE=$redzone churn $count"
    CORO_REDZONE=$redzone target/release/examples/churn "$count"
done
echo "tests/long/churn.sh: OK"
