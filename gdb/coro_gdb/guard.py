"""What keeps a selected coroutine's frames from being taken for the thread's when the program runs on, or
is changed.

Before each command that runs the program the selection ends: GDB would start from frames that aren't the
thread's, step into the wrong function and write the wrong registers. `return` and `jump` are refused: they
mean a frame which the thread doesn't have. Both by GDB's hooks: user-defined commands `hook-NAME` that GDB
runs before `NAME`, under whichever abbreviation and whoever gave it. A hook that the user has made is kept:
it runs first.

No hook sees `p $rax = 1`. GDB tells afterwards that a register was written, and then it is put back before
anything else can happen: in the thread's own frame from the registers as they were at the selection; in a
coroutine's frame, where a register lies on its stack, from a copy of that. A call of a function in the
program (`p f()`) runs on the thread's own stack: the selection is hidden meanwhile.
"""

import contextlib
import re

import gdb

from coro_debug import chosen

from . import compat, selection, sessions, skip

#: Commands that run the program, or end it.
RUNNERS = (
    "next",
    "step",
    "nexti",
    "stepi",
    "finish",
    "until",
    "advance",
    "continue",
    "run",
    "start",
    "starti",
    "signal",
    "queue-signal",
    "detach",
    "kill",
    "reverse-next",
    "reverse-step",
    "reverse-nexti",
    "reverse-stepi",
    "reverse-finish",
    "reverse-continue",
    "attach",
    "core-file",
    "file",
    "target",
    "checkpoint",
    "restart",
    "disconnect",
)
#: Commands that change the thread by the selected frame.
CHANGERS = ("return", "jump")
#: Commands that show all threads, as they are.
VIEWERS = ("thread apply", "thread apply all")

_MAINTENANCE = "maintenance coro-before"


class Before(gdb.Command):
    """Called by the hooks: `maintenance coro-before COMMAND`."""

    def __init__(self):
        super().__init__(_MAINTENANCE, gdb.COMMAND_MAINTENANCE)

    def invoke(self, name, _from_tty):
        if name in VIEWERS:
            _show_threads()
        elif name in CHANGERS:
            refuse(name)
        else:
            refuse_in_apply(name)
            before_run()
            if name == "step":
                skip.prepare()


class After(gdb.Command):
    """Called by the hooks: `maintenance coro-after COMMAND`."""

    def __init__(self):
        super().__init__("maintenance coro-after", gdb.COMMAND_MAINTENANCE)

    def invoke(self, _name, _from_tty):
        _show_selection()


def before_run():
    """Ends all selections, and says so."""
    for number, selected in selection.drop_all():
        sessions.session().port.write(
            f"coro: {selected} is no longer selected: thread {number} is itself again\n"
        )


#: Of each `coro apply` that works now what it has refused.
_applying = []


@contextlib.contextmanager
def applying():
    """While a command is run in each of several coroutines. Gives a list: refusals."""
    install()
    _applying.append([])
    try:
        yield _applying[-1]
    finally:
        _applying.pop()


def refuse_in_apply(name):
    """Raises, if a command that runs the program is given in each of several coroutines."""
    if _applying:
        refusal = chosen.RUNS_NOTHING.format(name)
        _applying[-1].append(refusal)
        raise gdb.GdbError(f"coro: {refusal}")


def refuse(name):
    """Raises, if a coroutine is selected."""
    selected = selection.current()
    if selected is not None:
        raise gdb.GdbError(
            f"coro: `{name}` would change the thread, not the selected coroutine {selected}; "
            "`coro select .` goes back to the thread"
        )


# Hooks.


def install_skip():
    """The one hook that is there from the start: `step` runs through the runtime."""
    _install("step", "hook-", _MAINTENANCE)


def install():
    """Defines the hooks that are not there, and puts ours behind those that the user has made since."""
    for name in RUNNERS + CHANGERS + VIEWERS:
        _install(name, "hook-", _MAINTENANCE)
    for name in VIEWERS:
        _install(name, "hookpost-", "maintenance coro-after")


def _install(name, kind, ours):
    prefix, _, last = name.rpartition(" ")
    hook = f"{prefix} {kind}{last}".strip()
    body = _body_of(hook)
    call = f"{ours} {name}"
    if call in body:
        return
    with contextlib.suppress(gdb.error):
        # No such command in this version of GDB, or for this kind of program: then it needs no hook.
        gdb.execute("\n".join([f"define {hook}", *body, call, "end"]), to_string=True)


def _body_of(hook):
    """The lines of a user-defined command; none when there is no such command."""
    try:
        text = gdb.execute(f"show user {hook}", to_string=True)
    except gdb.error:
        return []
    return [
        line.strip()
        for line in text.splitlines()
        if not re.match(r'User command ".*":$', line) and line.strip()
    ]


