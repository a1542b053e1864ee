"""`coro select` and `coro apply`: LLDB's own commands on a coroutine, which is a thread."""

import contextlib

import lldb

from coro_debug import chosen, text, waits
from coro_debug.port import STACK_IS_MISSING, CommandError

from . import commands, plugged

SELECT = """\
Selects a coroutine's thread, and there the first frame that is yours.

From then on `thread backtrace`, `up`, `down`, `frame variable`, `p` and `finish` are about it, whether it
runs or not; `next` is if it runs, `coro next` in any case. It stays a thread as long as it lives, whatever
`coro threads` says."""

APPLY = """\
Runs an LLDB command in each of several coroutines, as if each had been selected by `coro select`.

Which ones: all, or their IDs, or the filters of `coro list`. A failure is a line, and the next one follows:
  coro apply all -- thread backtrace -c 3
  coro apply 4 7 -- frame variable
  coro apply -wait io -limit 10 -- p request"""

#: LLDB's commands that run the program, or end it, as it resolves them; of ours it leaves `coro` out then.
RUNNERS = (
    "thread step-in", "thread step-inst", "thread step-inst-over", "thread step-out", "thread step-over",
    "thread step-scripted", "thread continue", "thread until", "thread return", "process attach", "process connect",
    "process continue", "process detach", "process kill", "process launch", "process load", "process signal",
)
OWN_RUNNERS = ("next", "step", "finish", "_regexp-jump")
#: The first frame of the user's is looked for among so many.
MOST_FRAMES = 500


def register(debugger):
    """The commands."""
    commands.add(debugger, "select", "coro select ID|NAME|.", SELECT, select)
    commands.add(debugger, "apply", "coro apply all|IDs|FILTERS -- COMMAND", APPLY, apply)


def select(session, arguments):
    """`coro select`"""
    words = arguments.split()
    if len(words) > 1:
        raise CommandError(f"`coro select` takes one coroutine, and not `{arguments.strip()}`")
    coroutine = session.coroutine(words[0] if words else ".")
    thread = enter(session, coroutine)
    plugged.of(session.port.process).crowd.pinned[thread.GetThreadID()] = None
    of_thread = "" if coroutine.is_running else f", thread {thread.GetIndexID()}"
    session.port.write(f"[{title(coroutine)}{of_thread}]\n")
    session.port.write(said_by_lldb(session.port.process, "frame select"))


def enter(session, coroutine):
    """Selects a coroutine's thread, and its frame; the thread."""
    port = session.port
    if coroutine.has_stack is False and not port.is_live():
        raise CommandError(STACK_IS_MISSING)
    thread = port.thread_of(coroutine)
    if not port.process.SetSelectedThread(thread):
        raise CommandError(f"LLDB does not select thread {thread.GetIndexID()}")
    frames = session.frames(coroutine.registry)
    with port.open_stack(coroutine) as stack:
        for frame in stack:
            if frame.level == MOST_FRAMES:
                break
            if frames.is_users(frame.location):
                thread.SetSelectedFrame(frame.level)
                return thread
    thread.SetSelectedFrame(0)
    return thread


def title(coroutine):
    """`coroutine #42 'conn', parked: read fd 7`"""
    who, words = text.who(coroutine.id, coroutine.name), waits.words(coroutine)
    if coroutine.is_running and words:
        return f"coroutine {who}, {words}"
    return f"coroutine {who}, {coroutine.state}" + (f": {words}" if words else "")


def apply(session, arguments):
    """`coro apply`"""
    which, command = chosen.split(arguments)
    port = session.port
    if _runs_program(port.process, command):
        raise CommandError(chosen.RUNS_NOTHING.format(command))
    with keeping_selection(port.process):
        for coroutine in chosen.coroutines(session, which):
            port.write(f"\n{title(coroutine)}:\n")
            stop = port.process.GetStopID()
            try:
                enter(session, coroutine)
                port.write(said_by_lldb(port.process, command))
            except CommandError as error:
                port.write(f"{error}\n")
            if port.process.GetStopID() != stop:
                port.write("coro: the program has run; the others are left out\n")
                return
            port.progress(f"at coroutine #{coroutine.id}")


def _runs_program(process, line):
    """Whether a command is one that runs the program or ends it, under whichever abbreviation."""
    result = lldb.SBCommandReturnObject()
    interpreter = process.GetTarget().GetDebugger().GetCommandInterpreter()
    interpreter.ResolveCommand(line, result)
    words = ((result.GetOutput() if result.Succeeded() else "") or "").split()
    return " ".join(words[:2]) in RUNNERS or words[:1] in [[name] for name in OWN_RUNNERS]


def said_by_lldb(process, line):
    """What LLDB prints for a command; an error as LLDB says it."""
    return answer(process.GetTarget(), line)[0]


def answer(target, line):
    """The same, also without a process; and whether LLDB has done it."""
    result = lldb.SBCommandReturnObject()
    # Inside of a command LLDB goes on with what was selected when that began, unless it is told otherwise.
    frame = target.GetProcess().GetSelectedThread().GetSelectedFrame()
    context = lldb.SBExecutionContext(frame) if frame.IsValid() else lldb.SBExecutionContext(target)
    target.GetDebugger().GetCommandInterpreter().HandleCommand(line, context, result)
    said = (result.GetOutput() or "") + ("" if result.Succeeded() else result.GetError() or "error\n")
    return said.strip("\n") + "\n" if said.strip() else "", result.Succeeded()


@contextlib.contextmanager
def keeping_selection(process):
    """Whatever is selected inside, afterwards the user's thread and frame are."""
    thread = process.GetSelectedThread()
    tid, level, stop = thread.GetThreadID(), thread.GetSelectedFrame().GetFrameID(), process.GetStopID()
    try:
        yield
    finally:
        if process.GetStopID() == stop and (
            process.SetSelectedThreadByID(tid)
            # It is a coroutine's by now, which it runs.
            or process.SetSelectedThreadByID(plugged.of(process).thread_on(tid) or tid)
        ):
            process.GetSelectedThread().SetSelectedFrame(level)
