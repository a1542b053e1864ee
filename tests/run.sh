#!/usr/bin/env bash
# The test command: installs what is missing, builds everything, runs every test.
#
#   tests/run.sh                        all of it, from any directory
#   tests/run.sh parked                 tests whose name contains "parked"
#   tests/run.sh --test tidy            one target; so with --lib, --bin, --example, --doc …
#   tests/run.sh -- --nocapture         what stands behind `--` goes to the test programs
#
# Arguments go to `cargo test`. The last line says how it went; the exit status is 0 only if all passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Kernels before 6.13 guard stacks by mprotect. CORO_REDZONE forces that, and the library's unit tests and the
# integration tests run once more with it, except these, which can't tell the difference:
same_with_mprotect=(
    tidy         # tests no program
    abi_document # reads the page's program against a usual build
    bare_system  # forces both by itself
    crash        # the same
    crash_random # the same
    crash_reporter # what is wrong is the reporter
    crash_words  # GDB's and LLDB's words
    instructions # counts none of the kernel's
    stepping     # redzones are placed by system calls, in which nothing is stepped
    attributes   # start a runtime as any program does
    scripts      # reads registries made by hand, and programs that wait
    gdb          # reads records and stacks; where the method matters, a test has both
    lldb         # the same
    agreement    # the same
    inspector    # the same
    gdb_guide    # GDB's words on guard pages
    lldb_guide   # LLDB's words on guard pages
    lwan_demo_guide # GDB's and LLDB's words on guard pages
    readme       # the same
    crash_docs   # reports of guard pages
    debugger_backtrace # steps through the switch, which places no redzones
    deadlock     # who waits for whom
    offload      # GDB's and LLDB's words of who waits
    lifetimes    # the same
    libraries    # other people's code over sockets
    monitor      # who computes for how long
    sanitizer    # what AddressSanitizer says of planted bugs
    memcheck     # what Valgrind says of them
    panic_abort  # what is not unwound
    http_server  # sockets, on stacks as all others
    net          # the same
    net_ends     # the same
    net_faults   # the same
    send_file    # the same
    sockets      # the same
    sendbuf      # the same
    stream_server # the same
    sync         # locks and channels, on stacks as all others
    std_promises # the same
    allocations  # the same
)
# And these of the library's own: what they are about touches no stack.
same_in_the_library=(
    --skip models # protocols under the model checker
    --skip scenarios # the scheduler in many orders of its steps
    --skip debug::symbolize # readers of ELF files
)

# The unit and integration tests run once more under AddressSanitizer and its leak checker, except these:
not_sanitized=(
    tidy               # tests no program
    abi_document       # usual builds
    readme             # GDB's words on a usual build
    debug_header       # GDB, LLDB and cores of usual and stripped builds
    debugger_backtrace # GDB and LLDB at every instruction of usual builds
    wait_objects       # GDB and cores of usual and stripped builds
    events             # GDB, on usual and stripped builds
    gdb                # GDB on usual builds
    gdb_guide          # GDB's words on usual builds
    lldb               # LLDB, on usual and stripped builds
    lldb_guide         # LLDB's words on usual builds
    lwan_demo_guide    # GDB's and LLDB's words on usual builds
    deadlock           # GDB and LLDB on usual builds
    offload            # the same
    attributes         # GDB on a usual build
    lifetimes          # the same
    libraries          # runs the examples, which are usual builds
    agreement          # GDB and LLDB on usual builds
    inspector          # the same
    cores              # where locals lie, which is in fake stacks then
    bare_system        # usual builds, SIGSEGV, and a program linked statically
    bad_input          # address spaces too small for a shadow, SIGSEGV, stack depths told by the addresses of locals
    memcheck           # another checker, and no two at a time
    instructions       # counts those of usual builds
    allocations        # the same
    stepping           # steps usual builds
    scripts            # Python; its programs are usual builds
    monitor            # builds the program that it tests by itself
    sanitizer          # builds the program that it tests so by itself
    crash              # SIGSEGV, of which AddressSanitizer makes its own report
    crash_docs         # the same
    crash_random       # the same
    crash_reporter     # the same
    quit               # usual builds, whose dumps name their lines
    crash_words        # the same, and GDB and LLDB on usual builds
    panic_abort        # builds the program that it tests by itself
)

# And these of the library's own.
not_sanitized_in_the_library=(
    --skip told_as_by_addr2line # readers of whole programs, checked against another; damaged ones are read
)

log=$(mktemp)
ahead=
trap 'rm -f "$log"; [[ -z $ahead ]] || pkill -P "$ahead" || true' EXIT
failed=()
steps=0

