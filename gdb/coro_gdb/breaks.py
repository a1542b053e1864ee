"""`coro break`: breakpoints for one coroutine, or for those of a name, and at what happens to coroutines.

What restricts them is an ordinary condition with `$coro()`: `info breakpoints` shows it, `condition`
changes it, `save breakpoints` keeps it. At each stop a line says who it is.
"""

import re

import gdb

from coro_debug import command, options
from coro_debug.port import CommandError

from . import commands, functions, sessions

HELP = """\
Stops at a place in one coroutine only, or at what happens to coroutines.

LOCATION is whatever `break` takes. -id N: only in the coroutine of that number; -name RE: only in those
whose name the regular expression matches; -if COND: and only if that holds. spawn stops where a coroutine
has been made, before it runs, on the stack of the one that makes it; exit where one has ended, on its own;
panic where one panics, before anything unwinds. There -id and -name mean the coroutine that is made, ends
or panics. The breakpoints are GDB's: `info breakpoints`, `delete`, `condition` and the rest work."""

#: What happens -> (the function that the runtime calls then, for a program that doesn't run yet, and the
#: words for it).
EVENTS = {
    "spawn": ("coro::arch::x86_64::spawned", "is spawned"),
    "exit": ("coro::arch::x86_64::exited", "ends"),
    "panic": ("coro::arch::x86_64::panicking", "panics"),
}
#: Number of a breakpoint of ours -> event, or None: a place.
_ours = {}


def register():
    """The command, and what it says at stops."""
    commands.CoroCommand(
        "break",
        "coro break LOCATION|spawn|exit|panic [-id N|-name RE] [-if COND]",
        HELP,
        break_,
        gdb.COMMAND_BREAKPOINTS,
    )
    gdb.events.stop.connect(_at_stop)


def break_(session, arguments):
    """`coro break`"""
    location, number, expression, condition = _parse(arguments)
    event = location if location in EVENTS else None
    if event is None and number is None and expression is None:
        raise CommandError("say in whom: -id N or -name RE; plain `break` stops in any coroutine")
    parts = []
    record = "$rdi" if event is not None else ""
    if number is not None:
        parts.append(f"$coro({record}) == {number}")
    if expression is not None:
        parts.append(f"${functions.named(expression)}({record}) == 1")
    if condition:
        parts.append(f"({condition})" if parts else condition)
    where = _location_of(session, event) if event is not None else location
    before = {breakpoint_.number for breakpoint_ in gdb.breakpoints()}
    gdb.execute(f"break {where}" + (f" if {' && '.join(parts)}" if parts else ""))
    for breakpoint_ in gdb.breakpoints():
        if breakpoint_.number not in before:
            _ours[breakpoint_.number] = event


#: What stands behind the location, which may itself have words that begin with a dash.
_NO_VALUE = re.compile(r"\s(-id|-name|-if)\s*$")
_RESTRICTIONS = re.compile(r"""((?:\s-(?:id|name)\s+(?:'[^']*'|"[^"]*"|\S+))*)\s*$""")


def _parse(arguments):
    """(location, id, name's expression, condition)"""
    missing = _NO_VALUE.search(f" {arguments}")
    if missing is not None:
        wanted = {"-id": "a coroutine's number", "-name": "a regular expression", "-if": "a condition"}[missing[1]]
        raise CommandError(f"`{missing[1]}` wants {wanted} behind it")
    text, _, condition = re.sub(r"\s-if\s", "\0", f" {arguments} ", count=1).partition("\0")
    found = _RESTRICTIONS.search(text)
    location = text[: found.start()].strip()
    if not location:
        raise CommandError("usage: coro break LOCATION|spawn|exit|panic [-id N|-name RE] [-if COND]")
    words = command.split(found[1])
    number = expression = None
    for option, value in zip(words[::2], words[1::2]):
        if option == "-id":
            number = options.number("-id", value.lstrip("#"))
        else:
            expression = _expression(value)
    return location, number, expression, condition.strip()


def _expression(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise CommandError(f"`-name {text}`: that is no regular expression: {error}") from None


def _location_of(session, event):
    """Where the runtime calls a function at an event: by its symbol, which holds for the next run as well;
    else by the address that the program tells."""
    function, _ = EVENTS[event]
    if gdb.selected_inferior().pid != 0 and session.registries():
        events = session.registry().layout.events
        if event not in events:
            raise CommandError(
                "this program's version of coro has no place to stop at that (debug ABI 1.0; 1.1 has)"
            )
        address = events[event]
        symbol = re.match(r"(\S+) in section ", gdb.execute(f"info symbol {address:#x}", to_string=True))
        return symbol[1] if symbol is not None else f"*{address:#x}"
    # The symbol has a hash behind the name.
    listing = gdb.execute(f"info functions ^{function}", to_string=True)
    symbol = re.search(rf"{function}(::h[0-9a-f]{{16}})?$", listing, re.MULTILINE)
    if symbol is None:
        raise CommandError(
            f"no runtime runs yet, and there is no symbol {function} by which to tell where it will: "
            "start the program, and stop it when it has coroutines"
        )
    return symbol[0]


def _at_stop(event):
    """Says who it is."""
    if not isinstance(event, gdb.BreakpointEvent):
        return
    try:
        hit = [breakpoint_.number for breakpoint_ in event.breakpoints if breakpoint_.number in _ours]
        if not hit:
            return
        kind = _ours[hit[0]]
        write = sessions.session().port.write
        who = sessions.running_here()
        if kind is None:
            write(f"coro: in coroutine {who}\n" if who is not None else "coro: in no coroutine\n")
            return
        subject = functions.at_record(int(gdb.newest_frame().read_register("rdi")))
        by = f", by {who}" if kind == "spawn" and who is not None else ""
        write(f"coro: coroutine {subject} {EVENTS[kind][1]}{by}\n" if subject is not None else "")
    except (gdb.error, RuntimeError):
        pass