# Registers.

REGISTERS = (
    "rax",
    "rbx",
    "rcx",
    "rdx",
    "rsi",
    "rdi",
    "rbp",
    "rsp",
    "r8",
    "r9",
    "r10",
    "r11",
    "r12",
    "r13",
    "r14",
    "r15",
    "rip",
    "eflags",
    "fs_base",
    "gs_base",
)
#: How much of a coroutine's stack is kept, to be put back.
MOST_KEPT = 8 << 20


class Kept:
    """What a write to a register may change while a coroutine is selected: the thread's registers, and the
    coroutine's stack, where its outer frames have theirs."""

    def __init__(self, coroutine):
        self._registers = {}
        for name in REGISTERS:
            with contextlib.suppress(gdb.error, ValueError):
                self._registers[name] = _read(name)
        self._start = coroutine.context[0]
        self._length = min(max(coroutine.stack_top - self._start, 0), MOST_KEPT)
        self._stack = self._stack_now()

    def memory_was_written(self):
        """The user may change variables."""
        self._stack = self._stack_now()

    def put_back(self):
        """Gives what was changed, in words."""
        changed = []
        with selection.temporary(None), compat.in_c():
            for name, before in self._registers.items():
                if _read(name) != before:
                    gdb.parse_and_eval(f"${name} = {before:#x}")
                    changed.append(f"${name} of the thread")
        now = self._stack_now()
        if now != self._stack:
            gdb.selected_inferior().write_memory(self._start, self._stack)
            changed.append("a register on the coroutine's stack")
        return changed

    def _stack_now(self):
        try:
            return (
                bytes(gdb.selected_inferior().read_memory(self._start, self._length)) if self._length else b""
            )
        except gdb.error:
            return b""


def _read(name):
    return int(gdb.newest_frame().read_register(name)) & (1 << 64) - 1


_is_putting_back = False


def register_was_written(_event):
    """GDB has written a register at the user's word."""
    global _is_putting_back
    selected = selection.current()
    if selected is None or _is_putting_back or selected.kept is None:
        return
    _is_putting_back = True
    try:
        level = gdb.selected_frame().level()
        for what in selected.kept.put_back():
            sessions.session().port.write(
                f"coro: {what} has been set back: registers can't be written while {selected} is "
                "selected; `coro select .` goes back to the thread\n"
            )
        selection.frame_at(level).select()
    except gdb.error as error:
        sessions.session().port.write(
            f"coro: a register was written while {selected} is selected, and can't be set " f"back: {error}\n"
        )
    finally:
        _is_putting_back = False


def memory_was_written(_event):
    """GDB has written memory at the user's word."""
    selected = selection.current()
    if selected is not None and selected.kept is not None and not _is_putting_back:
        selected.kept.memory_was_written()


# Events.


def has_run(_event):
    """Should something have run the program past the hooks: no selection is to be seen at the next stop."""
    selection.drop_all()


def inferior_call(event):
    """A function of the program is called: it runs on the thread's own stack, and GDB has to see that."""
    if isinstance(event, gdb.InferiorCallPreEvent):
        selection.suspend()
    else:
        selection.resume()


def before_prompt():
    """What a command that failed has left hidden is shown again."""
    if selection.resume():
        _reselect()


_level = 0


def _show_threads():
    global _level
    if selection.standing():
        with contextlib.suppress(gdb.error):
            _level = gdb.selected_frame().level()
        selection.suspend()
        gdb.invalidate_cached_frames()


def _show_selection():
    if selection.resume():
        _reselect()


def _reselect():
    gdb.invalidate_cached_frames()
    if selection.current() is not None:
        with contextlib.suppress(gdb.error):
            selection.frame_at(max(_level, selection.first_level())).select()


def register():
    """Makes the commands that hooks call, and listens to what else may happen."""
    Before()
    After()
    install_skip()
    gdb.events.cont.connect(_on_cont)
    gdb.events.stop.connect(_on_stop)
    gdb.events.exited.connect(has_run)
    gdb.events.inferior_call.connect(inferior_call)
    gdb.events.register_changed.connect(register_was_written)
    gdb.events.memory_changed.connect(memory_was_written)
    gdb.events.before_prompt.connect(before_prompt)


def _on_stop(_event):
    # A function that was called has come to a breakpoint, say: a selection is of the stop before.
    selection.resume()
    before_run()


def _on_cont(event):
    # Also before a call of a function, within which selections are hidden, and stay.
    if not selection.hidden():
        has_run(event)
