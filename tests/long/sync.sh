#!/usr/bin/env bash
# Ten million random operations on all locks and channels, or as many as the argument says, on two workers, held against
# a simple model of each.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

operations=${1:-10000000}
if ! [[ $operations =~ ^[1-9][0-9]*$ ]]; then
    echo "tests/long/sync.sh: '$operations' is no number of operations" >&2
    exit 2
fi
CORO_SYNC_OPERATIONS=$operations cargo test --release --test sync random_operations
echo "tests/long/sync.sh: OK, $operations operations"
