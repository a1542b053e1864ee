"""How the plug-in gets into a process: LLDB takes it by a path, and asks it for threads when it makes a list
of them.

A path that is set later, when the process is there, has LLDB make its list anew, with the plug-in. An attach
comes to the same (`plugged.Plugged.begin`). Should LLDB have a list without us all the same, the next command
or stop sees to it.
"""

import contextlib
import os

import lldb

from coro_debug.port import CommandError

from . import compat, plugged, port, real_threads, select

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "os_plugin.py")


def everywhere(debugger):
    """For the programs that are there, and for those to come. Returns a sentence when another plug-in is
    set."""
    other = _value(debugger)
    if other and os.path.realpath(other) != os.path.realpath(PATH):
        return (f"coroutines are no threads here, since LLDB has another OS plug-in already ({other}): "
                f"`settings clear {plugged.SETTING}` and load these scripts again")
    targets = [debugger.GetTargetAtIndex(i) for i in range(debugger.GetNumTargets())]
    with contextlib.ExitStack() as kept:
        for process in (target.GetProcess() for target in targets):
            kept.enter_context(select.keeping_selection(process))
        _set_all(debugger, targets)
        for target in targets:
            target.GetProcess().GetNumThreads()
    return None


def _set_all(debugger, targets):
    interpreter, result = debugger.GetCommandInterpreter(), lldb.SBCommandReturnObject()
    selected = debugger.GetSelectedTarget()
    interpreter.HandleCommand(f'settings set -g {plugged.SETTING} "{PATH}"', result)
    for target in targets:
        debugger.SetSelectedTarget(target)
        _set(debugger)
    if not targets:
        _set(debugger)
    elif selected.IsValid():
        debugger.SetSelectedTarget(selected)


def again(process):
    """Has LLDB make its list of threads anew; what was selected stays selected."""
    debugger = process.GetTarget().GetDebugger()
    selected = debugger.GetSelectedTarget()
    debugger.SetSelectedTarget(process.GetTarget())
    with select.keeping_selection(process):
        _set(debugger)
        process.GetNumThreads()
    if selected.IsValid():
        debugger.SetSelectedTarget(selected)


def is_active(process):
    """Whether the plug-in has been asked for the threads of this stop."""
    return plugged.of(process).stop_id == process.GetStopID()


def ensure(process):
    """Has the plug-in asked, where LLDB hasn't by itself."""
    if not compat.is_stopped(process):
        return
    if not is_active(process):
        again(process)
    _settle(process)


def _settle(process):
    """Once: after an attach LLDB would have the program's first thread selected. If a coroutine runs on it, that thread
    isn't in the list any more, and LLDB has taken whichever is first there."""
    state = plugged.of(process)
    if state.is_settled:
        return
    state.is_settled = True
    own, selected = state.thread_on(process.GetProcessID()), process.GetSelectedThread()
    has_come_by_itself = selected.GetStopReason() not in (lldb.eStopReasonNone, lldb.eStopReasonSignal)
    if own is not None and selected.GetThreadID() < real_threads.FIRST_OWN and not has_come_by_itself:
        if port.signal_of(selected) in (None, *port.NO_FAULTS):
            process.SetSelectedThreadByID(own)


def _set(debugger):
    result = lldb.SBCommandReturnObject()
    debugger.GetCommandInterpreter().HandleCommand(f'settings set {plugged.SETTING} "{PATH}"', result)
    if not result.Succeeded():
        raise CommandError(f"LLDB does not take the OS plug-in {PATH}: {(result.GetError() or '').strip()}")


def _value(debugger):
    """The path that is set; '' when none is."""
    values = debugger.GetInternalVariableValue(plugged.SETTING, debugger.GetInstanceName())
    return (values.GetStringAtIndex(0) or "").strip('"') if values.GetSize() else ""
