#!/usr/bin/env bash
# The long version of tests/stepping.rs: steps through coroutines' lives, an instruction at a time, until at least a
# million instructions (or as many as the first argument says) have been looked at, the start of the runtime among
# them; both policies, debug and release. Prints what was seen of each life; ends with status 0 if nothing was wrong.
#
#   tests/long/stepping.sh              a million
#   tests/long/stepping.sh 10000000     ten
#
# 100,000 instructions take about ten seconds of one CPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

steps=${1:-1000000}
if ! [[ $steps =~ ^[1-9][0-9]*$ ]]; then
    echo "tests/long/stepping.sh: '$steps' is no number of instructions" >&2
    exit 2
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
CORO_STEPS=$steps cargo test --test stepping -- --nocapture are_right 2>&1 | tee "$log"
# And all planted bugs, of which tests/run.sh has two.
CORO_PLANTS=7 cargo test --test stepping planted_bugs_are_found
stepped=$(awk '/ instructions, .* walks / { sum += $3 } END { print sum + 0 }' "$log")
echo "tests/long/stepping.sh: $stepped instructions stepped, of $steps that were asked for"
((stepped >= steps))
