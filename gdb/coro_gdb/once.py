"""One command, and GDB ends: `python from coro_gdb import once; once.run()`, with the environment that
`coro_debug.once` reads."""

import gdb

from coro_debug import once
from coro_debug.port import CommandError


def run():
    """Gives the command, and ends GDB."""
    status = once.NOBODY
    if gdb.selected_inferior().pid != 0:
        # Lines are whole, as `ps` has them in a pipe: the text goes to one.
        gdb.execute("set width 0")
        # Of a core GDB warns when it first reads a thread's registers, which is no part of an answer.
        gdb.execute("thread apply all -q -s print $pc", to_string=True)
        status = once.answer(_text_of)
    gdb.execute(f"quit {status}")


def _text_of(line):
    try:
        return gdb.execute(line, to_string=True)
    except gdb.error as error:
        raise CommandError(str(error)) from None
