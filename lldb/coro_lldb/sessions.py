"""The sessions: one for each process that LLDB has."""

import lldb

from coro_debug.port import CommandError
from coro_debug.session import Session

from . import compat
from .memory import ProcessMemory
from .port import LldbPort

_sessions = {}


def of(process):
    """A process's session; an error where there is none that could be looked at."""
    if not compat.is_process(process):
        raise CommandError("there is no program to look at: `run` starts one, `process attach -p PID` takes "
                           "one that runs, `target create -c CORE PROGRAM` a core")
    if not compat.is_stopped(process):
        raise CommandError("the program runs: `process interrupt` stops it")
    key = process.GetUniqueID()
    if key not in _sessions:
        _sessions[key] = Session(LldbPort(process, ProcessMemory(process, compat.is_core(process))))
    return _sessions[key]


def of_value(value):
    """The session of the program that a variable is in, or None."""
    return quietly(value.GetProcess())


def quietly(process):
    """A process's session, or None."""
    try:
        return of(process)
    except CommandError:
        return None


def selected(debugger):
    """The process of the selected target."""
    return debugger.GetSelectedTarget().GetProcess() if debugger is not None else lldb.SBProcess()
