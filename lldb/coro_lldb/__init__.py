"""LLDB's side of the coroutine commands; `coro.py` beside this package loads it.

    port          a process's memory, threads and stacks, for the shared commands; memory, stack (frames, functions
                  at an address), values (variables as text), linux (/proc), core_notes (where a core's threads
                  faulted)
    sessions      the processes' sessions; who runs there, asked quickly
    os_plugin     coroutines as threads: what LLDB calls; plugged what it knows of a process, crowd which coroutines
                  are threads, real_threads the order of the program's own, attach how LLDB comes to use it
    commands      the shared commands, as LLDB's own
    select        coro select, coro apply
    stepping      coro next, coro step, coro finish
    breaks        coro break
    threads       coro threads
    formats       what a thread's line says of a coroutine
    summaries     handles, locks and channels as values
    stop          what is done by itself at a stop
    compat        what differs between versions of LLDB

None of it writes a register or memory of the program's.
"""

from coro_debug import commands as _shared  # noqa: F401: registers them
from coro_debug.command import COMMANDS
from coro_debug.greeting import VERSION, greeting
from coro_debug.port import CommandError

from . import attach, breaks, commands, compat, formats, select, sessions, stepping, stop, summaries, threads

HELP = '"help coro" lists the commands'
_is_loaded = False


def load(debugger, dictionary):
    """Registers everything; says one line. Once more: has the plug-in asked for a process that came by an
    attach."""
    global _is_loaded
    dictionary["coro_lldb"] = __import__("coro_lldb")
    problem = compat.problem()
    if problem is not None:
        print(f"error: coro {VERSION}: {problem}")
        return
    try:
        if not _is_loaded:
            commands.register(debugger, COMMANDS)
            for module in (select, breaks, stepping, threads, formats, summaries, stop):
                module.register(debugger)
        other = attach.everywhere(debugger)
    except CommandError as error:
        print(f"error: coro {VERSION}: {error}")
        return
    _greet(sessions.selected(debugger))
    if other is not None:
        print(f"coro: {other}")
    _is_loaded = True


def _greet(process):
    session = sessions.quietly(process)
    if session is None:
        if not _is_loaded:
            print(f"coro {VERSION}: loaded; {HELP}")
        return
    attach.ensure(process)
    print(greeting(session, True))
    line = stop.verdict(process)
    if line:
        print(line)
