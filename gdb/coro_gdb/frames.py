"""How GDB's own `bt` shows coroutines: the boundary by its name, and of a selected coroutine its frames
alone.

GDB takes `entry`, a coroutine's lowest function, for a signal handler's caller, and says so; behind it the
stack of whoever resumed the coroutine begins. The filter is asked for each backtrace, and it is on only
where coroutines are: other programs' backtraces stay GDB's own.
"""

import gdb
from gdb.FrameDecorator import FrameDecorator

from coro_debug.memory import Unreadable
from coro_debug.source import plain_function

from . import selection, sessions, stack, values

BOUNDARY = "--- coroutine boundary, resumed by: ---"
BOUNDARY_OF_PARKED = "--- coroutine boundary, not running ---"


class Filter:
    """See the module. GDB asks it by `gdb.frame_filters`."""

    name = "coro"
    priority = 100

    @property
    def enabled(self):
        return _is_on and bool(sessions.maps())

    @enabled.setter
    def enabled(self, value):
        # `enable frame-filter` and `disable frame-filter`.
        global _is_on
        _is_on = bool(value)

    def filter(self, frames):
        return _filtered(frames, sessions.maps())


_is_on = True


def _filtered(frames, maps):
    frames = iter(frames)
    if selection.current() is not None:
        for _ in range(selection.first_level()):
            next(frames, None)
    for frame in frames:
        inferior_frame = frame.inferior_frame()
        if inferior_frame.pc() == 0 and inferior_frame.level() > 0:
            # A stack that isn't in the core reads as zero.
            return
        if not _is_boundary(inferior_frame, maps):
            yield Plain(frame)
            continue
        older = _older(inferior_frame)
        if older is None or any(older.pc() == map_.end_pc for map_ in maps):
            yield Boundary(frame, BOUNDARY_OF_PARKED)
            return
        yield Boundary(frame, BOUNDARY)


def _is_boundary(frame, maps):
    """Whether it is `entry`: what looks like a signal's frame, lies on a coroutine's stack, and has its
    caller elsewhere. (A real signal's frame has it on the same stack, or is not on a coroutine's.)"""
    if frame.type() != gdb.SIGTRAMP_FRAME:
        return False
    try:
        sp = stack.stack_pointer(frame)
        older = _older(frame)
        for map_ in maps:
            index = map_.index_at(sp)
            if index is not None:
                start, end = map_.slot_of(index)
                return older is None or not start <= stack.stack_pointer(older) < end
    except (gdb.error, Unreadable, KeyError):
        pass
    return False


def _older(frame):
    try:
        return frame.older()
    except gdb.error:
        return None


class Plain(FrameDecorator):
    """A frame whose function is named as in the source: symbol tables have a hash behind it."""

    def function(self):
        name = super().function()
        if not isinstance(name, str):
            # Without debug information it is an address, of which GDB would make the symbol's name.
            name = self.inferior_frame().name()
        return plain_function(name) if name else "??"

    def frame_args(self):
        shown = gdb.parameter("print frame-arguments")
        if shown in ("none", "presence"):
            return super().frame_args()
        return self._readable(super().frame_args(), is_whole=shown == "all")

    def frame_locals(self):
        return self._readable(super().frame_locals(), is_whole=True)

    def _readable(self, variables, is_whole):
        """GDB's own backtrace has a word in the place of a variable that isn't there. Behind a filter GDB 13
        ends the frame's line there, and at some that are optimised out it fails an assertion of its own."""
        frame = self.inferior_frame()
        return [
            variable if text is None else _Missing(variable, text)
            for variable in variables or ()
            for text in [values.missing(frame, variable.symbol(), is_whole)]
        ] or None


class _Missing:
    """A variable that can't be shown, as GDB asks a decorator for it."""

    def __init__(self, variable, text):
        self._variable, self._text = variable, text

    def symbol(self):
        return self._variable.symbol()

    def value(self):
        return gdb.Value(self._text)


class Boundary(FrameDecorator):
    """A line of text in place of a frame."""

    def __init__(self, frame, text):
        super().__init__(frame)
        self._text = text

    def function(self):
        return self._text

    def address(self):
        return None

    def filename(self):
        return None

    def line(self):
        return None

    def frame_args(self):
        return None

    def frame_locals(self):
        return None


def register():
    """Adds it to those of all programs."""
    gdb.frame_filters[Filter.name] = Filter()
