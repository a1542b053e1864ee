"""`coro gcore`: a core with the coroutines' stacks in it, which GDB's own `gcore` leaves out."""

import os
import shlex

import gdb

from coro_debug import corefile, text
from coro_debug.port import CommandError

from . import commands, selection

GCORE = """\
Writes a core of the program, with the coroutines' stacks.

GDB's own `gcore` leaves out a mapping's rest from the first part that can't be read, and the stacks' redzones can't be: its
cores have no stacks. Without a FILE it is core.PID. The program lives on."""


def register():
    """The command."""
    commands.CoroCommand("gcore", "coro gcore [FILE]", GCORE, gcore)


def gcore(session, arguments):
    """`coro gcore`"""
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise CommandError(f"the file name `{arguments}` can't be taken apart: {error}") from None
    if len(words) > 1:
        raise CommandError(f"`coro gcore` writes one file, and not `{arguments.strip()}`")
    if not session.port.is_live():
        raise CommandError("there is no process of which a core could be made")
    if any(thread.is_running() for thread in gdb.selected_inferior().threads()):
        raise CommandError("a core is of a program that stands: `interrupt -a` stops its threads")
    registry = session.registry()
    path = os.path.expanduser(words[0]) if words else f"core.{gdb.selected_inferior().pid}"
    # The thread's registers go into the core, and not those that a selected coroutine has in their place.
    with selection.temporary(None):
        said = gdb.execute(f"generate-core-file {path}", to_string=True)
    if "Saved corefile" not in said:
        session.port.write(said)
    try:
        whole, partial = corefile.complete(path, registry)
    except (OSError, corefile.NoSuchCore) as error:
        raise CommandError(f"the core {path} is there, without the coroutines' stacks, which could not be added: {error}") from None
    session.port.write(f"{path}: {text.plural(whole, 'stack')} of coroutines in it"
                       + (f"; of {partial:,} more a part is missing" if partial else "") + "\n")
