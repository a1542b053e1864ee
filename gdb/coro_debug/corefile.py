"""Completes a core that GDB's `gcore` has written.

GDB (13 is the one that was looked at) copies each mapping in pieces of a mebibyte, and gives a mapping up at the first
piece which can't be read whole. The redzones of the region's stacks are such holes within one mapping: so the core has
the mapping's addresses, but zeros where the stacks are. The kernel's cores have them.
"""

import struct

from .memory import Unreadable

PAGE = 4096
#: Below the stack pointer, what a leaf function may use without moving it (System V ABI, 3.2.2).
RED_ZONE_OF_THE_ABI = 128


class NoSuchCore(Exception):
    """The file is no core that could be completed; the message says why."""


def complete(path, registry):
    """Writes the stacks of all coroutines into the core: from each one's stack pointer to its stack's top. Returns how many
    there are, and of how many some part could not be read or had no place in the core."""
    with open(path, "r+b") as file:
        segments = _segments(file, path)
        whole = partial = 0
        for coroutine in registry.coroutines():
            if coroutine.sp is None or coroutine.sp not in coroutine:
                continue
            # main's stack is the thread's own, which has no holes.
            if registry.locate(coroutine.sp) is None:
                continue
            start = (coroutine.sp - RED_ZONE_OF_THE_ABI) // PAGE * PAGE
            start = max(start, coroutine.stack_limit)
            if _copy(file, segments, registry.memory, start, coroutine.stack_top):
                whole += 1
            else:
                partial += 1
        return whole, partial


def _segments(file, path):
    """(address, bytes in the file, offset) of each PT_LOAD."""
    header = file.read(64)
    if len(header) < 64 or header[:5] != b"\x7fELF\x02" or struct.unpack_from("<H", header, 16)[0] != 4:
        raise NoSuchCore(f"{path} is no 64-bit ELF core")
    offset, = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    if count == 0xFFFF:
        raise NoSuchCore(f"{path} has more than 65,534 segments, in a form that is not read here")
    file.seek(offset)
    table = file.read(size * count)
    segments = []
    for i in range(count):
        kind, _flags, at, address, _physical, in_file, *_ = struct.unpack_from("<IIQQQQQQ", table, i * size)
        if kind == 1 and in_file:
            segments.append((address, in_file, at))
    return segments


def _copy(file, segments, memory, start, end):
    """Whether every page of [start, end) could be read, and has a place in the file."""
    is_whole = True
    while start < end:
        segment = next((segment for segment in segments if segment[0] <= start < segment[0] + segment[1]), None)
        if segment is None:
            is_whole = False
            start += PAGE
            continue
        address, in_file, at = segment
        length = min(end, address + in_file) - start
        try:
            data = memory.read(start, length)
        except Unreadable:
            data = memory.readable(start, length)
            is_whole = False
        file.seek(at + start - address)
        file.write(data)
        start += length
    return is_whole
