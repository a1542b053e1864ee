"""The unwinder that makes a selected coroutine's innermost frame the caller of the thread's innermost one.

Two registers suffice: the stack pointer and the resume point. The call frame information of the function
`switch` has the rest from there on.

It is stateless: whether GDB asks once or a hundred times, in whatever order, the answer is the same. (One
that answers only once makes GDB 13 fail an assertion of its own.) It reads nothing but what `selection`
has, looks up no symbol, and raises nothing: GDB is in the middle of something when it asks.
"""

import gdb
from gdb.unwinder import Unwinder

from . import compat, selection


class CoroutineUnwinder(Unwinder):
    """See the module."""

    def __init__(self):
        super().__init__("coro")

    def __call__(self, pending):
        try:
            selected = selection.current()
            if selected is None or not _is_innermost(pending, selected):
                return None
            architecture = pending.architecture()
            # The frame's identity is the coroutine's, so that it differs from one selection to the next. No
            # function begins at 0: it is no real frame's.
            info = pending.create_unwind_info(compat.frame_id(selected.sp, 0))
            info.add_saved_register("rsp", compat.word(architecture, selected.sp))
            info.add_saved_register("rip", compat.word(architecture, selected.pc))
            for name, value in selected.registers.items():
                info.add_saved_register(name, compat.word(architecture, value))
            return info
        except (gdb.error, ValueError, TypeError):
            return None


def _is_innermost(pending, selected):
    """Whether the thread's registers are this frame's. Functions inlined where the thread stands are frames
    before it, for which GDB doesn't ask."""
    if pending.level() == 0:
        return True
    return (
        int(pending.read_register("rsp")) == selected.thread_sp
        and int(pending.read_register("rip")) == selected.thread_pc
    )


def register():
    """Makes GDB ask it, for all programs: before all others."""
    gdb.unwinder.register_unwinder(None, CoroutineUnwinder(), replace=True)
