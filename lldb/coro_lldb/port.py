"""LLDB as the shared commands see it: a process's memory, threads and stacks."""

import contextlib
import re
import sys
import time

import lldb

from coro_debug import elf, once, port
from coro_debug.port import CommandError

from . import compat, core_notes, crowd, linux, plugged, real_threads, stack, values

#: After so many seconds a command that still works says so.
PATIENCE = 1.0
#: Signals at which the debugger has stopped the program, or the user.
NO_FAULTS = ("SIGSTOP", "SIGTRAP", "SIGINT")
WITH_ADDRESS = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE")
#: LLDB 19 writes its own list of threads, in which coroutines are, and of their numbers the lower half.
MINIDUMP = ("this core is a minidump, as `process save-core` writes them: where coroutines were threads, they are said to "
            "run, and stacks may be missing; the kernel's cores and those of GDB's `coro gcore` have it all")


class LldbPort(port.Port):
    """One process, or a core."""

    name = "LLDB"

    def __init__(self, process, memory):
        self.process = process
        self._memory = memory
        self._is_core = compat.is_core(process)
        self._is_here = not self._is_core and linux.is_traced_here(process.GetProcessID())
        #: The threads, where LLDB can't be asked since it is just making its list.
        self.given = None
        self._headers = None, []
        #: Whether the executable leads to no debug header, where the core has one.
        self._is_of_another = False
        self._symbols = {}
        self._commands = 0
        self._started = None
        self._faults = None
        self.output = None

    memory = property(lambda self: self._memory)

    # The program.

    def generation(self):
        # Somebody may have written to a live process's memory between two commands.
        return self.process.GetStopID(), 0 if self._is_core else self._commands

    def header_addresses(self):
        target = self.process.GetTarget()
        if self._headers[0] != target.GetNumModules() or not self._headers[1]:
            self._headers = target.GetNumModules(), self._find_headers(target)
        return self._headers[1]

    def _find_headers(self, target):
        found = [context.GetSymbol().GetStartAddress().GetLoadAddress(target)
                 for context in target.FindSymbols("coro_debug_v1")]
        for module in target.module_iter():
            base = module.GetObjectFileHeaderAddress().GetLoadAddress(target)
            if base != lldb.LLDB_INVALID_ADDRESS:
                found += elf.headers_of_image(self._memory, base)
        found = [address for address in found if address != lldb.LLDB_INVALID_ADDRESS]
        self._is_of_another = False
        if self._is_core and not any(elf.is_header(self._memory, address) for address in found):
            # Without the executable LLDB knows no module, and with another one it looks at the wrong places: an ELF
            # header begins a mapping.
            by_mapping = [header for base in self._mappings() for header in elf.headers_of_image(self._memory, base)]
            # A file may be mapped that is no module.
            started = [header for header in by_mapping if elf.is_header(self._memory, header)]
            self._is_of_another = bool(found and started)
            found = started or found + by_mapping
        return list(dict.fromkeys(found))

    def remarks(self):
        return [port.OTHER_EXECUTABLE.format("core")] * self._is_of_another \
            + [MINIDUMP] * compat.is_minidump(self.process)

    def _mappings(self):
        regions = self.process.GetMemoryRegions()
        region = lldb.SBMemoryRegionInfo()
        for i in range(regions.GetSize()):
            if regions.GetMemoryRegionAtIndex(i, region):
                yield region.GetRegionBase()

    def threads(self):
        if self.given is not None:
            return self.given
        state = plugged.of(self.process)
        inner = self._inner_number()
        found = []
        for thread in self.process:
            tid = thread.GetThreadID()
            if tid >= real_threads.FIRST_OWN:
                tid = state.backing(tid)
            if tid is not None:
                found.append(real_threads.of_sb(thread, inner(tid)))
        return found

    def _inner_number(self):
        """A function that gives a thread's number in the innermost PID namespace: the runtime knows no
        other."""
        pid = self.process.GetProcessID()
        if not self._is_here or len(linux.namespace_ids(pid)) < 2:
            return lambda tid: tid
        return lambda tid: (linux.namespace_ids(pid, tid) or [tid])[-1]

    def selected_thread(self):
        thread = self.process.GetSelectedThread()
        return thread.GetIndexID() if thread.IsValid() else None

    def selected_coroutine(self, registry):
        tid = self.process.GetSelectedThread().GetThreadID()
        if tid < real_threads.FIRST_OWN:
            return None
        runtime, number = divmod(tid - real_threads.FIRST_OWN, 1 << crowd.RUNTIME_SHIFT)
        return number & (1 << crowd.ID_BITS) - 1 if runtime == self.runtime_of(registry) else None

    def coroutine_of(self, session, tid):
        """The coroutine whose thread has that number, or None."""
        return crowd.coroutine_of(session.registries(), tid)

    def process_ids(self):
        pid = self.process.GetProcessID()
        if self._is_core:
            return {pid} if pid else set()
        return {pid, *linux.namespace_ids(pid)} if self._is_here else {pid}

    def is_live(self):
        return not self._is_core

    def now(self):
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) if self._is_here else None

    def describe_fd(self, fd):
        return linux.descriptor(self.process.GetProcessID(), fd) if self._is_here else None

    def fault(self):
        selected = self.process.GetSelectedThread()
        for thread in (selected, *self.process):
            name = signal_of(thread) if thread.IsValid() else None
            if name is not None and name not in NO_FAULTS:
                number = thread.GetStopReasonDataAtIndex(0)
                address = self._fault_address(thread, number) if name in WITH_ADDRESS else None
                return name, address, thread.GetIndexID()
        return None

    def _fault_address(self, thread, number):
        tid = thread.GetThreadID()
        if tid >= real_threads.FIRST_OWN:
            tid = plugged.of(self.process).backing(tid)
        if self._is_core:
            if self._faults is None:
                path = compat.core_path(self.process)
                self._faults = core_notes.faults(path) if path is not None else {}
            signal, address = self._faults.get(tid, (0, None))
            return address if signal == number else None
        fields = thread.GetSiginfo().GetValueForExpressionPath("._sifields._sigfault.si_addr")
        if fields.IsValid() and fields.GetError().Success():
            return fields.GetValueAsUnsigned()
        found = re.search(r"fault address[=:] *(0x[0-9a-f]+)", thread.GetStopDescription(200) or "")
        return int(found[1], 16) if found else None

    # Stacks.

    @contextlib.contextmanager
    def open_stack(self, coroutine, at=None):
        yield stack.frames(self.thread_of(coroutine), coroutine)

    def thread_of(self, coroutine):
        """A coroutine's thread, made if there is none."""
        if coroutine.thread is not None:
            thread = self.process.GetThreadByIndexID(coroutine.thread.number)
        elif coroutine.has_saved_registers:
            thread = self._own_thread(coroutine)
        else:
            raise CommandError(f"the coroutine #{coroutine.id} is `{coroutine.state}`: "
                               "it has no stack to show")
        if not thread.IsValid():
            raise CommandError(f"LLDB makes no thread of the coroutine #{coroutine.id}: `coro threads` says "
                               "whether the coroutines are threads here")
        return thread

    def _own_thread(self, coroutine):
        tid = crowd.thread_id(coroutine.id, self.runtime_of(coroutine.registry))
        thread = self.process.GetThreadByID(tid)
        return thread if thread.IsValid() else compat.create_thread(self.process, tid)

    def runtime_of(self, registry):
        """Which of the program's runtimes it is, counted from 0."""
        addresses = self.header_addresses()
        return addresses.index(registry.layout.address) if registry.layout.address in addresses else 0

    def arguments(self, frame):
        return values.arguments(frame.handle)

    def locals(self, frame):
        return values.locals_(frame.handle)

    def evaluate(self, text):
        frame = self.process.GetSelectedThread().GetSelectedFrame()
        value = frame.GetValueForVariablePath(text)
        if not value.IsValid() or value.GetError().Fail():
            options = lldb.SBExpressionOptions()
            # Nothing of the program's is called for it.
            options.SetAllowJIT(False)
            value = frame.EvaluateExpression(text, options)
        error = lldb.SBError()
        number = value.GetValueAsUnsigned(error)
        if error.Fail() or value.GetError().Fail():
            reason = " ".join((value.GetError().GetCString() or error.GetCString() or "it has no number").split())
            raise CommandError(f"`{text}` is no address: {reason}")
        return number

    def symbolize(self, pc, is_return_address):
        key = pc, is_return_address
        if key not in self._symbols:
            self._symbols[key] = stack.symbolize(self.process.GetTarget(), pc, is_return_address)
        return self._symbols[key]

    # The screen.

    def write(self, text):
        if self.output is not None:
            self.output.append(text)
        else:
            _print(text)

    def start(self, output):
        """A command begins; what it writes is appended to `output`."""
        self._commands += 1
        self.output = output
        self._started = time.monotonic()
        if self._headers[0] is not None and not self._is_core:
            self._symbols.clear()

    def end(self):
        """It has ended. What is asked of the program between commands, for a thread's line, is not spoken of, and is
        no place for an interrupt."""
        self.output = self._started = None

    def progress(self, text):
        if self._started is None:
            return
        if compat.is_interrupted(self.process.GetTarget().GetDebugger()) or once.is_abandoned():
            raise KeyboardInterrupt
        now = time.monotonic()
        if now - self._started > PATIENCE and sys.stderr.isatty():
            self._started = now
            sys.stderr.write(f"coro: {text} (Ctrl-C ends it)\n")

    def width(self):
        return self.process.GetTarget().GetDebugger().GetTerminalWidth() if sys.stdout.isatty() else 0


def signal_of(thread):
    """The name of the signal at which a thread has stopped, or None. Number 0 is of a core's other threads."""
    number = thread.GetStopReasonDataAtIndex(0) if thread.GetStopReason() == lldb.eStopReasonSignal else 0
    if number == 0:
        return None
    return thread.GetProcess().GetUnixSignals().GetSignalAsCString(number) or f"signal {number}"


def _print(text):
    sys.stdout.write(text)
