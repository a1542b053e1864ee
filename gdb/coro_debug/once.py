"""One command for who has started the debugger for that alone, as the program `coro` does: its text goes to one descriptor,
a complaint to another, and what the debugger says besides to neither."""

import os
import select

from .port import CommandError

#: In the environment: the command's line, and the two descriptors.
COMMAND, OUT, ERR = "CORO_ONCE", "CORO_ONCE_OUT", "CORO_ONCE_ERR"
#: With what the debugger ends: src/bin/coro/ask.rs knows them, too.
ANSWERED, COMPLAINED, NOBODY = 0, 3, 4


def answer(execute):
    """Gives the command to `execute`, which returns its text, or raises `CommandError`. Returns with what the debugger
    is to end."""
    try:
        _write(OUT, execute(os.environ[COMMAND]))
    except CommandError as error:
        _write(ERR, f"{error}\n")
        return COMPLAINED
    except BrokenPipeError:
        # Who reads has seen enough, as `head` does.
        pass
    return ANSWERED


def is_asked():
    """Whether the debugger was started for a command."""
    return COMMAND in os.environ


def is_abandoned():
    """Whether nobody waits for the text any more."""
    if not is_asked():
        return False
    poll = select.poll()
    poll.register(int(os.environ[OUT]), 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _write(where, text):
    data = text.encode("utf-8", "backslashreplace")
    while data:
        data = data[os.write(int(os.environ[where]), data):]
