"""`coro select` and `coro apply`: a coroutine in the place of the selected thread's stack."""

import gdb

from coro_debug import chosen, options
from coro_debug.port import STACK_IS_MISSING, CommandError

from . import commands, compat, guard, port, selection, stack

#: Among so many innermost frames the first one that is the user's is sought.
FRAMES = 200

SELECT = """\
Makes GDB's own frame commands show a coroutine: bt, up, down, frame, info locals, p.

It need not be running; nothing of the program is changed. The thread of its worker gets selected, and there
the coroutine's innermost frame that is your own code: `down` goes into the runtime's. `coro select .`, or
without an ID, goes back to the thread itself; so does every command that runs the program, before it runs.
While a coroutine is selected, `return` and `jump` are refused, and registers can't be written: they would be
the thread's.

A coroutine that runs is selected by its thread."""

APPLY = """\
Runs a GDB command in each of several coroutines, as if each had been selected by `coro select`.

Which ones: all, or their IDs, or the filters of `coro list`. A failure is a line, and the next one follows:
  coro apply all -- bt 3
  coro apply 4 7 -- info locals
  coro apply -wait io -limit 10 -- p request"""


def register():
    """The commands."""
    commands.CoroCommand("select", "coro select ID [-runtime N] | .", SELECT, select)
    commands.CoroCommand("apply", "coro apply all|IDs|FILTERS -- COMMAND", APPLY, apply)


def select(session, arguments):
    """`coro select`"""
    asked = options.parse(arguments, takes_rest=True)
    words = asked.rest
    if compat.is_driven_by_a_program():
        raise CommandError(
            "under MI the front end would show frames that aren't the thread's: `coro bt ID -full` shows a "
            "coroutine's stack and locals here"
        )
    if len(words) > 1:
        raise CommandError(f"`coro select` takes one coroutine, and not `{arguments.strip()}`")
    if asked.is_filtered or asked.limit is not None or asked.sort is not None:
        raise CommandError("`coro select` takes no filters: name one coroutine; `coro apply` takes several")
    if not words or words == ["."]:
        _back_to_thread(session)
        return
    commands.require_program()
    coroutine = session.coroutine(words[0], asked.runtime)
    if coroutine.thread is not None:
        _select_running(session, coroutine)
        return
    if not coroutine.has_saved_registers:
        raise CommandError(f"the coroutine #{coroutine.id} is `{coroutine.state}`: it has no stack to show")
    if coroutine.has_stack is False and not session.port.is_live():
        raise CommandError(STACK_IS_MISSING)
    guard.install()
    enter(coroutine)
    session.port.write(f"[{_title(coroutine)}, on thread {gdb.selected_thread().num}]\n")
    gdb.execute(f"frame {level_of_user(session, coroutine)}")


def level_of_user(session, coroutine):
    """The level of the innermost frame of a selected coroutine that is the user's code: there its variables are. The
    innermost one of all where there is none such."""
    frames = session.frames(coroutine.registry)
    first = selection.first_level()
    level, frame = first, selection.frame_at(first)
    for _ in range(FRAMES):
        if frame is None:
            break
        if frames.is_users(stack.location(frame)):
            return level
        level, frame = level + 1, frame.older()
    return first


def enter(coroutine):
    """Selects one that doesn't run, on its home thread."""
    port.go_to_home(coroutine)
    selected = port.selection_of(coroutine)
    with selection.temporary(None):
        selected.kept = guard.Kept(coroutine)
    selection.put(selected)
    selection.frame_at(selection.first_level()).select()


def _back_to_thread(session):
    dropped = selection.drop()
    thread = gdb.selected_thread()
    if thread is None:
        raise CommandError("there is no thread: the program doesn't run")
    if thread.is_running():
        raise CommandError("the selected thread runs: `interrupt` stops it")
    if dropped is not None:
        session.port.write(f"[thread {thread.num} itself]\n")
    gdb.execute("frame 0" if dropped is not None else "frame")


def _select_running(session, coroutine):
    thread = port.thread_of_number(coroutine.thread.number)
    if thread is None or thread.is_running():
        raise CommandError(
            f"the coroutine #{coroutine.id} runs on thread {coroutine.thread.number}, which isn't stopped: "
            "`interrupt` stops it"
        )
    thread.switch()
    selection.drop()
    session.port.write(f"[{_title(coroutine)}, which thread {thread.num} runs]\n")
    gdb.execute("frame 0")


def _title(coroutine):
    name = f" '{coroutine.name}'" if coroutine.name else ""
    return f"coroutine #{coroutine.id}{name}, {coroutine.state}"


# apply


def apply(session, arguments):
    """`coro apply`"""
    which, command = chosen.split(arguments)
    commands.require_program()
    port.stopped_threads()
    with port.keeping_focus(), guard.applying() as refusals:
        for coroutine in chosen.coroutines(session, which):
            session.port.write(f"\n{_title(coroutine)}:\n")
            generation = session.port.generation()
            _apply_to(session, coroutine, command, refusals)
            if session.port.generation() != generation:
                session.port.write("coro: the program has run, or was changed; the others are left out\n")
                return
            session.port.progress(f"at coroutine #{coroutine.id}")


def _apply_to(session, coroutine, command, refusals):
    try:
        if coroutine.thread is not None:
            thread = port.thread_of_number(coroutine.thread.number)
            if thread is None or thread.is_running():
                raise CommandError(f"it runs on thread {coroutine.thread.number}, which isn't stopped")
            thread.switch()
            with selection.temporary(None):
                gdb.newest_frame().select()
                gdb.execute(command)
        elif coroutine.has_stack is False and not session.port.is_live():
            raise CommandError(STACK_IS_MISSING)
        elif coroutine.has_saved_registers:
            port.go_to_home(coroutine)
            with selection.temporary(port.selection_of(coroutine)):
                selection.frame_at(level_of_user(session, coroutine)).select()
                gdb.execute(command)
        else:
            raise CommandError(f"it is `{coroutine.state}`, and has no stack to show")
    except (gdb.error, CommandError) as error:
        if refusals:
            # The others would be refused as well.
            raise CommandError(refusals[0]) from None
        session.port.write(f"{error}\n")
