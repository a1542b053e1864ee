"""The program's real threads, in the order in which LLDB counts them: what a running coroutine's thread is
backed by.

The OS plug-in is asked for threads while LLDB makes its list of them, and says `"core": n` for a coroutine
that runs on the nth real thread. But LLDB shows the plug-in no list: what its interface has at that moment is
the list of the stop before, in which real threads that backed coroutines are hidden. So:

- When LLDB has no list yet (a core was loaded, the plug-in's path was set) it makes one of the real threads
  as soon as it is asked inside, if the plug-in then says that it has none: `of_first_list`.
- A live process on this machine is asked through /proc. LLDB keeps real threads in the order in which it saw
  them first: those that were there at an attach by their numbers, later ones as they were made.
- Of a process on another machine the order isn't known: there running coroutines are shown as their real
  threads.
"""

from coro_debug import port

from . import linux

#: The plug-in's threads have numbers from here on; the system's are below.
FIRST_OWN = 1 << 32


class RealThreads:
    """Of one process."""

    def __init__(self, process):
        self._process = process
        self._pid = process.GetProcessID()
        self._order = []
        self._is_here = None

    def of_first_list(self):
        """`port.Thread`s in LLDB's order, when LLDB has no list yet and makes one now; else None."""
        threads = [self._process.GetThreadAtIndex(i) for i in range(self._process.GetNumThreads())]
        if not threads or any(thread.GetThreadID() >= FIRST_OWN for thread in threads):
            return None
        self._order = [thread.GetThreadID() for thread in threads]
        return [of_sb(thread, thread.GetThreadID()) for thread in threads]

    def of_system(self):
        """`port.Thread`s in LLDB's order, by what the system says; None: the process isn't on this
        machine."""
        if self._is_here is None:
            self._is_here = linux.is_traced_here(self._pid)
        if not self._is_here:
            return None
        alive = linux.thread_ids(self._pid)
        known = set(self._order)
        new = [tid for tid in alive if tid not in known]
        # At an attach LLDB takes them by their numbers.
        self._order = [tid for tid in self._order if tid in alive] + (new if self._order else sorted(new))
        return [port.Thread(None, tid, *linux.registers(self._pid, tid)) for tid in self._order]


def of_sb(thread, tid):
    """A `port.Thread` of LLDB's, with the number under which the user sees it."""
    frame = thread.GetFrameAtIndex(0)
    sp, pc = (frame.GetSP(), frame.GetPC()) if frame.IsValid() else (None, None)
    return port.Thread(thread.GetIndexID(), tid, sp, pc, thread.GetName() or "")
