"""Which coroutines are threads: those that run, those somebody looks at, and of the others as many as the cap
allows.

LLDB makes its list of threads anew at each stop, also at those of a `next` that nobody sees, so on a live
process the number is capped; `coro threads` changes that. On a core, which never runs, all are threads.
"""

from collections import OrderedDict

from coro_debug.layout import BadRegistry
from coro_debug.memory import Unreadable
from coro_debug.options import Options
from coro_debug.registry import FREE

from .real_threads import FIRST_OWN

#: How many coroutines of a live process are threads.
LIVE_LIMIT = 1000
#: Those which ran at one of the last stops stay threads, so that a `next` finds its thread again.
MOST_RECENT = 64
#: The ids of a second runtime in the program, and so on, lie so far apart.
RUNTIME_SHIFT = 56
#: Bits of a coroutine's id that are kept.
ID_BITS = 55


class Choice:
    """What the user has asked for: filters, and a limit. None as limit: the default."""

    def __init__(self):
        self.options = Options()
        self.limit = None

    def limit_of(self, is_core):
        """How many coroutines may be threads; None: all."""
        if self.limit is not None:
            return self.limit or None
        return None if is_core else LIVE_LIMIT


class Member:
    """A coroutine that is a thread."""

    __slots__ = ("tid", "coroutine", "core", "backing")

    def __init__(self, tid, coroutine, core=None, backing=None):
        self.tid, self.coroutine = tid, coroutine
        self.core = core  # index of the real thread, of one that runs
        self.backing = backing  # that one's number


class Crowd:
    """The choice of one process, stop by stop."""

    def __init__(self):
        self.choice = Choice()
        #: Thread numbers of coroutines that stay in the list, as the user has asked for them.
        self.pinned = OrderedDict()
        self._recent = OrderedDict()
        #: Thread number -> record, of those in the list of the last stop: a short way to find them again.
        self._indices = {}

    def members(self, registries, threads, is_core, selected):
        """The coroutines that are threads now, an ordered dictionary by thread number. `threads`: the real
        ones in LLDB's order, None where that isn't known; `selected`: the number of the thread that the user
        has selected."""
        members = OrderedDict()
        for runtime, registry in enumerate(registries):
            for core, thread in enumerate(threads or ()):
                coroutine = _running_on(registry, thread)
                if coroutine is not None:
                    tid = thread_id(coroutine.id, runtime)
                    members.setdefault(tid, Member(tid, coroutine, core, thread.tid))
        for tid in members:
            self._recent.pop(tid, None)
            self._recent[tid] = None
        while len(self._recent) > MOST_RECENT:
            self._recent.popitem(last=False)
        for tid in [*self.pinned, selected, *self._recent]:
            if tid is not None and tid >= FIRST_OWN and tid not in members:
                coroutine = coroutine_of(registries, tid, self._indices.get(tid))
                if coroutine is not None and is_still(coroutine, threads):
                    members[tid] = Member(tid, coroutine)
                else:
                    self.pinned.pop(tid, None)
        self._fill(members, registries, threads, self.choice.limit_of(is_core))
        self._indices = {tid: member.coroutine.index for tid, member in members.items()}
        return members

    def _fill(self, members, registries, threads, limit):
        for runtime, registry in enumerate(registries):
            for coroutine in registry.each():
                if limit is not None and len(members) >= limit:
                    return
                tid = thread_id(coroutine.id, runtime)
                is_wanted = tid not in members and self.choice.options.matches(coroutine)
                if is_wanted and is_still(coroutine, threads):
                    members[tid] = Member(tid, coroutine)


def thread_id(number, runtime=0):
    """The thread number of a coroutine."""
    return FIRST_OWN + (number & (1 << ID_BITS) - 1) + (runtime << RUNTIME_SHIFT)


def coroutine_of(registries, tid, index=None):
    """The coroutine of a thread number, or None. `index`: the record that it had, where that is known."""
    runtime, number = divmod(tid - FIRST_OWN, 1 << RUNTIME_SHIFT)
    if not 0 <= runtime < len(registries):
        return None
    registry = registries[runtime]
    if index is None or not 0 <= index < registry.record_count:
        return registry.by_id(number)
    coroutine = registry.record(index)
    return coroutine if coroutine.id == number and coroutine.state != FREE else None


def is_still(coroutine, threads):
    """Whether it has a stack that it has left, by which it can be shown. Where the threads aren't known, one
    whose record says that it runs may really run."""
    if not coroutine.has_saved_registers or threads is None and coroutine.state == "switching":
        return False
    return coroutine.context[0] in coroutine


def _running_on(registry, thread):
    if thread.sp is None:
        return None
    try:
        return registry.running_on(thread)
    except (BadRegistry, Unreadable):
        return None
