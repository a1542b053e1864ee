#!/usr/bin/env bash
# LLDB attaches to a working server 100 times at random moments, or as often as the first argument says: each coroutine is a
# thread whose backtrace comes to its end, each command has an answer, and the program works on afterwards. About four
# minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

attaches=${1:-100}
if ! [[ $attaches =~ ^[1-9][0-9]*$ ]]; then
    echo "tests/long/lldb_attach.sh: '$attaches' is no number of attaches" >&2
    exit 2
fi
CORO_ATTACHES=$attaches cargo test --test lldb -- --nocapture working_program_can_be_attached_to_at_any_moment
echo "tests/long/lldb_attach.sh: OK, $attaches attaches"
