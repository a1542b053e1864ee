"""What is said by itself when the program has stopped: at a fault in the region of stacks, whose fault it is."""

import gdb

from coro_debug.commands import crash
from coro_debug.port import CommandError
from coro_debug.session import guarded

from . import sessions


def register():
    """Listens to stops."""
    gdb.events.stop.connect(at_stop)


def at_stop(event):
    """One line at SIGSEGV and SIGBUS, if the address lies in the region."""
    if isinstance(event, gdb.SignalEvent) and event.stop_signal in ("SIGSEGV", "SIGBUS"):
        say_verdict()


def say_verdict():
    """The verdict on the fault at which the selected thread has stopped, where there is one of the region's."""
    session = sessions.session()
    try:
        line = guarded(lambda: crash.one_line(session))
    except (CommandError, gdb.error, KeyboardInterrupt):
        return
    if line:
        session.port.write(f"{line}\n")
