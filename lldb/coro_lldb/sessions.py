"""The sessions: one for each process that LLDB has; and who runs there, asked quickly (`whereabouts`)."""

import lldb

from coro_debug import whereabouts
from coro_debug.port import CommandError
from coro_debug.session import Session

from . import compat
from .memory import ProcessMemory
from .port import LldbPort

_sessions = {}
_maps = {}


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


def maps(process):
    """The region maps of a process's runtimes that have started."""
    key = process.GetUniqueID(), process.GetTarget().GetNumModules()
    if not _maps.get(key):
        port = LldbPort(process, ProcessMemory(process, compat.is_core(process)))
        _maps[key] = whereabouts.maps_of(port)
    return _maps[key]


def selected(debugger):
    """The process of the selected target."""
    return debugger.GetSelectedTarget().GetProcess() if debugger is not None else lldb.SBProcess()
