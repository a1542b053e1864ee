"""The inferiors' sessions, and the quick question of who runs on the selected thread (`whereabouts`)."""

import gdb

from coro_debug import whereabouts
from coro_debug.session import Session

from . import compat
from .port import GdbPort

_sessions = {}
_maps = {}


def session():
    """The selected inferior's."""
    number = gdb.selected_inferior().num
    if number not in _sessions:
        _sessions[number] = Session(GdbPort())
    return _sessions[number]


def forget(event=None):
    """Symbols or the process have changed: what was known of them is not any more."""
    _maps.clear()
    for one in _sessions.values():
        one.port.forget_symbols()


def maps():
    """The region maps of the selected inferior's runtimes that have started. Never an exception."""
    inferior = gdb.selected_inferior()
    key = inferior.num, inferior.pid, compat.connection_type(inferior)
    if inferior.pid == 0:
        return []
    if not _maps.get(key):
        _maps[key] = whereabouts.maps_of(session().port)
    return _maps[key]


def running_here():
    """Who runs on the selected thread, by its true registers, or None. Never an exception."""
    try:
        if gdb.selected_thread() is None:
            return None
        # While a condition is asked, GDB counts the thread as running, and its registers can be read all
        # the same.
        sp = int(gdb.newest_frame().read_register("rsp")) & (1 << 64) - 1
    except gdb.error:
        return None
    return whereabouts.on_stack(maps(), sp)


def selected_here(selected):
    """Who is in the selected thread's place, by a `selection.Selection`; None: it isn't there any more. Never an
    exception."""
    who = whereabouts.on_stack(maps(), selected.sp)
    return who if who is not None and who.id == selected.number else None
