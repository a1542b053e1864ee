"""`coro next`: goes on until the selected coroutine has its next line, whether it runs or not.

In the innermost frame of one that runs it is LLDB's `next`, which stays with it. One that doesn't run stands
in the middle of a switch, where there are no lines to step by; there, and further out in one that runs, it is
LLDB's `finish`, of the function that the frame has called in which you stand.
"""

from coro_debug.port import CommandError

from . import commands, select

HELP = """\
Runs the program until the selected coroutine has come to its next line; it may wait in between.

Of one that doesn't run that is the line where it waits, as soon as it is back there; from then on plain
`next` does, which stays with the coroutine over every wait. While nobody wakes it the program runs: Ctrl-C or
`process interrupt` stops it."""


def register(debugger):
    """The command."""
    commands.add(debugger, "next", "coro next", HELP, run, runs_program=True)


def run(session, arguments):
    """`coro next`"""
    if arguments.strip():
        raise CommandError(f"`coro next` takes nothing, and not `{arguments.strip()}`: `coro select ID` selects "
                           "a coroutine")
    process = session.port.process
    if not session.port.is_live():
        raise CommandError("this is a core, which can't go on")
    coroutine = session.current()
    thread = process.GetSelectedThread()
    level = thread.GetSelectedFrame().GetFrameID()
    if coroutine.is_running and level == 0:
        session.port.write(select.said_by_lldb(process, "thread step-over"))
        return
    if level == 0:
        raise CommandError("the innermost frame is that of the switch: select one of yours, by `up` or by "
                           "`coro select ID`")
    thread.SetSelectedFrame(level - 1)
    session.port.write(select.said_by_lldb(process, "thread step-out"))
