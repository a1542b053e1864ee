"""GDB as the shared commands see it: an inferior's memory, threads and stacks."""

import contextlib
import os
import re
import signal
import sys
import time

import gdb

from coro_debug import elf, once, port
from coro_debug.memory import Memory, Unreadable
from coro_debug.port import CommandError

from . import compat, selection, stack, values

#: AT_PHDR and AT_PHNUM of <elf.h>.
PROGRAM_HEADERS, PROGRAM_HEADER_COUNT = 3, 5
#: DWARF's numbers of the registers that functions keep, and GDB's names.
CALLEE_SAVED = {3: "rbx", 6: "rbp", 12: "r12", 13: "r13", 14: "r14", 15: "r15"}
#: The number that GDB gives a remote process whose own it doesn't know.
FAKE_REMOTE_PID = 42000
#: Signals that tell an address, and those which end a program.
WITH_ADDRESS = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE")
FATAL = (*WITH_ADDRESS, "SIGABRT", "SIGSYS")
#: After so many seconds a command that still works says so.
PATIENCE = 1.0


class InferiorMemory(Memory):
    """The selected inferior's."""

    def read(self, address, length):
        if length == 0:
            return b""
        try:
            return bytes(gdb.selected_inferior().read_memory(address, length))
        except (gdb.error, OverflowError, ValueError, MemoryError):
            raise Unreadable(address, length) from None


