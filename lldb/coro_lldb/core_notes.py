"""The notes of an ELF core in which LLDB keeps no interest: which address a thread has touched when it got
its signal.

LLDB 19 shows a live process's `siginfo`, but not a core's.
"""

import struct

PT_NOTE = 4
NT_PRSTATUS, NT_SIGINFO = 1, 0x53494749
#: `pr_pid` of `struct elf_prstatus`, and `si_addr` of `siginfo_t`, on 64-bit Linux.
PID_OFFSET, ADDRESS_OFFSET = 32, 16
MOST_NOTES = 1 << 28


def faults(path):
    """tid -> (signal's number, `si_addr`) of the threads of a core; empty where it can't be read."""
    try:
        with open(path, "rb") as file:
            return _faults(file)
    except (OSError, struct.error):
        return {}


def _faults(file):
    header = file.read(64)
    if header[:5] != b"\x7fELF\x02":
        return {}
    offset, = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    file.seek(offset)
    table = file.read(size * count)
    found, tid = {}, None
    for i in range(count):
        kind, _flags, at, _address, _physical, in_file, *_ = struct.unpack_from("<IIQQQQQQ", table, i * size)
        if kind != PT_NOTE or in_file > MOST_NOTES:
            continue
        file.seek(at)
        for note, payload in _notes(file.read(in_file)):
            # The kernel and GDB write a thread's notes one after the other, its status first.
            if note == NT_PRSTATUS and len(payload) >= PID_OFFSET + 4:
                tid, = struct.unpack_from("<I", payload, PID_OFFSET)
            elif note == NT_SIGINFO and len(payload) >= ADDRESS_OFFSET + 8:
                number, = struct.unpack_from("<i", payload)
                found.setdefault(tid, (number, struct.unpack_from("<Q", payload, ADDRESS_OFFSET)[0]))
    return found


def _notes(data):
    at = 0
    while at + 12 <= len(data):
        owner, size, kind = struct.unpack_from("<III", data, at)
        payload = at + 12 + (owner + 3 & ~3)
        yield kind, data[payload:payload + size]
        at = payload + (size + 3 & ~3)
