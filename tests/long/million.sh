#!/usr/bin/env bash
# A million coroutines (or as many as the argument says) alive at a time, twice: each gives way ten times, all are woken and
# joined, and their memory is given back. As many parked in different ways, on redzoned stacks, woken and joined again; the
# size of a core of them; and the same with mprotect redzones, which must be refused with a sentence that names
# vm.max_map_count. Takes about five minutes, 5 GB of memory and 5 GB of disk (in TMPDIR).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
count=${1:-1000000}

fail() {
    echo "tests/long/million.sh: FAILED: $*" >&2
    exit 1
}
kib() { # process, key of /proc/PID/status
    awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"
}

cargo build --quiet --release
cargo build --quiet --release --features bench --example peers
cargo build --quiet --release --package coro-programs --example crowd
folder=$(mktemp -d)
main=""
finish() {
    [[ -n $main ]] && kill -9 "$main" 2>/dev/null
    rm -rf "$folder"
}
trap finish EXIT

echo "==> crowd $count"
target/release/examples/crowd "$count" || fail "the crowd takes too much"

echo "==> main park $count --wake"
target/release/main park "$count" --wake

echo "==> all memory of $count parked ones: pages, page tables, records"
target/release/examples/peers mem "$count"

echo "==> a core of $count parked ones"
pattern=$(</proc/sys/kernel/core_pattern)
[[ $pattern == core || $pattern == core.* ]] ||
    fail "cores go to '$pattern' here (/proc/sys/kernel/core_pattern); this looks for them as files 'core' in the folder"
mkfifo "$folder/said"
program=$PWD/target/release/main
(cd "$folder" && ulimit -c unlimited && exec "$program" park "$count" >"$folder/said") &
main=$!
# It says a line when all are parked; the pipe stays open for what it says after that.
exec 3<"$folder/said"
read -r line <&3
echo "$line"
resident=$(kib "$main" VmRSS)
tables=$(kib "$main" VmPTE)
each=$(((resident + tables) * 1024 / count))
echo "resident $((resident / 1024)) MiB, page tables $((tables / 1024)) MiB: $each bytes each all told"
((each <= 5 * 1024)) || fail "$each bytes for a parked coroutine are more than 5 KiB"
kill -ABRT "$main"
wait "$main" 2>/dev/null || true
main=""
core=$(compgen -G "$folder/core*" | head -n 1) || fail "there is no core in $folder"
apparent=$(($(stat -c %s "$core") / 1024))
disk=$(du -k "$core" | cut -f 1)
echo "core: $((apparent / 1024)) MiB, $((disk / 1024)) MiB on disk"
# What was never touched are holes in it. The 64 MiB: the program and its libraries.
((disk <= resident + 65536)) || fail "the core takes more disk than the process has touched"
((disk >= resident - 65536)) || fail "the core has less than the process has touched"

echo "==> with mprotect redzones"
if CORO_REDZONE=mprotect target/release/main park "$count" --wake >"$folder/said2" 2>&1; then
    fail "a million mprotect redzones were possible"
fi
cat "$folder/said2"
grep -q "vm.max_map_count" "$folder/said2" || fail "the error does not name vm.max_map_count"
echo "tests/long/million.sh: OK"
