"""What differs between the versions of GDB: 12 is the oldest that these scripts are for, 13 is tested."""

import re

import gdb

FLOOR = (12, 1)


def version():
    """GDB's own, as two numbers."""
    numbers = re.match(r"(\d+)\.(\d+)", gdb.VERSION)
    return (int(numbers[1]), int(numbers[2])) if numbers else FLOOR


def problem():
    """What speaks against this GDB, a sentence; None: nothing."""
    if version() < FLOOR:
        return f"these scripts need GDB {FLOOR[0]} or newer, and this is GDB {gdb.VERSION}"
    return None


def in_c():
    """A context in which expressions are C: under Rust's rules a symbol without debug information can't be
    named, and other languages have rules of their own. (`with_parameter` came with GDB 12.)"""
    return gdb.with_parameter("language", "c")


class _FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


def frame_id(sp, pc):
    """A frame's identity, as an unwinder has to tell it. GDB 14 brings a class for it; before, anything
    with these two attributes will do, and GDB has none of its own."""
    try:
        from gdb.unwinder import FrameId
    except ImportError:
        return _FrameId(gdb.Value(sp), gdb.Value(pc))
    return FrameId(gdb.Value(sp), gdb.Value(pc))


def word(architecture, number):
    """A number as a value of a register's width. `lookup_type` would know no type in a stripped program;
    `integer_type` came with GDB 12."""
    return gdb.Value(number & (1 << 64) - 1).cast(architecture.integer_type(64, False))


def connection_type(inferior):
    """`native`, `core`, `remote`, `extended-remote`, ...; None: a file alone."""
    connection = getattr(inferior, "connection", None)
    return connection.type if connection is not None else None


def is_driven_by_a_program():
    """Whether GDB's interpreter is MI or DAP, for an editor, and not the command line. GDB's Python has no
    word for it; how GDB was started tells."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")
    except OSError:
        return False
    for i, word in enumerate(words):
        option, _, value = word.lstrip("-").partition("=")
        if word == "--args":
            break
        if word.startswith("-") and (option == "i" or len(option) >= 5 and "interpreter".startswith(option)):
            return (value or (words[i + 1] if i + 1 < len(words) else "")).startswith(("mi", "dap"))
    return False
