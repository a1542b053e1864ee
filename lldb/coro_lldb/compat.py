"""What differs between versions of LLDB, and what is only in some. 19 is the one that is tested, 15 the
oldest with all that is needed."""

import re

import lldb

OLDEST = 15


def version():
    """LLDB's major version; 0: not told. Apple's LLDB counts otherwise, and isn't for Linux."""
    found = re.search(r"version (\d+)", lldb.SBDebugger.GetVersionString() or "")
    return int(found[1]) if found else 0


def problem():
    """Why these scripts can't work here, a sentence; None: they can."""
    number = version()
    if number and number < OLDEST:
        return f"this is LLDB {number}, and these scripts need {OLDEST} or later: install a newer one"
    return None


def core_path(process):
    """The file of a core that is looked at, or None."""
    get = getattr(process, "GetCoreFile", None)
    file = get() if get is not None else None
    return file.fullpath if file is not None and file.IsValid() else None


def create_thread(process, tid):
    """A thread of the OS plug-in that was not in its list. Where this LLDB can't, an invalid one."""
    create = getattr(process, "CreateOSPluginThread", None)
    return create(tid, 0) if create is not None else lldb.SBThread()


def is_interrupted(debugger):
    """Whether the user has asked for an end, by Ctrl-C."""
    asked = getattr(debugger, "InterruptRequested", None)
    return asked is not None and asked()


def is_core(process):
    """Whether it is a core, and no process."""
    return process.GetPluginName() == "elf-core" or is_minidump(process)


def is_minidump(process):
    """Whether it is a core in Microsoft's format, which `process save-core` writes."""
    return process.GetPluginName() == "minidump"


def is_process(process):
    """Whether there is anything to look at: a process, running or stopped, or a core."""
    return process.IsValid() and process.GetState() in (
        lldb.eStateStopped, lldb.eStateRunning, lldb.eStateStepping, lldb.eStateCrashed, lldb.eStateSuspended)


def is_stopped(process):
    """Whether its threads and memory can be looked at now."""
    return process.IsValid() and process.GetState() in (
        lldb.eStateStopped, lldb.eStateCrashed, lldb.eStateSuspended)
