"""Places in source files: which are the user's, and how they are written."""

import re

_LAST_ARGUMENTS = re.compile(r"(::)?<\.\.>$")
_CRATE_HASH = re.compile(r"::h[0-9a-f]{16}$")
#: Where the files of Rust's own libraries lie: `/rustc/HASH/library/…`, or where the source is installed.
#: A crate's from a registry: `…/registry/src/index.crates.io-HASH/NAME-VERSION/src/…`.
_FOREIGN = re.compile(r"^(/rustc/[0-9a-f.]+/|.*/registry/src/[^/]+/)")
#: glibc's own, as its debug information names them: `./misc/../sysdeps/…`, `./nptl/…`, `../sysdeps/…`.
_C_LIBRARY = re.compile(
    r"^(\./[a-z-]+/)?(\.\./)(sysdeps|[a-z-]+)/|^\./(nptl|csu|elf|malloc|string|stdlib|io|misc|socket)/"
)
_STANDARD = re.compile(
    r"(^|/)(rustc/[0-9a-f.]+/|library/(std|core|alloc|panic_unwind|panic_abort|test|backtrace|proc_macro|"
    r"compiler-builtins|stdarch|portable-simd|unwind)/)"
)

#: The crates whose code runs between a coroutine's own call and the switch, or the kernel.
_BETWEEN = re.compile(r"(^|/)(crossbeam-(deque|epoch|queue|utils)|fastrand|nix|rustix)-[0-9.]+/src/")


def plain_function(name):
    """A function's name without the hash that symbol tables have."""
    return _CRATE_HASH.sub("", name)


def short_function(name):
    """A function's name without its generic arguments, which may be hundreds of letters:
    `JoinHandle<..>::join`. What is no such pair, as `->` or a leading `<impl Trait for T>`, stays."""
    parts, depth, previous = [], 0, " "
    for letter in plain_function(name):
        if letter == "<" and (depth or previous.isalnum() or previous in "_:}"):
            depth += 1
            if depth == 1:
                parts.append("<..>")
        elif letter == ">" and depth and previous != "-":
            depth -= 1
        elif not depth:
            parts.append(letter)
        previous = letter
    # Of a generic function GDB has the arguments behind the name, LLDB has not.
    return _LAST_ARGUMENTS.sub("", "".join(parts))


def is_users(location, prefix, exceptions):
    """Whether a place is the user's code: by its file, as functions are named otherwise in each profile.
    `prefix`: where the runtime's own files lie, or None; `exceptions`: files and folders (with a `/` behind)
    below it which are the user's all the same. A place without a file is nobody's."""
    file = location.path or location.file
    # Without a line it is no place in a source: a naked function, whose file is the compiler's unit.
    if not file or not location.line or _STANDARD.search(file) or _C_LIBRARY.search(location.file or file):
        return False
    if _BETWEEN.search(file):
        return False
    below = _below(file, prefix) if prefix else None
    if below is None:
        return True
    return any(below == name or name.endswith("/") and below.startswith(name) for name in exceptions)


def _below(file, prefix):
    """The path below the prefix; None: it is elsewhere. Where the debug information has a relative path and
    the debugger no absolute one, it is compared with the prefix's last part: `src/`."""
    if not file.startswith("/"):
        file = prefix.rstrip("/").rpartition("/")[0] + "/" + file
    return file[len(prefix):] if file.startswith(prefix) else None


def text(location, is_whole=False):
    """`demo::park::wait_in_read at src/demo/park.rs:120`, as much of it as is known. `is_whole`: with the
    function's generic arguments."""
    name = plain_function if is_whole else short_function
    function = name(location.function) if location.function else "??"
    if not location.file:
        return function
    if not location.line:
        return function
    return f"{function} at {_FOREIGN.sub('', location.file)}:{location.line}"


def is_foreign(path):
    """Whether a file is of Rust's own libraries, or of a crate from a registry."""
    return bool(path) and _FOREIGN.match(path) is not None


def has_source(location):
    """Whether a place says something to whoever looks for who did what: not one in the C library."""
    return bool(location.file) and not _C_LIBRARY.search(location.file)


def is_own(location):
    """Whether a place says who did something: not one in the C library or in Rust's own, where only their caller
    does."""
    return has_source(location) and not _STANDARD.search(location.path or location.file)


def by(location):
    """`demo::park::wait_in_read (src/demo/park.rs:120)`: who did something, as the runtime's own report says it."""
    function, at, place = text(location).partition(" at ")
    if not has_source(location):
        return function
    if place.startswith("library/"):
        place = "std:" + place[len("library/"):]
    return f"{function} ({place})" if at else function
