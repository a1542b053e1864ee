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


_named = {}


def named(expression):
    """The name of the function that says whether a coroutine's name matches; made when first asked for."""
    if expression.pattern not in _named:
        words = re.sub(r"\W+", "_", expression.pattern, flags=re.ASCII).strip("_") or "any"
        name = f"coro_named_{words}"
        if name in (other for other, _ in _named.values()):
            name += f"_{len(_named)}"
        _named[expression.pattern] = name, Named(name, expression)
    return _named[expression.pattern][0]


def register():
    """Adds `$coro`."""
    Current()
