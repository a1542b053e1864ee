"""LLDB's OS plug-in: every coroutine a thread, with a name and registers. The loader gives LLDB this file's
path (`target.process.python-os-plugin-path`), and LLDB imports it as a module of its own.

At each stop LLDB asks which threads there are. A coroutine that runs is backed by its real thread, which then
isn't shown besides; registers of one that doesn't are where it was left: its stack pointer and the resume
point, from which `switch`'s own CFI leads on. LLDB takes a thread that is in the list again for the same one:
a step over a wait stays with the coroutine.

Whatever goes wrong, LLDB gets a list: without coroutines then, so that a damaged registry costs them, and
nothing else.
"""

import os
import struct
import sys

_here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
for _folder in (_here, os.path.join(os.path.dirname(_here), "gdb")):
    if _folder not in sys.path:
        sys.path.insert(0, _folder)

from coro_debug.coroutine import NO_WORKER  # noqa: E402

from coro_lldb import plugged  # noqa: E402

_REGISTERS = "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split()
_ROLES = {"rip": "pc", "rsp": "sp", "rbp": "fp"}


class OperatingSystemPlugIn:
    """What LLDB makes one of for each process."""

    def __init__(self, process):
        self._state = plugged.of(process)
        self._state.begin(os.path.abspath(__file__))

    def get_thread_info(self):
        """All threads that are coroutines: a list of dictionaries."""
        return [_entry(member) for member in self._state.update()]

    def create_thread(self, tid, _context):
        """A thread that the list had no room for."""
        member = self._state.add(tid)
        return _entry(member) if member is not None else None

    def get_register_info(self):
        """The registers by their DWARF numbers (System V ABI for AMD64, figure 3.36), eight bytes each."""
        return {"sets": ["General Purpose Registers"], "registers": [
            {"name": name, "bitsize": 64, "offset": 8 * number, "encoding": "uint", "format": "hex", "set": 0,
             "gcc": number, "dwarf": number, **({"generic": _ROLES[name]} if name in _ROLES else {})}
            for number, name in enumerate(_REGISTERS)]}

    def get_register_data(self, tid):
        """Of a coroutine that doesn't run. What `switch` has saved is restored by its CFI; the others are
        lost to a debugger as they are to the program."""
        sp, pc = self._state.context(tid)
        return struct.pack("<17Q", *({"rsp": sp, "rip": pc}.get(name, 0) for name in _REGISTERS))


def _entry(member):
    name = plugged.name_of(member.coroutine)
    entry = {"tid": member.tid, "name": name, "state": "stopped", "stop_reason": "none"}
    if member.coroutine.worker != NO_WORKER:
        entry["queue"] = f"worker {member.coroutine.worker}"
    if member.core is not None:
        entry["core"] = member.core
    return entry
