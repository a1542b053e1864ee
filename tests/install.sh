#!/usr/bin/env bash
# Installs what the tests need from the system and is missing: a C linker, Python 3, GDB with gdbserver and LLDB 19, both
# with Python, Valgrind.
# On Debian and Ubuntu by apt-get (through sudo if need be); elsewhere it says which packages to install, and fails.
# The Rust toolchain it only looks for.
set -euo pipefail

fail() {
    printf 'tests/install.sh: %s\n' "$*" >&2
    exit 1
}

# A debugger counts as present when it runs Python: the scripts under gdb/ and lldb/ are useless without.
runs_python() { # debugger and its arguments; the last one prints 42
    command -v "$1" >/dev/null && [[ $'\n'$("$@" 2>/dev/null </dev/null)$'\n' == *$'\n42\n'* ]]
}
gdb_is_there() { runs_python gdb -nx -batch -ex 'python print(6 * 7)'; }
lldb_is_there() {
    # Debian's plain `lldb` may be one that is too old.
    runs_python lldb-19 -b -o 'script print(6 * 7)' ||
        { ! on_debian && runs_python lldb -b -o 'script print(6 * 7)'; }
}
gdbserver_is_there() { command -v gdbserver >/dev/null; }
on_debian() { command -v apt-get >/dev/null; }
linker_is_there() { command -v cc >/dev/null; }
# The debugger scripts are tested without a debugger, too.
python_is_there() { [[ $(python3 -c 'import json, shlex, struct, unittest; print(6 * 7)' 2>/dev/null) == 42 ]]; }
# Comes with the linker; by it the tests in plain Python tell lines.
addr2line_is_there() { command -v addr2line >/dev/null; }
# It starts, and then finds no names in the C library, where that is stripped and its debug information isn't there.
valgrind_is_there() { valgrind -q true >/dev/null 2>&1; }
# Toolchains from rust-lang.org have AddressSanitizer's library, some distributions' have not.
sanitizer_is_there() { compgen -G "$(rustc --print target-libdir)/librustc*_rt.asan.a" >/dev/null; }

# The Debian packages of whatever is missing.
missing() {
    linker_is_there || printf '%s\n' gcc libc6-dev
    addr2line_is_there || printf '%s\n' binutils
    python_is_there || printf '%s\n' python3
    gdb_is_there || printf '%s\n' gdb
    gdbserver_is_there || printf '%s\n' gdbserver
    lldb_is_there || printf '%s\n' lldb-19 python3-lldb-19
    valgrind_is_there || printf '%s\n' valgrind libc6-dbg
}

command -v cargo >/dev/null ||
    fail "there is no cargo. Install Rust (https://rustup.rs), open a new shell, and try again."
sanitizer_is_there ||
    fail "$(rustc --version) has no AddressSanitizer: there is no librustc*_rt.asan.a in $(rustc --print target-libdir)." \
        "Install Rust from https://rustup.rs, open a new shell, and try again."

# Packages that only one test builds: without them it would need the network, amid all the others.
examples=$(dirname "${BASH_SOURCE[0]}")/../examples/libraries/Cargo.toml
cargo fetch --quiet --locked --manifest-path "$examples" --target "$(rustc -vV | sed -n 's/^host: //p')" ||
    echo "tests/install.sh: what examples/libraries needs could not be fetched; tests/libraries.rs builds it"

mapfile -t packages < <(missing)
if ((${#packages[@]} == 0)); then
    exit 0
fi

echo "tests/install.sh: missing: ${packages[*]}"
if ! on_debian; then
    fail "this is not a Debian-like system: install a C compiler (gcc), binutils, python3, gdb with gdbserver, lldb 15 or later with its Python module, and" \
        "valgrind (Fedora: gcc python3 gdb gdb-gdbserver lldb python3-lldb valgrind; Arch: gcc python gdb lldb valgrind debuginfod;" \
        "openSUSE: gcc python3 gdb gdbserver lldb python3-lldb valgrind)."
fi
as_root=()
if ((EUID != 0)); then
    command -v sudo >/dev/null ||
        fail "not root, and there is no sudo. As root: apt-get install ${packages[*]}"
    as_root=(sudo)
fi

apt_get() {
    echo "tests/install.sh: running ${as_root[*]}${as_root:+ }apt-get $*"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@"
}
# Without fresh lists the install may still work from what is known.
apt_get update || echo "tests/install.sh: the package lists could not be updated; trying with the old ones"
apt_get install -y --no-install-recommends "${packages[@]}" ||
    fail "apt-get could not install ${packages[*]} (its reason stands above). LLDB 19 is in Debian 12 and Ubuntu 24.04" \
        "and later; for older ones see https://apt.llvm.org."

mapfile -t packages < <(missing)
((${#packages[@]} == 0)) || fail "installed, but these still don't work: ${packages[*]}"
