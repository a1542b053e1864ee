"""`coro next`, `coro step`, `coro finish`: they go on with the selected coroutine, whether it runs or not.

In the innermost frame of one that runs they are LLDB's own, which stay with it, as it is a thread. One that doesn't run
stands in the middle of a switch, where there are no lines to step by; there, and further out in one that runs, a step is
LLDB's `finish`, of the function that the frame has called in which you stand.
"""

from coro_debug.port import IS_A_CORE, NEVER_RUNS, CommandError

from . import commands, select

NEXT = """\
Runs the program until the selected coroutine has come to its next line; it may wait in between.

Of one that doesn't run that is the line where it waits, as soon as it is back there; from then on plain
`next` does, which stays with the coroutine over every wait. While nobody wakes it the program runs: Ctrl-C or
`process interrupt` stops it."""

STEP = """\
Runs until the selected coroutine has come to another line, also in a function that is called.

The functions of the runtime and of the standard library are run through: LLDB's own `step` goes into the runtime's. It
stays with the coroutine while that waits and others run. Of one that doesn't run it is `coro next`."""

FINISH = """\
Runs until the selected frame's function has returned, in the selected coroutine.

It stays with the coroutine while that waits and others run."""

#: Functions that a step runs through, as LLDB knows them: `std::…`; of the older mangling
#: `_$LT$coro..net..tcp..TcpStream$u20$as$u20$std..io..Read$GT$::read`; and of a trait for all types (`I`), which only the
#: trait's own crate can have.
RUN_THROUGH = (r"^(_?(\$LT\$|<)(\$RF\$|&)?(mut )?([A-Z][A-Za-z0-9]*(\$u20\$| )as(\$u20\$| ))?)?"
               r"(std|core|alloc|coro)(::|\.\.)")


def register(debugger):
    """The commands."""
    for name, text, line in (
        ("next", NEXT, "thread step-over"),
        ("step", STEP, f"thread step-in --step-over-regexp '{RUN_THROUGH}'"),
        ("finish", FINISH, None),
    ):
        commands.add(debugger, name, f"coro {name}", text, _runner(name, line), runs_program=True)


def _runner(name, line):
    def run(session, arguments):
        if arguments.strip():
            raise CommandError(f"`coro {name}` takes nothing, and not `{arguments.strip()}`: `coro select ID` selects "
                               "a coroutine")
        if not session.port.is_live():
            raise CommandError(IS_A_CORE)
        coroutine = session.current()
        if coroutine.registry.is_forked and not coroutine.is_running:
            raise CommandError(NEVER_RUNS)
        if line is None:
            _finish(session, coroutine)
        else:
            _step(session, coroutine, line)

    return run


def _step(session, coroutine, line):
    process = session.port.process
    thread = process.GetSelectedThread()
    level = thread.GetSelectedFrame().GetFrameID()
    if coroutine.is_running and level == 0:
        session.port.write(select.said_by_lldb(process, line))
        return
    if level == 0:
        raise CommandError("the innermost frame is that of the switch: select one of yours, by `up` or by "
                           "`coro select ID`")
    thread.SetSelectedFrame(level - 1)
    session.port.write(select.said_by_lldb(process, "thread step-out"))


def _finish(session, coroutine):
    process = session.port.process
    thread = process.GetSelectedThread()
    level = thread.GetSelectedFrame().GetFrameID()
    with session.port.open_stack(coroutine) as stack:
        lowest = next((frame.level for frame in stack if frame.is_boundary or frame.level > level), None)
    if lowest is None or lowest <= level:
        raise CommandError("nothing of the coroutine is behind this frame")
    session.port.write(select.said_by_lldb(process, "thread step-out"))
