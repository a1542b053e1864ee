"""`coro next`, `coro step`, `coro finish`: they stay with the coroutine, over waits and over what others do
meanwhile.

GDB's own `next` follows the thread. These set breakpoints, for this once, at each line of the function and
where it returns to, and let the program run: the first of them that is reached on this coroutine's stack,
in this call of the function, is the next line. Other coroutines that come by run on. Whoever reaches a
breakpoint of the user's stops the program, as always.
"""

import re

import gdb

from coro_debug.port import IS_A_CORE, NEVER_RUNS, CommandError

from . import commands, functions, guard, selection, sessions, skip, stack

NEXT = """\
Runs until this coroutine comes to the next line of its function, or of the caller.

It stays with the coroutine while that waits and others run. Of a selected coroutine that doesn't run: until
it comes to the next line of the selected frame's function. At the coroutine's end it stops there. With N, N
times."""

STEP = """\
Runs until this coroutine comes to another line, also in a function that is called.

What `coro skip` skips is run through. It stays with the coroutine while that waits and others run. With N,
N times."""

FINISH = """\
Runs until the selected frame's function has returned, in this coroutine.

It stays with the coroutine while that waits and others run."""

#: What a function has at most of places to stop at.
MOST_PLACES = 4096


def register():
    """The commands."""
    for name, text, run, usage in (
        ("next", NEXT, next_, "coro next [N]"),
        ("step", STEP, step, "coro step [N]"),
        ("finish", FINISH, finish, "coro finish"),
    ):
        commands.CoroCommand(name, usage, text, run, gdb.COMMAND_RUNNING, repeats=True)


def next_(session, arguments):
    """`coro next`"""
    guard.refuse_in_apply("coro next")
    for _ in range(_count(arguments)):
        if not _run(session, _target(with_lines=True)):
            return


def step(session, arguments):
    """`coro step`"""
    guard.refuse_in_apply("coro step")
    for _ in range(_count(arguments)):
        target = _target(with_lines=True)
        command = "continue" if target.is_selected else "step"
        if not _run(session, target, command):
            return


def finish(session, arguments):
    """`coro finish`"""
    guard.refuse_in_apply("coro finish")
    if arguments.strip():
        raise CommandError("`coro finish` takes no argument")
    _run(session, _target(with_lines=False))


def _target(with_lines):
    thread = gdb.selected_thread()
    if thread is not None and not sessions.session().port.is_live():
        raise CommandError(IS_A_CORE)
    if thread is None:
        raise CommandError("the program doesn't run: there is nothing to step")
    if thread.is_running():
        raise CommandError("the selected thread runs: `interrupt` stops it")
    return Target(gdb.selected_frame(), with_lines)


def _count(arguments):
    text = arguments.strip()
    if text and not (text.isdecimal() and int(text) > 0):
        raise CommandError(f"`{text}` is no number of steps")
    return int(text or 1)


class Target:
    """Where a coroutine is to get to: the lines of a frame's function, and the place behind its call."""

    def __init__(self, frame, with_lines):
        selected = selection.current()
        self.is_selected = selected is not None
        self.who = _who_of(selected)
        self.slot = self.who.map.slot_of(self.who.index)
        #: The frame itself may be of an inlined function; the stack is that of the function around it.
        physical = _physical(frame)
        caller = physical.older()
        self.start, self.around = _function_of(frame), _functions_around(frame)
        self.line = _line_of(frame)
        #: The stack pointer behind the call: what tells this call from another one of the same function.
        self.frame_end = _end_of(frame)
        self.places = set()
        if with_lines:
            self.places |= _places(physical, frame, self.line)
        if not with_lines and frame.type() == gdb.INLINE_FRAME:
            # An inlined function returns to no address: what is behind it is the next line of the one around.
            self.places |= _places(physical, frame.older(), self.line)
            self.around = self.around[1:]
        self.back = caller.pc() if caller is not None and caller.type() != gdb.SIGTRAMP_FRAME else None
        if not self.places and self.back is None:
            raise CommandError(
                "this function has no line to go to, and nothing of the coroutine is behind it"
            )

    def is_reached(self, place):
        """Whether the selected thread, stopped at one of the places, is where it was to get to."""
        frame = gdb.newest_frame()
        sp = stack.stack_pointer(frame)
        if not self.slot[0] <= sp < self.slot[1]:
            # Another coroutine; of them there may be many, and what follows takes longer.
            return False
        if place == self.back:
            return self.frame_end is None or sp == self.frame_end
        if self.frame_end is not None and _end_of(frame) != self.frame_end:
            return False
        # Not in a function that is inlined further in.
        return _function_of(frame) in self.around and _line_of(frame) != self.line


def _who_of(selected):
    """The coroutine that is meant: the selected one, or the one that the thread runs."""
    session = sessions.session()
    if selected is None:
        who = sessions.running_here()
        if who is None and any(session.selected(registry) for registry in session.registries(is_quiet=True)):
            raise CommandError("the selected thread stands on another stack than the coroutine's, as signal handlers do: "
                               "GDB's own commands step it there")
        if who is None:
            raise CommandError("the selected thread runs no coroutine: GDB's own commands step it")
        return who
    if any(registry.is_forked for registry in session.registries(is_quiet=True)):
        raise CommandError(NEVER_RUNS)
    who = sessions.selected_here(selected)
    if who is not None:
        return who
    raise CommandError(f"the coroutine {selected} isn't there any more")