class GdbPort(port.Port):
    """One inferior, which is the selected one whenever it is asked."""

    name = "GDB"

    def __init__(self):
        self._memory = InferiorMemory()
        self._symbols = {}
        self._started = None
        #: Whether the executable leads to no debug header, where the program has one.
        self._is_of_another = False
        #: As long as all threads run, nothing that was read holds; that is said once a command.
        self._has_told_of_running = False

    memory = property(lambda self: self._memory)

    # The program.

    def generation(self):
        inferior = gdb.selected_inferior()
        if any(thread.is_running() for thread in inferior.threads()):
            return None
        return _stops, inferior.pid, compat.connection_type(inferior)

    def header_addresses(self):
        found, self._is_of_another = [], False
        auxiliary = _auxiliary_vector()
        if PROGRAM_HEADERS in auxiliary:
            with contextlib.suppress(Unreadable):
                found += elf.headers_of_program(
                    self._memory, auxiliary[PROGRAM_HEADERS], auxiliary.get(PROGRAM_HEADER_COUNT, 0)
                )
        # By the symbol only one is found, of whichever module; but also where there is no auxiliary vector.
        with contextlib.suppress(gdb.error):
            with compat.in_c():
                by_symbol = int(gdb.parse_and_eval("(long)&coro_debug_v1"))
            self._is_of_another = bool(found) and by_symbol not in found and not elf.is_header(
                self._memory, by_symbol
            )
            if not self._is_of_another:
                found.append(by_symbol)
        return list(dict.fromkeys(found))

    def remarks(self):
        remarks = [port.OTHER_EXECUTABLE.format("core" if not self.is_live() else "process")] * self._is_of_another
        threads = gdb.selected_inferior().threads()
        if threads and all(thread.is_running() for thread in threads) and not self._has_told_of_running:
            self._has_told_of_running = True
            remarks.append("all threads run: what is shown may change while it is read; `interrupt` stops them")
        return remarks

    def threads(self):
        inferior = gdb.selected_inferior()
        inner = self._inner_numbers(inferior)
        threads = []
        with keeping_focus():
            for thread in sorted(inferior.threads(), key=lambda thread: thread.num):
                tid = thread.ptid[1]
                sp, pc = _registers_of(thread)
                threads.append(port.Thread(thread.num, inner.get(tid, tid), sp, pc, thread.name or ""))
        return threads

    def _inner_numbers(self, inferior):
        """tid -> its number in the innermost PID namespace, if it is another; the runtime knows only those."""
        if not self._is_native(inferior) or len(_namespace_ids(inferior.pid)) < 2:
            return {}
        return {
            thread.ptid[1]: _namespace_ids(inferior.pid, thread.ptid[1])[-1]
            for thread in inferior.threads()
            if _namespace_ids(inferior.pid, thread.ptid[1])
        }

    def selected_coroutine(self, registry):
        selected = selection.current()
        if selected is None:
            return None
        coroutine = registry.by_id(selected.number)
        # Another runtime's may have the same id.
        return selected.number if coroutine is not None and selected.sp in coroutine else None

    def selected_thread(self):
        thread = gdb.selected_thread()
        return thread.num if thread is not None else None

    def process_ids(self):
        inferior = gdb.selected_inferior()
        if inferior.pid in (0, FAKE_REMOTE_PID):
            return set()
        inner = _namespace_ids(inferior.pid) if self._is_native(inferior) else []
        return {inferior.pid, *inner}

    def is_live(self):
        inferior = gdb.selected_inferior()
        return inferior.pid != 0 and compat.connection_type(inferior) != "core"

    def _is_native(self, inferior):
        return compat.connection_type(inferior) == "native"

    def now(self):
        if not self._is_native(gdb.selected_inferior()):
            return None
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def describe_fd(self, fd):
        inferior = gdb.selected_inferior()
        if not self._is_native(inferior):
            return None
        try:
            return os.readlink(f"/proc/{inferior.pid}/fd/{fd}")
        except OSError:
            return None

    def fault(self):
        selected = gdb.selected_thread()
        if selected is None:
            return None
        found = self._fault_of(selected)
        if found is not None:
            return found
        with keeping_focus():
            for thread in gdb.selected_inferior().threads():
                found = self._fault_of(thread)
                # A signal of another kind may be any thread's, at any stop.
                if found is not None and found[0] in FATAL:
                    return found
        return None

    def _fault_of(self, thread):
        """As `fault`, of one thread."""
        if thread.is_running():
            return None
        try:
            if thread != gdb.selected_thread():
                thread.switch()
            with compat.in_c():
                information = gdb.parse_and_eval("$_siginfo")
                number = int(information["si_signo"])
                address = int(information["_sifields"]["_sigfault"]["si_addr"])
            name = signal.Signals(number).name
        except (gdb.error, ValueError):
            return None
        if name in ("SIGSTOP", "SIGTRAP", "SIGINT"):
            # The debugger's own, or the user's Ctrl-C.
            return None
        return name, address if name in WITH_ADDRESS else None, thread.num

    # Stacks.

    starts_within = True

    @contextlib.contextmanager
    def open_stack(self, coroutine, at=None):
        if gdb.selected_thread() is None:
            raise CommandError(
                "GDB shows stacks only by a thread, and there is none: the program doesn't run"
            )
        with keeping_focus():
            if coroutine.thread is not None:
                thread = thread_of_number(coroutine.thread.number)
                if thread is None or thread.is_running():
                    raise CommandError(
                        f"the coroutine #{coroutine.id} runs on thread {coroutine.thread.number}, which "
                        "isn't stopped: `interrupt` stops it"
                    )
                thread.switch()
            elif coroutine.has_saved_registers:
                go_to_home(coroutine)
            else:
                raise CommandError(
                    f"the coroutine #{coroutine.id} is `{coroutine.state}`: it has no stack to show"
                )
            if at is not None:
                shown = selection.Selection((at.sp, at.pc), thread_registers())
                shown.registers = {
                    CALLEE_SAVED[number]: value
                    for number, value in at.registers.items()
                    if number in CALLEE_SAVED
                }
            else:
                shown = selection_of(coroutine) if coroutine.thread is None else None
            with selection.temporary(shown):
                try:
                    level = selection.first_level() if shown is not None else 0
                    first = selection.frame_at(level)
                except gdb.error:
                    # A start that was guessed, and isn't one: there are no frames.
                    if at is None:
                        raise
                    first = None
                yield stack.frames(first, coroutine)

    def first_level(self, coroutine):
        # In front of a selected coroutine's frames is the thread's innermost one.
        is_selected = self.selected_coroutine(coroutine.registry) == coroutine.id
        return selection.first_level() if is_selected else 0

    def registers(self, frame):
        known = {}
        for number, name in CALLEE_SAVED.items():
            try:
                known[number] = int(frame.handle.read_register(name)) & (1 << 64) - 1
            except (gdb.error, ValueError):
                # `switch` saves two of them; the others are their callers'.
                continue
        return known

    def arguments(self, frame):
        return values.arguments(frame.handle)

    def locals(self, frame):
        return values.locals_(frame.handle)

    def evaluate(self, text):
        try:
            value = gdb.parse_and_eval(text)
            return int(value) & (1 << 64) - 1
        except (gdb.error, TypeError, ValueError, OverflowError) as error:
            raise CommandError(f"`{text}` is no address: {error}") from None

    def symbolize(self, pc, is_return_address):
        key = pc, is_return_address
        if key not in self._symbols:
            self._symbols[key] = stack.symbolize(pc, is_return_address)
        return self._symbols[key]

    def forget_symbols(self):
        self._symbols.clear()

    # The screen.

    def write(self, text):
        try:
            gdb.write(text)
        except (UnicodeError, gdb.error):
            # GDB writes in the terminal's character set, which may lack what a name has.
            gdb.write(text.encode("ascii", "backslashreplace").decode())

    def start(self):
        """A command begins."""
        self._has_told_of_running = False
        self._started = time.monotonic()

    def end(self):
        """It has ended. What is asked between commands, for a completion, is not spoken of."""
        self._started = None

    def progress(self, text):
        # Ctrl-C comes as a KeyboardInterrupt wherever Python runs.
        if once.is_abandoned():
            raise KeyboardInterrupt
        now = time.monotonic()
        if (
            self._started is not None
            and now - self._started > PATIENCE
            and sys.stdout is not None
            and os.isatty(1)
        ):
            self._started = now
            gdb.write(f"coro: {text} (Ctrl-C ends it)\n", gdb.STDERR)

    def width(self):
        return gdb.parameter("width") or 0


