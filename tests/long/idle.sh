#!/usr/bin/env bash
# Idle keep-alive connections (10,000, or as many as the argument says) at the demo's server: each has had an answer, and
# may take 10 KiB of the server's memory, resident and page tables, at most. Under a minute.
# The limit of open files must allow as many. GDB has to show all of them as one group.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
count=${1:-10000}
bar=$((10 * 1024))

fail() {
    echo "tests/long/idle.sh: FAILED: $*" >&2
    exit 1
}
ulimit -n $((count + 100)) 2>/dev/null ||
    fail "$count connections need $((count + 100)) open files; this shell may have $(ulimit -Hn) (ulimit -Hn)"

cargo build --quiet --release
folder=$(mktemp -d)
server=""
finish() {
    [[ -n $server ]] && kill -9 "$server" 2>/dev/null
    rm -rf "$folder"
}
trap finish EXIT

mkfifo "$folder/said" "$folder/clients" "$folder/go_on"
target/release/main serve --addr 127.0.0.1:0 --keep-alive-timeout 3600 >"$folder/said" &
server=$!
exec 3<"$folder/said"
read -r line <&3
address=$(sed -n 's|^serving on http://\([^/ ]*\).*|\1|p' <<<"$line")
[[ -n $address ]] || fail "the server said '$line', and not where it is"

python3 tests/scripts/idle.py "$address" "$count" "$server" "$bar" >"$folder/clients" <"$folder/go_on" &
clients=$!
exec 5<"$folder/clients" 4>"$folder/go_on"
while read -r line <&5 && [[ $line != ready ]]; do echo "$line"; done
[[ $line == ready ]] || fail "the clients ended early"

echo "==> coro group, of all of them"
gdb -q -nx -batch -x gdb/coro.py -p "$server" -ex "coro group" 2>/dev/null >"$folder/groups"
# One more than are counted: it was there before.
group="$(sed -E ':a; s/^([0-9]+)([0-9]{3})/\1,\2/; ta' <<<$((count + 1))) coroutines"
grep -A4 "^$group " "$folder/groups" || {
    cat "$folder/groups"
    fail "the $group that wait for a request are not one group"
}
echo "" >&4
wait "$clients" || fail "the memory is above the bar, or a connection does not work any more"
echo "tests/long/idle.sh: OK"
