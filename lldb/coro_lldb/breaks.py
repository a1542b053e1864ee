"""`coro break`: breakpoints for one coroutine, or for those of a name, and at what happens to coroutines.

LLDB's conditions are expressions of the program's, which can't ask who runs. So what restricts these is a command of
the breakpoint's in Python, which says whether to stop: `breakpoint list` shows it, `breakpoint write` keeps it. The
user's condition is in it, too, as it has to be asked of each who is there (`_others_at`).
"""

import lldb

from coro_debug import breaks, whereabouts
from coro_debug.port import CommandError

from . import commands, plugged, select, sessions

HELP = f"""\
Stops at a place in one coroutine only, or at what happens to coroutines.

LOCATION is whatever `b` takes, or options of `breakpoint set`. {breaks.HELP} The breakpoints are LLDB's: `breakpoint
list`, `delete`, `disable` and `modify` work. `breakpoint command add` would take the place of what restricts it.

  coro break serve -id 7
  coro break conn.rs:40 -name ^conn
  coro break -f conn.rs -l 40 -name ^conn -if n>3
  coro break panic"""

#: By process, what is to be said of the stop that comes now.
_to_say = {}


def register(debugger):
    """The command."""
    commands.add(debugger, "break", breaks.USAGE, HELP, run, needs_process=False)


def run(target, arguments, write):
    """`coro break`"""
    wanted = breaks.parse(arguments)
    if not target.IsValid():
        raise CommandError("there is no program in which to stop: `target create PROGRAM` names one")
    made, said = _at_event(target, wanted.event) if wanted.event is not None else _at_place(target, wanted.location)
    error = made.SetScriptCallbackBody(_body(wanted))
    if error is not None and error.Fail():
        target.BreakpointDelete(made.GetID())
        raise CommandError(f"LLDB says: {error.GetCString()}")
    write(said)


def _body(wanted):
    """What LLDB runs when somebody comes by."""
    parts = ["frame"]
    if wanted.number is not None:
        parts.append(f"id={wanted.number}")
    if wanted.expression is not None:
        parts.append(f"name={wanted.expression.pattern!r}")
    if wanted.event is not None:
        parts.append(f"event={wanted.event!r}")
    if wanted.condition:
        parts.append(f"condition={wanted.condition!r}")
    return f"return coro_lldb.breaks.stops({', '.join(parts)})"


def _at_place(target, location):
    return _set(target, f"breakpoint set {location}" if location.startswith("-") else f"_regexp-break {location}")


def _at_event(target, event):
    """Where the runtime calls a function at an event: by its name, which holds for the next run and for libraries to
    come as well; else by the address that the program tells."""
    function, _ = breaks.EVENTS[event]
    # Behind the name of the symbol is a hash.
    pattern = f"^{function}(::h[0-9a-f]{{16}})?$"
    if target.FindGlobalFunctions(pattern, 1, lldb.eMatchTypeRegex).GetSize() > 0:
        return _set(target, f"breakpoint set --func-regex '{pattern}'")
    session = sessions.quietly(target.GetProcess())
    registries = session.registries() if session is not None else []
    if not registries:
        raise CommandError(breaks.NOT_YET.format(function))
    events = registries[0].layout.events
    if event not in events:
        raise CommandError(breaks.TOO_OLD)
    return _set(target, f"breakpoint set --address {events[event]:#x}")


def _set(target, line):
    """Has LLDB make a breakpoint: it, and what LLDB says of it."""
    before = _numbers(target)
    said, is_done = select.answer(target, line)
    new = _numbers(target) - before
    if not is_done or not new:
        raise CommandError("LLDB says: " + " ".join(said.split()).replace("error: ", ""))
    return target.FindBreakpointByID(max(new)), said


def _numbers(target):
    return {target.GetBreakpointAtIndex(i).GetID() for i in range(target.GetNumBreakpoints())}


def stops(frame, id=None, name=None, event=None, condition=None):  # pylint: disable=redefined-builtin
    """Whether somebody who has come to one of these is to stop there. Never an exception."""
    try:
        process = frame.GetThread().GetProcess()
        asked = _Asked(sessions.maps(process), id, name, event, condition)
        here = asked.said_of(frame)
        others = [f"{said}, at the same moment as the one that LLDB shows: `coro select {number}` goes there"
                  for number, other in _others_at(process, frame)
                  for said in [asked.said_of(other)] if said is not None]
        if here is None and not others:
            return False
        # Of a place where it has stopped LLDB says itself who is there.
        _to_say[process.GetUniqueID()] = [*([here] if here and event is not None else []), *others, *asked.problems]
        return True
    except Exception:  # pylint: disable=broad-except
        # As in GDB: whom nothing is known of isn't stopped, unless everybody is meant.
        return id is None and name is None


class _Asked:
    """What one of these breakpoints is asked for."""

    def __init__(self, maps, number, name, event, condition):
        #: Conditions that could not be asked for.
        self.problems = []
        self._maps, self._number, self._name, self._event, self._condition = maps, number, name, event, condition

    def said_of(self, frame):
        """What is said of one who has come to it, and is meant; None: isn't."""
        running = subject = whereabouts.on_stack(self._maps, frame.GetSP())
        if self._event is not None:
            subject = whereabouts.at_record(self._maps, frame.FindRegister("rdi").GetValueAsUnsigned())
        if not breaks.is_meant(subject, self._number, self._name) or not self._holds(frame):
            return None
        if self._event is not None:
            return breaks.said_of_event(self._event, subject, running) if subject is not None else ""
        return f"coroutine {running} has come here"

    def _holds(self, frame):
        if self._condition is None:
            return True
        value = frame.EvaluateExpression(self._condition)
        if value.GetError().Fail():
            # As with LLDB's own conditions: it stops.
            reason = " ".join((value.GetError().GetCString() or "").replace("error: ", "").split())
            self.problems.append(f"coro: `-if {self._condition}` has no value here: {reason}")
            return True
        return value.GetValueAsUnsigned(1) != 0


def _others_at(process, frame):
    """(id, frame) of the other running coroutines that stand at the same instruction. LLDB 19 tells of one thread only, where
    threads are an OS plug-in's, and has the others pass the breakpoint when it goes on."""
    thread, pc = frame.GetThread().GetThreadID(), frame.GetPC()
    for member in plugged.of(process).members.values():
        if member.backing is not None and member.tid != thread:
            other = process.GetThreadByID(member.tid).GetFrameAtIndex(0)
            if other.IsValid() and other.GetPC() == pc:
                yield member.coroutine.id, other


def said_of(process):
    """What is to be said of the stop that has come, once: lines."""
    return _to_say.pop(process.GetUniqueID(), [])
