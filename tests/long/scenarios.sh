#!/usr/bin/env bash
# The whole scheduler in many more orders of its steps than the tests try: ten thousand of each scenario that was written by
# hand, and of ninety that are made up; or of as many, and as many, as the arguments say. Their planted bugs must be found, too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

made_up=${1:-90} orders=${2:-10000}
for number in "$made_up" "$orders"; do
    if ! [[ $number =~ ^[1-9][0-9]*$ ]]; then
        echo "tests/long/scenarios.sh: '$number' is no number of scenarios or orders" >&2
        exit 2
    fi
done
CORO_SCENARIOS_MADE_UP=$made_up CORO_SCENARIO_ORDERS=$orders cargo test --release --lib scenarios -- --nocapture
echo "tests/long/scenarios.sh: OK, $orders orders of each scenario, $made_up of them made up"
