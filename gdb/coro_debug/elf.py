"""Where a program's debug headers are, told by the ELF note of each module that has a runtime.

A module's program headers lie in memory; so this works for stripped programs, and for cores without their executable.
"""

import struct

from .memory import Unreadable

PT_LOAD, PT_NOTE, PT_PHDR = 1, 4, 6
OWNER = b"CoRo\0"
# No real module has more; what says so is no program header table.
MOST_PROGRAM_HEADERS = 512
LARGEST_NOTE = 1 << 20


def headers_of_module(memory, program_headers, count):
    """The debug headers that the notes of one module name. `program_headers`: where they lie in memory, as the
    auxiliary vector's AT_PHDR says of the program itself."""
    if not 0 < count <= MOST_PROGRAM_HEADERS:
        return []
    rows = list(struct.iter_unpack("<IIQQQQQQ", memory.read(program_headers, 56 * count)))
    bias = 0
    for kind, _flags, offset, address, *_ in rows:
        if kind == PT_PHDR:
            bias = program_headers - address
            break
        if kind == PT_LOAD and offset == 0:
            # Libraries mostly have no PT_PHDR: their first page has the ELF header, 64 bytes before the table.
            bias = program_headers - 64 - address
            break
    return [header for kind, _, _, address, _, _, size, _ in rows if kind == PT_NOTE
            for header in _headers_of_notes(memory, bias + address, size)]


def headers_of_image(memory, base):
    """The debug headers of a module whose ELF header lies at `base`; none when it is no such thing."""
    try:
        header = memory.read(base, 64)
    except Unreadable:
        return []
    if header[:5] != b"\x7fELF\x02":
        return []
    offset, = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    if size != 56 or offset > 1 << 20:
        return []
    try:
        return headers_of_module(memory, base + offset, count)
    except Unreadable:
        return []


def _headers_of_notes(memory, address, size):
    if size > LARGEST_NOTE:
        return
    try:
        data = memory.read(address, size)
    except Unreadable:
        return
    at = 0
    while at + 12 <= size:
        owner_size, payload_size, _kind = struct.unpack_from("<III", data, at)
        owner = at + 12
        payload = owner + (owner_size + 3 & ~3)
        if data[owner:owner + owner_size] == OWNER and payload_size >= 8 and payload + 8 <= size:
            yield address + payload + struct.unpack_from("<q", data, payload)[0] & (1 << 64) - 1
        at = payload + (payload_size + 3 & ~3)
