"""`coro break`: breakpoints for one coroutine, or for those of a name, and at what happens to coroutines.

What restricts them is an ordinary condition with `$coro()`: `info breakpoints` shows it, `condition`
changes it, `save breakpoints` keeps it. At each stop a line says who it is.
"""

import re

import gdb

from coro_debug import breaks
from coro_debug.breaks import EVENTS
from coro_debug.port import CommandError

from . import commands, functions, sessions

HELP = f"""\
Stops at a place in one coroutine only, or at what happens to coroutines.

LOCATION is whatever `break` takes. {breaks.HELP} The breakpoints are GDB's: `info breakpoints`, `delete`,
`condition` and the rest work."""

#: Number of a breakpoint of ours -> event, or None: a place.
_ours = {}


def register():
    """The command, and what it says at stops."""
    commands.CoroCommand("break", breaks.USAGE, HELP, break_, gdb.COMMAND_BREAKPOINTS)
    gdb.events.stop.connect(_at_stop)


def break_(session, arguments):
    """`coro break`"""
    wanted = breaks.parse(arguments)
    event = wanted.event
    parts = []
    record = "$rdi" if event is not None else ""
    if wanted.number is not None:
        parts.append(f"$coro({record}) == {wanted.number}")
    if wanted.expression is not None:
        parts.append(f"${functions.named(wanted.expression)}({record}) == 1")
    if wanted.condition:
        parts.append(f"({wanted.condition})" if parts else wanted.condition)
    where = _location_of(session, event) if event is not None else wanted.location
    before = {breakpoint_.number for breakpoint_ in gdb.breakpoints()}
    gdb.execute(f"break {where}" + (f" if {' && '.join(parts)}" if parts else ""))
    for breakpoint_ in gdb.breakpoints():
        if breakpoint_.number not in before:
            _ours[breakpoint_.number] = event


def _location_of(session, event):
    """Where the runtime calls a function at an event: by its symbol, which holds for the next run as well;
    else by the address that the program tells."""
    function, _ = EVENTS[event]
    if gdb.selected_inferior().pid != 0 and session.registries():
        events = session.registry().layout.events
        if event not in events:
            raise CommandError(breaks.TOO_OLD)
        address = events[event]
        symbol = re.match(r"(\S+) in section ", gdb.execute(f"info symbol {address:#x}", to_string=True))
        return symbol[1] if symbol is not None else f"*{address:#x}"
    # The symbol has a hash behind the name.
    listing = gdb.execute(f"info functions ^{function}", to_string=True)
    symbol = re.search(rf"{function}(::h[0-9a-f]{{16}})?$", listing, re.MULTILINE)
    if symbol is None:
        raise CommandError(breaks.NOT_YET.format(function))
    return symbol[0]


def _is_ours(breakpoint_):
    """Also one that was saved and read again, or that the user has made with our function."""
    return breakpoint_.number in _ours or "$coro" in (breakpoint_.condition or "")


def _event_of(breakpoint_):
    location = breakpoint_.location or ""
    return next((event for event, (function, _) in EVENTS.items() if function in location), None)


def _at_stop(event):
    """Says who it is."""
    if not isinstance(event, gdb.BreakpointEvent):
        return
    try:
        hit = next((breakpoint_ for breakpoint_ in event.breakpoints if _is_ours(breakpoint_)), None)
        if hit is None:
            return
        kind = _ours[hit.number] if hit.number in _ours else _event_of(hit)
        write = sessions.session().port.write
        who = sessions.running_here()
        if kind is None:
            write(f"coro: in coroutine {who}\n" if who is not None else "coro: in no coroutine\n")
            return
        subject = functions.at_record(int(gdb.newest_frame().read_register("rdi")))
        if subject is not None:
            write(f"coro: {breaks.said_of_event(kind, subject, who)}\n")
    except (gdb.error, RuntimeError):
        pass
