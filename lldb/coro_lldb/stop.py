"""What is done by itself when the program has stopped: the plug-in is asked for threads if LLDB hasn't done
so; at a fault in the region of stacks, one line says whose fault it is. And at which signal it doesn't stop.
"""

import lldb

from coro_debug.commands import crash
from coro_debug.port import CommandError
from coro_debug.session import guarded

from . import attach, breaks, compat, sessions


class Hook:
    """LLDB's stop hook, one for each target."""

    def __init__(self, _target, _arguments, _dictionary):
        pass

    def handle_stop(self, context, stream):
        """Never stops anybody from stopping."""
        process = context.GetProcess()
        try:
            attach.ensure(process)
        except CommandError as error:
            stream.Print(f"coro: {error}\n")
        for line in (verdict(process), *breaks.said_of(process)):
            if line:
                stream.Print(line + "\n")
        return True


def register(debugger):
    """For the targets that are there, and those to come."""
    targets = [debugger.GetTargetAtIndex(i) for i in range(debugger.GetNumTargets())]
    selected = debugger.GetSelectedTarget()
    for target in [*targets, debugger.GetDummyTarget()]:
        if target in targets:
            debugger.SetSelectedTarget(target)
        elif targets:
            continue
        _add(debugger)
    if selected.IsValid():
        debugger.SetSelectedTarget(selected)
    _pass_on(debugger)


def _add(debugger):
    result = lldb.SBCommandReturnObject()
    debugger.GetCommandInterpreter().HandleCommand("target stop-hook add -P coro_lldb.stop.Hook", result)


def _pass_on(debugger):
    """The runtime's monitor sends SIGURG to the thread of who computes for long, as Go's runtime does. GDB lets it
    through by itself."""
    result = lldb.SBCommandReturnObject()
    debugger.GetCommandInterpreter().HandleCommand(
        "process handle SIGURG --pass true --stop false --notify false", result)


def verdict(process):
    """The line on the fault at which the program stands; None: it stands at none of the region's."""
    if not compat.is_stopped(process):
        return None
    try:
        session = sessions.of(process)
        return guarded(lambda: crash.one_line(session))
    except Exception:  # pylint: disable=broad-except
        # A hook that fails would spoil each stop.
        return None
