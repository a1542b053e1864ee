"""GDB's side of the coroutine commands; `coro.py` beside this package loads it.

    port       an inferior's memory, threads and stacks, for the shared commands
    stack      frames of a coroutine; functions at an address
    values     arguments and locals as text
    sessions   the inferiors' sessions; who runs on the selected thread, asked quickly
    selection  which coroutine is shown in place of a thread's stack
    unwinder   how it is shown
    guard      that nobody takes it for the thread's own
    frames     how `bt` shows coroutines
    commands   the shared commands, as GDB's own; completion: what TAB offers
    select     coro select, coro apply
    gcore      coro gcore
    breaks     coro break
    stepping   coro next, coro step, coro finish
    skip       coro skip
    functions  $coro()
    printers   handles, locks and channels as values
    stops      what is said by itself at a stop
    compat     what differs between versions of GDB

None of it writes a register or memory of the program's by itself.
"""

import gdb

from coro_debug import commands as _shared  # noqa: F401: registers them
from coro_debug.command import COMMANDS
from coro_debug.greeting import greeting

from . import (
    breaks,
    commands,
    compat,
    frames,
    functions,
    gcore,
    guard,
    port,
    printers,
    select,
    sessions,
    skip,
    stepping,
    stops,
    unwinder,
)


def load():
    """Registers everything; says one line."""
    problem = compat.problem()
    if problem is not None:
        raise gdb.GdbError(f"coro: {problem}")
    commands.register(COMMANDS)
    for module in (select, gcore, breaks, stepping, skip, unwinder, frames, functions, printers, guard, stops):
        module.register()
    _listen()
    sessions.session().port.write(greeting(sessions.session(), gdb.selected_inferior().pid != 0) + "\n")
    stops.say_verdict()


def _listen():
    """What is known of a program holds until one of these."""
    for event in (
        gdb.events.stop,
        gdb.events.cont,
        gdb.events.exited,
        gdb.events.memory_changed,
        gdb.events.register_changed,
        gdb.events.new_objfile,
        gdb.events.clear_objfiles,
        gdb.events.inferior_call,
    ):
        event.connect(port.changed)
    for event in (gdb.events.new_objfile, gdb.events.clear_objfiles, gdb.events.exited):
        event.connect(sessions.forget)
