"""What a thread's line says of a coroutine: what it waits for, since when.

LLDB asks for a thread's name once, and takes no stop reason from an OS plug-in. So what changes is put into
the formats of its lines: `thread list`, the head of a backtrace, a stop.
"""

import lldb

from coro_debug import waits

from . import real_threads, sessions

FORMATS = ("thread-format", "thread-stop-format")
PIECE = "${script.thread:coro_lldb.formats.state}"
BEFORE = ("{, stop reason", "{, activity", "{\\nReturn value", "\\n")


def register(debugger):
    """Adds to the formats that are set, the user's or LLDB's own."""
    for name in FORMATS:
        values = debugger.GetInternalVariableValue(name, debugger.GetInstanceName())
        old = values.GetStringAtIndex(0) if values.GetSize() else None
        if not old or PIECE in old:
            continue
        at = next((old.index(mark) for mark in BEFORE if mark in old), len(old))
        lldb.SBDebugger.SetInternalVariable(name, old[:at] + PIECE + old[at:], debugger.GetInstanceName())


def state(thread, _dictionary):
    """`, parked 3.1 s: read fd 7 -> 127.0.0.1:8080`; '' of a thread that is no coroutine, or runs."""
    try:
        return _state(thread)
    except (Exception, KeyboardInterrupt):  # pylint: disable=broad-except
        # The line is LLDB's, and more important than this part of it.
        return ""


def _state(thread):
    tid = thread.GetThreadID()
    session = sessions.quietly(thread.GetProcess())
    if session is None or tid < real_threads.FIRST_OWN:
        return ""
    coroutine = session.port.coroutine_of(session, tid)
    if coroutine is None or coroutine.is_running:
        return ""
    age, words = waits.age_in_words(coroutine), waits.words(coroutine)
    state_words = waits.state_in_words(coroutine)
    return f", {state_words}" + (f" {age}" if age else "") + (f": {words}" if words else "")
