"""`coro skip`: plain `step` does not step into the runtime.

A `read()` in a coroutine goes down into the scheduler, out of it in another coroutine, and comes back much
later. With the runtime's own files on GDB's skip list, `step` runs through the call as `next` does, and
stops behind it.

It is on unless somebody turns it off: who steps through a program mostly looks for a bug of the program's.
It is done only when `step` is used for the first time, since asking GDB for the names of all source files
takes it a moment; `info skip` shows what is skipped then.
"""

import contextlib
import os
import re

import gdb

from coro_debug import source
from coro_debug.port import CommandError, Location

from . import commands, sessions

HELP = """\
Whether `step` runs through the functions of the coroutine runtime. It does, unless this has been turned off.

Without an argument it tells. The runtime's own files are on GDB's skip list: `info skip` shows them."""

#: Turned on or off by the user; None: neither.
_is_wanted = True
#: Numbers of our entries in GDB's list.
_entries = []
_prefix = None


def register():
    """The command."""
    commands.CoroCommand("skip", "coro skip [on|off]", HELP, skip, gdb.COMMAND_RUNNING)


def skip(session, arguments):
    """`coro skip`"""
    global _is_wanted
    word = arguments.strip()
    if word not in ("", "on", "off"):
        raise CommandError(f"`coro skip {word}`: it is on or off")
    if word:
        _is_wanted = word == "on"
        if _is_wanted:
            session.registry()  # says so if there is none
            prepare()
        else:
            _delete()
    session.port.write(
        f"`step` {'runs through' if _is_wanted else 'goes into'} the functions of the coroutine runtime\n"
    )


def prepare():
    """Makes the entries, where they are wanted and not made yet."""
    global _prefix
    registry = next(iter(sessions.session().registries()), None) if _is_wanted else None
    if registry is None or not registry.source_prefix or registry.source_prefix == _prefix:
        return
    _delete()
    _prefix = registry.source_prefix
    for pattern in _patterns(_files(_prefix), _prefix, registry.source_exceptions):
        with contextlib.suppress(gdb.error):
            gdb.execute(f"skip -gfi {pattern}", to_string=True)
            _entries.append(_last_number())


def _last_number():
    numbers = re.findall(r"^(\d+)\s", gdb.execute("info skip", to_string=True), re.MULTILINE)
    return int(numbers[-1])


def _delete():
    global _prefix
    _prefix = None
    for number in _entries:
        with contextlib.suppress(gdb.error):
            gdb.execute(f"skip delete {number}", to_string=True)
    _entries.clear()


def _files(prefix):
    """The source files below the runtime's prefix that the debug information names."""
    text = gdb.execute(f"info sources -dirname -- {re.escape(prefix.rstrip('/'))}", to_string=True)
    return sorted(
        {name for name in re.split(r",\s+|\n", text) if name.startswith(prefix) and name.endswith(".rs")}
    )


def _patterns(files, prefix, exceptions):
    """Whole folders where all files in it are the runtime's, else the files."""
    folders = {}
    for file in files:
        is_users = source.is_users(Location(None, file, 1), prefix, exceptions)
        folders.setdefault(os.path.dirname(file), []).append((file, is_users))
    for folder, members in folders.items():
        if not any(is_users for _, is_users in members):
            yield f"{folder}/*.rs"
        else:
            yield from (file for file, is_users in members if not is_users)
