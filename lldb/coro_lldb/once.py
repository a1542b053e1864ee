"""One command, and LLDB ends: `script from coro_lldb import once; once.run(lldb.debugger)`, with the environment that
`coro_debug.once` reads."""

import lldb

from coro_debug import once
from coro_debug.port import CommandError


def run(debugger):
    """Gives the command, and ends LLDB."""
    process = debugger.GetSelectedTarget().GetProcess()
    status = once.NOBODY
    if process.IsValid():
        status = once.answer(lambda line: _text_of(debugger, line))
    debugger.HandleCommand(f"quit {status}")


def _text_of(debugger, line):
    result = lldb.SBCommandReturnObject()
    debugger.GetCommandInterpreter().HandleCommand(line, result)
    if not result.Succeeded():
        complaint = (result.GetError() or "").strip()
        raise CommandError(complaint[len("error: "):] if complaint.startswith("error: ") else complaint)
    return result.GetOutput() or ""
