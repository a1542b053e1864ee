#!/usr/bin/env bash
# The models of the protocols between threads, more thoroughly than the tests do: each thread is interrupted up to three
# times in each run, or as often as the argument says. Their planted bugs must be found as well.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

interruptions=${1:-3}
if ! [[ $interruptions =~ ^[1-9][0-9]*$ ]]; then
    echo "tests/long/models.sh: '$interruptions' is no number of interruptions" >&2
    exit 2
fi
CORO_MODEL_INTERRUPTIONS=$interruptions cargo test --release --lib models
echo "tests/long/models.sh: OK, up to $interruptions interruptions"
