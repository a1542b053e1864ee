#!/usr/bin/env bash
# Ten thousand connections to an echo server that end in any way (closed, reset, half-closed, in the middle of an answer), or
# as many as the argument says, on one worker and on two, beside others that are polite: no coroutine and no descriptor
# may be left. Under a minute.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

count=${1:-10000}
if ! [[ $count =~ ^[1-9][0-9]*$ ]]; then
    echo "tests/long/peers.sh: '$count' is no number of peers" >&2
    exit 2
fi
CORO_RUDE_PEERS=$count cargo test --quiet --release --test net_faults -- --nocapture many_peers
