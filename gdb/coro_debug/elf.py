"""Where a program's debug headers are, told by the ELF note of each module that has a runtime.

A module's program headers lie in memory; so this works for stripped programs, and for cores without their executable.
"""

import struct

from .layout import MAGIC
from .memory import Unreadable

PT_LOAD, PT_DYNAMIC, PT_NOTE, PT_PHDR = 1, 2, 4, 6
DT_NULL, DT_DEBUG = 0, 21
OWNER = b"CoRo\0"
# No real module has more; what says so is no program header table.
MOST_PROGRAM_HEADERS = 512
LARGEST_NOTE = 1 << 20
# No real process has loaded more; a list that goes on is a circle.
MOST_MODULES = 1 << 14
MOST_NAMESPACES = 64
MOST_DYNAMIC_ENTRIES = 1 << 10


def headers_of_module(memory, program_headers, count):
    """The debug headers that the notes of one module name. `program_headers`: where they lie in memory, as the
    auxiliary vector's AT_PHDR says of the program itself."""
    rows, bias = _program_headers(memory, program_headers, count)
    return [header for kind, _, _, address, _, _, size, _ in rows if kind == PT_NOTE
            for header in _headers_of_notes(memory, bias + address, size)]


def headers_of_program(memory, program_headers, count):
    """The debug headers of a program, and of all libraries that its dynamic linker has loaded, those of `dlopen` too."""
    headers = headers_of_module(memory, program_headers, count)
    for base in _loaded_modules(memory, program_headers, count):
        headers += [header for header in headers_of_image(memory, base) if header not in headers]
    return headers


def _program_headers(memory, program_headers, count):
    """A module's program headers, and by how much it lies higher than they say."""
    if not 0 < count <= MOST_PROGRAM_HEADERS:
        return [], 0
    rows = list(struct.iter_unpack("<IIQQQQQQ", memory.read(program_headers, 56 * count)))
    for kind, _flags, offset, address, *_ in rows:
        if kind == PT_PHDR:
            return rows, program_headers - address
        if kind == PT_LOAD and offset == 0:
            # Libraries mostly have no PT_PHDR: their first page has the ELF header, 64 bytes before the table.
            return rows, program_headers - 64 - address
    return rows, 0


def _loaded_modules(memory, program_headers, count):
    """Where the modules lie that the dynamic linker's list has (`struct r_debug` and `struct link_map` of <link.h>)."""
    try:
        rows, bias = _program_headers(memory, program_headers, count)
        dynamic = next((bias + address for kind, _, _, address, *_ in rows if kind == PT_DYNAMIC), None)
        debug = _dynamic_entry(memory, dynamic, DT_DEBUG) if dynamic is not None else None
        for _ in range(MOST_NAMESPACES):
            if not debug:
                return
            version, _padding, module = struct.unpack("<iiQ", memory.read(debug, 16))
            for _ in range(MOST_MODULES):
                if not module:
                    break
                base, _name, _dynamic, module = struct.unpack("<QQQQ", memory.read(module, 32))
                yield base
            # From version 2 on there is one for each namespace of `dlmopen`.
            debug = memory.word(debug + 40) if version >= 2 else 0
    except Unreadable:
        # Whatever of the list could be read has been given.
        return


def _dynamic_entry(memory, dynamic, wanted):
    for i in range(MOST_DYNAMIC_ENTRIES):
        tag, value = struct.unpack("<QQ", memory.read(dynamic + 16 * i, 16))
        if tag in (wanted, DT_NULL):
            return value if tag == wanted else None
    return None


def is_header(memory, address):
    """Whether a debug header lies there, of a runtime that has started."""
    try:
        return memory.read(address, len(MAGIC)) == MAGIC
    except Unreadable:
        return False


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
