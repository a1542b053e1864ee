#!/usr/bin/env bash
# Stops a process at random instants, 1000 times or as often as the first argument says, while coroutines of two
# runtimes come and go on two threads: every record must be in a legal state, the registry must hold together, and each
# thread's and each waiting coroutine's backtrace must come to its end. About a minute.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

stops=${1:-1000}
if ! [[ $stops =~ ^[1-9][0-9]*$ ]]; then
    echo "tests/long/attach.sh: '$stops' is no number of stops" >&2
    exit 2
fi
CORO_STOPS=$stops cargo test --test stepping -- --nocapture stops_at_random_instants_are_right
echo "tests/long/attach.sh: OK, $stops stops"