def _function_of(frame):
    """What tells functions apart, inlined ones too: where the code begins."""
    try:
        block = frame.block()
    except RuntimeError:
        return None
    while block is not None and block.function is None:
        block = block.superblock
    return (block.start, block.function.name) if block is not None else None


def _functions_around(frame):
    """The frame's function, and those into which it is inlined."""
    found = []
    try:
        block = frame.block()
    except RuntimeError:
        return [None]
    while block is not None and not block.is_static and not block.is_global:
        if block.function is not None:
            found.append((block.start, block.function.name))
        block = block.superblock
    return found


def _physical(frame):
    """The frame of the function into which a frame's function is inlined."""
    while frame.type() == gdb.INLINE_FRAME:
        frame = frame.older()
    return frame


def _end_of(frame):
    """The stack pointer behind the call of a frame's function; None: nobody has called it."""
    caller = _physical(frame).older()
    return stack.stack_pointer(caller) if caller is not None else None


def _line_of(frame):
    place = frame.find_sal()
    return (place.symtab.filename, place.line) if place.symtab is not None else None


def _places(physical, frame, line):
    """The addresses at which a line begins, in the function of a frame and those around it."""
    try:
        block = physical.block()
    except RuntimeError:
        return set()
    while block is not None and block.function is None:
        block = block.superblock
    if block is None:
        return set()
    tables = {}
    while frame is not None:
        symtab = frame.find_sal().symtab
        if symtab is not None:
            tables[symtab.filename] = symtab
        if frame.type() != gdb.INLINE_FRAME:
            break
        frame = frame.older()
    found = set()
    for name, symtab in tables.items():
        for entry in symtab.linetable():
            if block.start < entry.pc < block.end and entry.line and (name, entry.line) != line:
                found.add(entry.pc)
    if len(found) > MOST_PLACES:
        raise CommandError(
            f"this function has {len(found)} places at which a line begins: too many to stop at each"
        )
    return found


class Place(gdb.Breakpoint):
    """A place to which a coroutine may get. Not the user's: it is listed nowhere."""

    def __init__(self, address, target):
        super().__init__(f"*{address:#x}", internal=True)
        self.silent = True
        self._address, self._target = address, target
        self.is_hit = False

    def stop(self):
        try:
            self.is_hit = self._target.is_reached(self._address)
        except (gdb.error, RuntimeError):
            self.is_hit = True
        return self.is_hit


class End(gdb.Breakpoint):
    """The coroutine's end."""

    def __init__(self, address, target):
        super().__init__(f"*{address:#x}", internal=True)
        self.silent = True
        self._target = target
        self.is_hit = False

    def stop(self):
        who = functions.at_record(int(gdb.newest_frame().read_register("rdi")))
        self.is_hit = who is not None and who.id == self._target.who.id
        return self.is_hit


def _run(session, target, command="continue"):
    """Lets the program run until the target is reached; whether it was."""
    end_address = target.who.map.layout.events.get("exit")
    where = {*target.places, *([target.back] if target.back is not None else [])}
    guard.before_run()
    if command == "step":
        skip.prepare()
    places = [Place(address, target) for address in sorted(where)]
    end = End(end_address, target) if end_address else None
    try:
        is_done = _go(session, target, command)
        is_reached = any(place.is_hit for place in places)
        has_ended = end is not None and end.is_hit
    finally:
        for breakpoint_ in [*places, *([end] if end is not None else [])]:
            if breakpoint_.is_valid():
                breakpoint_.delete()
    return _tell(session, target, is_reached or is_done, has_ended)


def _go(session, target, command):
    """Runs the program until something stops it; whether GDB's own `step` has come to where it was to. That
    may end in another coroutine, where the one that it followed has given way in the middle of a line; then
    the places take over."""
    stops = []
    gdb.events.stop.connect(stops.append)
    try:
        gdb.execute(command, to_string=True)
        if command == "step" and _is_alive() and stops and _ended_by_itself(stops[-1]):
            if _is_in(target):
                return True
            gdb.execute("continue", to_string=True)
    finally:
        gdb.events.stop.disconnect(stops.append)
    if (
        _is_alive()
        and stops
        and not any(breakpoint_.number > 0 for breakpoint_ in getattr(stops[-1], "breakpoints", []))
        and not isinstance(stops[-1], gdb.SignalEvent)
    ):
        _show(session, target)
    return False


def _show(session, target):
    """Where the coroutine is now, as `next` shows it: the line, before it the function if that is another."""
    frame = gdb.selected_frame()
    first, _, rest = gdb.execute("frame", to_string=True).partition("\n")
    is_same = rest and _function_of(frame) == target.start and _end_of(frame) == target.frame_end
    session.port.write(rest if is_same else re.sub(r"^#\d+\s+", "", f"{first}\n{rest}"))


def _ended_by_itself(event):
    """Whether the program was stopped by no breakpoint and no signal."""
    return not isinstance(event, (gdb.BreakpointEvent, gdb.SignalEvent))


def _is_in(target):
    who = sessions.running_here()
    return who is not None and who.id == target.who.id


def _is_alive():
    return gdb.selected_inferior().pid != 0


def _tell(session, target, is_reached, has_ended):
    """Says what is not plain from GDB's own words; whether to go on."""
    if not _is_alive():
        return False
    if has_ended:
        session.port.write(f"coro: coroutine {target.who} has come to its end\n")
        return False
    if _is_in(target):
        return is_reached
    who = sessions.running_here()
    other = f"in coroutine {who}" if who is not None else "in no coroutine"
    session.port.write(f"coro: stopped {other}, before {target.who} has come so far\n")
    return False
