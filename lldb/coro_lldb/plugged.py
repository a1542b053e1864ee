"""What the OS plug-in knows of each process: its threads as of the last stop, and which coroutines are
threads.

LLDB imports the plug-in's file as a module of its own, and anew each time; so this is kept here.
"""

import lldb

from coro_debug import registry

from . import compat, crowd, real_threads
from .memory import ProcessMemory
from .port import LldbPort

#: Where LLDB has the plug-in's path.
SETTING = "target.process.python-os-plugin-path"

_states = {}


def of(process):
    """The state of a process."""
    key = process.GetUniqueID()
    if key not in _states:
        _states[key] = Plugged(process)
    return _states[key]


def name_of(coroutine):
    """The name of a coroutine's thread: what doesn't change, since LLDB asks for it once."""
    return f"#{coroutine.id} {coroutine.name}".rstrip()


class Plugged:
    """One process as the plug-in shows it."""

    def __init__(self, process):
        self.process = process
        self.is_core = compat.is_core(process)
        self.crowd = crowd.Crowd()
        #: By thread number, the `crowd.Member`s of the last stop.
        self.members = {}
        #: Of which stop the list is; None: LLDB has not asked yet.
        self.stop_id = None
        #: What went wrong when the list was made, for those who look into it.
        self.failure = None
        #: Whether it was seen to that the right thread is selected (`attach.ensure`).
        self.is_settled = False
        self._registries = []
        self._real = real_threads.RealThreads(process)
        self._port = LldbPort(process, ProcessMemory(process, self.is_core))
        self._is_inside = self._has_begun = False

    def begin(self, path):
        """LLDB has loaded the plug-in for this process. At an attach it has its list of threads already, and
        would ask us at the next stop only. When the setting with our path is made once more, which loads us
        once more, it forgets that list."""
        if self._has_begun:
            return
        self._has_begun = True
        if compat.is_stopped(self.process) and not self.is_core:
            debugger = self.process.GetTarget().GetDebugger()
            lldb.SBDebugger.SetInternalVariable(SETTING, path, debugger.GetInstanceName())

    def update(self):
        """The coroutines that are threads at this stop; never an exception."""
        if self._is_inside:
            # LLDB makes its first list of the real threads, for us to look at.
            return []
        self._is_inside = True
        try:
            self.failure = None
            self.members = self._members()
        except Exception as error:  # pylint: disable=broad-except
            # Whatever it is, LLDB would print a traceback, and the user couldn't use it.
            self.members, self.failure = {}, error
        finally:
            self._is_inside = False
        self.stop_id = self.process.GetStopID()
        return self.members.values()

    def _members(self):
        first = self._real.of_first_list()
        threads = first if self.is_core else self._real.of_system()
        if threads is None and self.is_core:
            # A core doesn't run: what was once seen of its threads holds.
            threads = self._port.given
        self._port.given = threads or []
        self._registries, _problems = registry.open_registries(self._port)
        selected = self.process.GetSelectedThread()
        return self.crowd.members(self._registries, threads, self.is_core,
                                  selected.GetThreadID() if selected.IsValid() else None)

    def add(self, tid):
        """One more coroutine that becomes a thread at this stop: a `crowd.Member`, or None."""
        if tid not in self.members:
            coroutine = crowd.coroutine_of(self._registries, tid)
            if coroutine is None or not crowd.is_still(coroutine, self._port.given):
                return None
            self.members[tid] = crowd.Member(tid, coroutine)
        return self.members[tid]

    def context(self, tid):
        """(stack pointer, pc) of a coroutine that doesn't run; zeros of one that isn't known."""
        member = self.members.get(tid)
        return member.coroutine.context if member is not None else (0, 0)

    def backing(self, tid):
        """The number of the real thread on which a coroutine's thread runs, or None."""
        member = self.members.get(tid)
        return member.backing if member is not None else None

    def thread_on(self, tid):
        """The number of the coroutine's thread that runs on a real one, or None."""
        return next((member.tid for member in self.members.values() if member.backing == tid), None)
