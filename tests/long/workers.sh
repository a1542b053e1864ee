#!/usr/bin/env bash
# Ten million random operations (spawn, yield, sleep, wake from threads, join, exit) on two and on four workers, held against
# a model; or as many as the argument says. Then figures, the medians of so many rounds as the second argument says (3), at
# last as rows of the table in debug-docs/measurements.md: how long a load that computes takes on one and on two workers, and
# on one and on two bare threads; and how late coroutines are beside a greedy one. A few minutes; the figures mean something
# on two cores that nobody else uses.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

count=${1:-10000000}
rounds=${2:-3}
for number in "$count" "$rounds"; do
    if ! [[ $number =~ ^[1-9][0-9]*$ ]]; then
        echo "usage: tests/long/workers.sh [OPERATIONS [ROUNDS]]; '$number' is no such number" >&2
        exit 2
    fi
done
CORO_OPERATIONS=$count cargo test --release --test operations -- --nocapture
cargo build --quiet --release --features bench --example peers

figures=$(mktemp)
trap 'rm -f "$figures"' EXIT
measure() { # threads, case: appends "CASE.THREADS ROW FIGURE"
    T=$1 target/release/examples/peers "$2" | sed "s/^R /$2.$1 /" | tee -a "$figures"
}
for ((round = 0; round < rounds; round++)); do
    for threads in 1 2; do
        measure "$threads" scale
        measure "$threads" bare
        measure "$threads" fair
    done
done

median() { # CASE.THREADS, row
    awk -v key="$1" -v row="$2" '$1 == key && $2 == row { print $3 }' "$figures" | sort -g |
        awk '{ figure[NR] = $1 } END { print figure[int((NR + 1) / 2)] }'
}
row() { # title, case, row
    printf '| %s | %s | %s |\n' "$1" "$(median "$2.1" "$3")" "$(median "$2.2" "$3")"
}
echo
row "2,000 loads that compute, ms" scale scale_ms
row "the same on bare threads, ms" bare bare_ms
row "999 light ones beside one that yields every 100 µs: late, p50, µs" fair fair_late_p50_us
row "the same, p99, µs" fair fair_late_p99_us
awk -v one="$(median scale.1 scale_ms)" -v two="$(median scale.2 scale_ms)" \
    -v bare_one="$(median bare.1 bare_ms)" -v bare_two="$(median bare.2 bare_ms)" 'BEGIN {
        printf "two workers are %.2f times one, two bare threads %.2f times one: %.2f of that (0.95 is asked for)\n",
            one / two, bare_one / bare_two, one / two / (bare_one / bare_two)
    }'
echo "tests/long/workers.sh: OK, $count operations"