step() { # title, command and arguments
    local title=$1
    shift
    steps=$((steps + 1))
    printf '\n==> %s: %s\n' "$title" "$*"
    "$@" || failed+=("$title")
}

# A `cargo test` whose closing lines ("test result: …") are also kept, to be summed up.
cargo_test() {
    cargo test --workspace --no-fail-fast "$@" | tee -a "$log"
}

with_mprotect() {
    CORO_REDZONE=mprotect "$@"
}

# In a target directory of its own. The switch -Z is for nightly toolchains, and for those that are told to take it.
sanitized() { # arguments for cargo test
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    # A program dies of SIGSEGV as it does without: a test is about that. Fake stacks, in which locals lie, are of the
    # smallest size: some tests have thousands of coroutines.
    ASAN_OPTIONS=${ASAN_OPTIONS-handle_segv=0:max_uar_stack_size_log=16} RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address \
        CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/sanitize cargo_test --features sanitize --target "$host" "$@"
}

# `--test NAME` for each integration test but those named.
all_targets_but() { # names
    local name
    cargo metadata --no-deps --format-version 1 |
        grep -o '"kind":\["test"\],"crate_types":\["bin"\],"name":"[^"]*"' | sed 's/.*:"//; s/"$//' |
        while read -r name; do
            if [[ " $* " != *" $name "* ]]; then
                printf -- '--test\n%s\n' "$name"
            fi
        done
}

# Whether the arguments name a kind of target, and so leave the others out.
selects_targets() {
    local argument
    for argument in "$@"; do
        case $argument in
        --) return 1 ;;
        --lib | --bin | --bins | --test | --tests | --example | --examples | --bench | --benches) return 0 ;;
        --bin=* | --test=* | --example=* | --bench=* | --doc | --all-targets) return 0 ;;
        esac
    done
    return 1
}

summary() {
    local sums
    sums=$(awk '/^test result:/ {
            for (i = 2; i <= NF; i++) {
                if ($i == "passed;") passed += $(i - 1)
                if ($i == "failed;") failed += $(i - 1)
                if ($i == "ignored;") ignored += $(i - 1)
            }
        }
        END { printf "%d passed, %d failed, %d ignored", passed, failed, ignored }' "$log")
    local took="$((SECONDS / 60)) min $((SECONDS % 60)) s"
    # A filter may well leave nothing; all tests together may not.
    if [[ $sums == "0 passed"* && $# -eq 0 && ${#failed[@]} -eq 0 ]]; then
        failed+=("no test ran")
    fi
    echo
    if ((${#failed[@]})); then
        local list
        list=$(printf '; %s' "${failed[@]}")
        echo "tests/run.sh: FAILED (${list:2}). Tests: $sums, in $steps steps, $took"
        exit 1
    fi
    echo "tests/run.sh: OK. Tests: $sums, in $steps steps, $took"
}

tests/install.sh

# Not --all-targets: with the attributes' crate among what is asked for, Cargo builds it, and all that needs it, otherwise
# than the tests below do, which would be everything once more.
step "build everything" cargo build --workspace --bins --tests --examples --benches
step "check with the default features" cargo check --workspace
step "check the library without features" cargo check --lib --no-default-features
if ((${#failed[@]})); then
    summary "$@"
fi

if selects_targets "$@"; then
    step "selected tests" cargo_test "$@"
else
    mapfile -t sanitized_targets < <(all_targets_but "${not_sanitized[@]}")
    ((${#sanitized_targets[@]})) || failed+=("cargo metadata names no integration test to run under AddressSanitizer")
    # Its build has the time that tests leave, which often wait. What goes wrong in it is told when it is its turn.
    (renice -n 19 -p "$BASHPID" && sanitized --lib "${sanitized_targets[@]}" --no-run) >/dev/null 2>&1 &
    ahead=$!
    step "unit and integration tests" cargo_test --tests "$@"
    step "documentation tests" cargo_test --doc "$@"
    mapfile -t targets < <(all_targets_but "${same_with_mprotect[@]}")
    # Behind a `--` of the caller's they would be no options of the test runner's any more, or not these.
    skipped=()
    skipped_sanitized=()
    [[ " $* " == *" -- "* ]] || {
        skipped=(-- "${same_in_the_library[@]}")
        skipped_sanitized=(-- "${not_sanitized_in_the_library[@]}")
    }
    ((${#targets[@]})) || failed+=("cargo metadata names no integration test to run with mprotect")
    step "library and integration tests with mprotect redzones" with_mprotect cargo_test --lib "${targets[@]}" "$@" "${skipped[@]}"
    wait "$ahead" || true
    ahead=
    step "address and leak sanitizer" sanitized --lib "${sanitized_targets[@]}" "$@" "${skipped_sanitized[@]}"
fi
summary "$@"
