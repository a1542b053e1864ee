"""Which coroutine is selected on which thread: GDB's frame commands then show that one instead of the
thread's own stack.

Nothing of the program is changed by it: registers and memory are as they were. What happens is that
`unwinder` gives the thread's innermost frame another caller, the coroutine's innermost one, and that
`frames` leaves the former out.

The frames are not the thread's, so nothing that runs the thread on may start from them: `guard` sees to it
that a selection is gone before. A selection belongs to one thread of one inferior; it ends with the stop in
which it was made.
"""

import contextlib

import gdb

#: (inferior's number, thread's number in the whole of GDB) -> Selection
_selections = {}
#: How often it was asked for that selections are not to be seen; 0: they are.
_suspended = 0


class Selection:
    """A coroutine's saved context, shown in place of a thread's callers."""

    __slots__ = ("sp", "pc", "thread_sp", "thread_pc", "number", "name", "kept", "registers")

    def __init__(self, context, thread_registers, number=0, name=""):
        self.sp, self.pc = context
        #: The thread's own: by them its innermost frame is known.
        self.thread_sp, self.thread_pc = thread_registers
        #: The coroutine's id.
        self.number = number
        self.name = name
        #: Name -> value of what else is known besides: of a stack that is shown from its middle on.
        self.registers = {}
        #: A `guard.Kept`, of one that the user has selected.
        self.kept = None

    def __str__(self):
        return f"#{self.number} '{self.name}'" if self.name else f"#{self.number}"


def key():
    """The selected thread's; None: there is none."""
    thread = gdb.selected_thread()
    return (
        (gdb.selected_inferior().num, thread.global_num) if thread is not None and thread.is_valid() else None
    )


def current():
    """The selection on the selected thread, or None."""
    return _selections.get(key()) if _selections and not _suspended else None


def standing():
    """Whether any thread has one, seen or not."""
    return bool(_selections)


def put(selection):
    """Selects on the selected thread."""
    _selections[key()] = selection
    gdb.invalidate_cached_frames()


def drop():
    """Ends the selected thread's selection; gives it."""
    selection = _selections.pop(key(), None)
    if selection is not None:
        gdb.invalidate_cached_frames()
    return selection


def drop_all():
    """Ends all of them; gives them with their threads' numbers."""
    gone = [(number, selection) for (_inferior, number), selection in _selections.items()]
    _selections.clear()
    if gone:
        gdb.invalidate_cached_frames()
    return gone


@contextlib.contextmanager
def temporary(selection):
    """Selects on the selected thread for a while; None: shows the thread itself."""
    global _suspended
    place, before, hidden = key(), _selections.get(key()), _suspended
    try:
        _suspended = 0
        if selection is None:
            _selections.pop(place, None)
        else:
            _selections[place] = selection
        gdb.invalidate_cached_frames()
        yield
    finally:
        _suspended = hidden
        if before is None:
            _selections.pop(place, None)
        else:
            _selections[place] = before
        gdb.invalidate_cached_frames()


def suspend():
    """Hides all selections, until `resume`."""
    global _suspended
    if _selections and not _suspended:
        _suspended = 1


def resume():
    """Shows them again; gives whether they were hidden."""
    global _suspended
    was, _suspended = _suspended, 0
    return bool(was)


def hidden():
    """Whether they are hidden."""
    return bool(_suspended)


def first_level():
    """The level of the selected coroutine's innermost frame: behind the thread's innermost one and the
    functions that are inlined there."""
    level, frame = 1, gdb.newest_frame()
    while frame is not None and frame.type() == gdb.INLINE_FRAME:
        level, frame = level + 1, frame.older()
    return level


def frame_at(level):
    """The frame of a level, or the outermost one."""
    frame = gdb.newest_frame()
    for _ in range(level):
        older = frame.older()
        if older is None:
            break
        frame = older
    return frame
