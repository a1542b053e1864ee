"""A port of plain Python's: a live process by /proc, its stacks by `.eh_frame`, its lines by addr2line. No
debugger.

The process has to stand still while it is read: a program in which everything waits does.
"""

import contextlib
import os
import struct
import time

import cfi
import elf_file
from coro_debug import elf, memory, port

AT_PHDR, AT_PHNUM = 3, 5
#: rbx, rbp, r12 to r15.
CALLEE_SAVED = (3, 6, 12, 13, 14, 15)


class PlainPort(port.Port):
    """See the module. What is written is kept in `output`."""

    name = "Python"

    def __init__(self, pid):
        self.pid = pid
        self.output = []
        self._memory = memory.ProcessMemory(pid)
        self._modules = None
        self._tables = {}
        self.selected = None
        self._places = {}
        self.stacks_opened = self.symbols_asked = self.frames_unwound = 0

    memory = property(lambda self: self._memory)

    def generation(self):
        return 1

    def header_addresses(self):
        with open(f"/proc/{self.pid}/auxv", "rb") as file:
            data = file.read()
        auxiliary = dict(struct.iter_unpack("<QQ", data[: len(data) // 16 * 16]))
        return elf.headers_of_module(self._memory, auxiliary[AT_PHDR], auxiliary[AT_PHNUM])

    def threads(self):
        found = []
        for number, tid in enumerate(sorted(map(int, os.listdir(f"/proc/{self.pid}/task"))), 1):
            with open(f"/proc/{self.pid}/task/{tid}/syscall", encoding="ascii") as file:
                words = file.read().split()
            sp, pc = (int(words[-2], 16), int(words[-1], 16)) if len(words) > 2 else (None, None)
            found.append(port.Thread(number, tid, sp, pc))
        return found

    def selected_thread(self):
        return self.selected

    def process_ids(self):
        return {self.pid}

    def is_live(self):
        return True

    def now(self):
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def _module_of(self, pc):
        if self._modules is None:
            self._modules = elf_file.modules(self.pid)
        return next((module for start, end, module in self._modules if start <= pc < end), None)

    def _fde(self, pc):
        module = self._module_of(pc)
        if module is None:
            return None
        if module.path not in self._tables:
            self._tables[module.path] = cfi.Table(module)
        return self._tables[module.path].find(pc)

    starts_within = True

    @contextlib.contextmanager
    def open_stack(self, coroutine, at=None):
        self.stacks_opened += 1
        yield self._frames(coroutine, at)

    def registers(self, frame):
        return {number: value for number, value in frame.handle.items()
                if number in CALLEE_SAVED and value is not None}

    def _frames(self, coroutine, at):
        if at is not None:
            registers = {**at.registers, cfi.RSP: at.sp, cfi.RIP: at.pc}
        elif coroutine.thread is not None:
            registers = {cfi.RSP: coroutine.thread.sp, cfi.RIP: coroutine.thread.pc}
        elif coroutine.has_saved_registers:
            sp, pc = coroutine.context
            registers = {cfi.RSP: sp, cfi.RIP: pc}
        else:
            return
        level, is_return = 0, at is not None
        while registers is not None and registers[cfi.RIP] is not None:
            pc = registers[cfi.RIP]
            fde = self._fde(pc - is_return)
            is_boundary = fde is not None and fde.cie.is_signal and fde.row(pc)[0] is None
            self.frames_unwound += 1
            for i, location in enumerate(places := self._known(pc, is_return)):
                yield port.Frame(level, pc, registers[cfi.RSP], location, is_inlined=i + 1 < len(places),
                                 is_boundary=is_boundary, handle=registers)
                level += 1
            if fde is None or is_boundary:
                return
            try:
                registers = cfi.step(self._memory, fde, registers, pc - is_return)
            except memory.Unreadable:
                return
            is_return = True

    def _known(self, pc, is_return):
        key = pc, is_return
        if key not in self._places:
            self._places[key] = self.symbolize(pc, is_return) or [port.Location(None)]
        return self._places[key]

    def symbolize(self, pc, is_return_address):
        self.symbols_asked += 1
        module = self._module_of(pc)
        if module is None:
            return []
        return [port.Location(function, _shortened(file), line, file)
                for function, file, line in module.locations(pc - is_return_address)]

    def write(self, text):
        self.output.append(text)

    def text(self):
        """What has been written since it was last asked for."""
        text = "".join(self.output)
        self.output.clear()
        return text

    def close(self):
        for _, _, module in self._modules or ():
            module.close()


def _shortened(path):
    """As debuggers show it: relative to the working directory."""
    here = os.getcwd() + "/"
    return path[len(here):] if path and path.startswith(here) else path
