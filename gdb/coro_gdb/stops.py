"""What is said by itself when the program has stopped: at a fault in the region, whose it is."""

import gdb

from coro_debug.commands import crash
from coro_debug.port import CommandError
from coro_debug.session import guarded

from . import compat, sessions

#: Cores that have been spoken of, by inferior and process.
_told = set()


def register():
    """Listens to stops. Opening a core is none to GDB: there it is said before the next prompt."""
    gdb.events.stop.connect(at_stop)
    gdb.events.before_prompt.connect(before_prompt)


def before_prompt():
    """One line on a core that is new."""
    inferior = gdb.selected_inferior()
    key = inferior.num, inferior.pid
    if compat.connection_type(inferior) == "core" and key not in _told:
        say_verdict()


def at_stop(event):
    """One line at SIGSEGV and SIGBUS, if the address lies in the region."""
    if isinstance(event, gdb.SignalEvent) and event.stop_signal in ("SIGSEGV", "SIGBUS"):
        say_verdict()


def say_verdict():
    """Says whose the fault is at which the selected thread has stopped, if the region's stacks are in it."""
    session, inferior = sessions.session(), gdb.selected_inferior()
    _told.add((inferior.num, inferior.pid))
    try:
        line = guarded(lambda: crash.one_line(session))
    except (CommandError, gdb.error, KeyboardInterrupt):
        return
    if line:
        session.port.write(f"coro: {line}\n")
