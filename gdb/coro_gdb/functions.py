"""Functions for expressions and for conditions of breakpoints: `break f if $coro() == 42`. Integers only: a
text would need memory in the program as soon as the language is Rust. None of them ever fails: a condition
that does stops the program.
"""

import re

import gdb

from coro_debug import whereabouts

from . import selection, sessions


class Current(gdb.Function):
    """The id of the coroutine that is selected, or else that the selected thread runs; 0: none, or it stands on another
    stack, as signal handlers may.

    $coro() is for conditions: `break f if $coro() == 42`. $coro(RECORD) is the id of the coroutine whose
    record lies at an address, which is how the runtime hands a coroutine to the functions it calls at
    events: `coro break spawn`."""

    def __init__(self):
        super().__init__("coro")

    def invoke(self, *arguments):
        who = _who(arguments)
        return who.id if who is not None else 0


class Named(gdb.Function):
    """Made by `coro break ... -name`: 1 where the coroutine's name matches, else 0."""

    def __init__(self, function, expression):
        self.__doc__ = (
            f"1 if the name of the coroutine that the selected thread runs matches the regular expression "
            f"{expression.pattern}, else 0."
        )
        self._expression = expression
        super().__init__(function)

    def invoke(self, *arguments):
        who = _who(arguments)
        return int(who is not None and self._expression.search(who.name) is not None)


def _who(arguments):
    if arguments:
        return at_record(arguments[0])
    selected = selection.current()
    return sessions.selected_here(selected) if selected is not None else sessions.running_here()


def at_record(address):
    """The coroutine whose record lies there, or None. Never an exception: a text is no address."""
    try:
        address = int(address) & (1 << 64) - 1
    except (gdb.error, TypeError, ValueError):
        return None
    return whereabouts.at_record(sessions.maps(), address)


#: Begins the names of the functions that say whether a coroutine's name matches; behind it the expression stands, with
#: `_5e` for what no name may have in it: so a breakpoint that GDB has saved brings its function along.
PREFIX = "coro_named_"
_named = {}


def named(expression):
    """The name of the function that says whether a coroutine's name matches; made when first asked for."""
    letters = expression.pattern.encode("utf-8", "surrogateescape")
    name = PREFIX + "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"_{byte:02x}" for byte in letters)
    if name not in _named:
        _named[name] = Named(name, expression)
    return name


def _breakpoint_is_there(breakpoint_):
    """One that was read from a file, say: the functions in its condition are made."""
    for text in re.findall(rf"\${PREFIX}(\w*)", breakpoint_.condition or "", re.ASCII):
        letters = re.sub(r"_([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)
        try:
            named(re.compile(letters.encode("latin-1").decode("utf-8", "surrogateescape")))
        except (re.error, RecursionError, OverflowError):
            # Written by hand: GDB says that there is no such function.
            pass


def register():
    """Adds `$coro`."""
    Current()
    for event in (gdb.events.breakpoint_created, gdb.events.breakpoint_modified):
        event.connect(_breakpoint_is_there)
    for breakpoint_ in gdb.breakpoints():
        _breakpoint_is_there(breakpoint_)
