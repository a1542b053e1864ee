"""A process's memory, or a core's, as LLDB reads it."""

import lldb

from coro_debug import memory
from coro_debug.memory import Memory, Unreadable

from . import linux

#: LLDB asks the process in pieces anyway; and a length that came from damaged memory shall not become an
#: allocation.
PIECE = 16 << 20
MOST = 1 << 34


class ProcessMemory(Memory):
    """By `SBProcess`; of a live process on this machine by the kernel where that lets us, which is many times
    faster."""

    def __init__(self, process, is_core):
        self._process = process
        self._direct = None
        if not is_core and linux.is_traced_here(process.GetProcessID()):
            try:
                self._direct = memory.ProcessMemory(process.GetProcessID())
            except OSError:
                pass

    def read(self, address, length):
        if length == 0:
            return b""
        if not (0 <= address and 0 < length <= MOST and address + length <= 1 << 64):
            raise Unreadable(address, length)
        if self._direct is not None:
            try:
                return self._direct.read(address, length)
            except Unreadable:
                # A process has its memory exchanged at an `exec`, and the file shows the old one, which is
                # gone.
                pass
        parts = []
        for at in range(address, address + length, PIECE):
            size = min(PIECE, address + length - at)
            error = lldb.SBError()
            data = self._process.ReadMemory(at, size, error)
            if data is None or error.Fail() or len(data) != size:
                data = self._of_file(at, size)
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _of_file(self, address, length):
        """What a core has left out, since it stands in the program's file: constants."""
        target, error = self._process.GetTarget(), lldb.SBError()
        place = lldb.SBAddress(address, target)
        data = target.ReadMemory(place, length, error) if place.GetSection().IsValid() else None
        if data is None or error.Fail() or len(data) != length:
            raise Unreadable(address, length)
        return data