# What changes.

_stops = 0


def changed(_event=None):
    """The program has run, or somebody has written to it."""
    global _stops
    _stops += 1


# Threads and frames.


@contextlib.contextmanager
def keeping_focus():
    """Whatever is selected inside, afterwards the user's thread and frame are."""
    thread = gdb.selected_thread()
    level = None
    if thread is not None and not thread.is_running():
        with contextlib.suppress(gdb.error):
            level = gdb.selected_frame().level()
    try:
        yield
    finally:
        if thread is not None and thread.is_valid():
            if gdb.selected_thread() != thread:
                thread.switch()
            if level is not None:
                with contextlib.suppress(gdb.error):
                    selection.frame_at(level).select()


def _registers_of(thread):
    """Its (sp, pc); None of one that runs, or whose registers can't be read."""
    if thread.is_running():
        return None, None
    try:
        thread.switch()
        frame = gdb.newest_frame()
        return (
            int(frame.read_register("rsp")) & (1 << 64) - 1,
            int(frame.read_register("rip")) & (1 << 64) - 1,
        )
    except gdb.error:
        return None, None


def thread_of_number(number):
    """The selected inferior's thread of that number, or None."""
    return next((thread for thread in gdb.selected_inferior().threads() if thread.num == number), None)


def stopped_threads():
    """The threads that stand; an error where none does."""
    stopped = [thread for thread in gdb.selected_inferior().threads() if not thread.is_running()]
    if not stopped:
        raise CommandError("all threads run: `interrupt` stops one, and a coroutine can be shown there")
    return stopped


def go_to_home(coroutine):
    """Switches to the thread of a coroutine's worker, whose thread-locals it has; where that runs, or is no
    more, stays on the selected one, or takes another that is stopped."""
    worker = next(
        (worker for worker in coroutine.registry.workers if worker.number == coroutine.worker), None
    )
    known = {thread.tid: thread for thread in coroutine.registry.port.threads()}
    home = known.get(worker.tid) if worker is not None else None
    stopped = stopped_threads()
    selected = gdb.selected_thread()
    best = next((thread for thread in stopped if home is not None and thread.num == home.number), None)
    if best is None:
        best = selected if selected in stopped else stopped[0]
    if best != selected:
        best.switch()
    return best


def thread_registers():
    """The selected thread's own (sp, pc)."""
    with selection.temporary(None):
        frame = gdb.newest_frame()
        return stack.stack_pointer(frame), frame.pc()


def selection_of(coroutine):
    """What `selection` needs to show it on the selected thread."""
    return selection.Selection(coroutine.context, thread_registers(), coroutine.id, coroutine.name)


# The system.


def _auxiliary_vector():
    """Of the selected inferior, as GDB shows it; empty where there is none."""
    try:
        text = gdb.execute("info auxv", to_string=True)
    except gdb.error:
        return {}
    vector = {}
    for line in text.splitlines():
        row = re.match(r"(\d+)\s+\S+\s.*?\s(0x[0-9a-f]+|\d+)(?:\s+\"|\s*$)", line)
        if row is not None:
            vector[int(row[1])] = int(row[2], 0)
    return vector


def _namespace_ids(pid, tid=None):
    """The numbers of a process or thread in its PID namespaces, the outermost first."""
    path = f"/proc/{pid}/status" if tid is None else f"/proc/{pid}/task/{tid}/status"
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            line = next((line for line in file if line.startswith("NSpid:")), "NSpid:")
    except OSError:
        return []
    return [int(number) for number in line.split()[1:]]
