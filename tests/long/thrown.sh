#!/usr/bin/env bash
# Ten million operations with cancels, panics and timeouts thrown into them, in a thousand rounds with a seed each, which
# each prints; or as many as the argument says. A few minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

count=${1:-10000000}
if ! [[ $count =~ ^[1-9][0-9]*$ ]]; then
    echo "tests/long/thrown.sh: '$count' is no number of operations" >&2
    exit 2
fi
CORO_OPERATIONS=$count cargo test --quiet --release --test thrown -- --nocapture
