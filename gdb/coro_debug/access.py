"""Whether a fault was a read, a write or a jump: the kernel tells a debugger the address alone, so this is told by the
instruction.

It knows how x86-64's instructions begin, and what those do that programs touch memory with. Of one that reads and
then writes the same place, that copies from place to place, or that isn't known it says "access".
"""

_PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
#: One-byte opcodes with an operand in memory, and those of the map 0f.
_READS = frozenset([
    *(row + column for row in range(0, 0x38, 8) for column in (2, 3)),  # add, or, … register, memory
    0x38, 0x39, 0x3A, 0x3B, 0x63, 0x69, 0x6B, 0x84, 0x85, 0x8A, 0x8B,
])
_WRITES = frozenset([0x88, 0x89, 0xC6, 0xC7])
_READS_0F = frozenset([
    0x10, 0x12, 0x16, 0x28, 0x2A, 0x2C, 0x2D, 0x2E, 0x2F, *range(0x40, 0x70), 0x70, 0x74, 0x75, 0x76,
    0xA3, 0xAF, 0xB6, 0xB7, 0xB8, 0xBC, 0xBD, 0xBE, 0xBF, 0xC2, 0xC6,
    *(set(range(0xD0, 0xFF)) - {0xD6, 0xD7, 0xE7, 0xF7}),
])
_WRITES_0F = frozenset([0x11, 0x13, 0x17, 0x29, 0x2B, 0x7F, *range(0x90, 0xA0), 0xC3, 0xE7])
#: Without an operand: what they do is done at the stack pointer, or at rdi or rsi.
_PUSHES = frozenset([*range(0x50, 0x58), 0x68, 0x6A, 0x9C, 0xC8, 0xE8])
_POPS = frozenset([*range(0x58, 0x60), 0x9D, 0xC2, 0xC3, 0xC9])
_STRING_READS = frozenset([0xA0, 0xA1, 0xA6, 0xA7, 0xAC, 0xAD, 0xAE, 0xAF])
_STRING_WRITES = frozenset([0xA2, 0xA3, 0xAA, 0xAB])
#: Opcodes whose operation stands in the second byte: those that read, of all that there are.
_GROUP_READS = {0x80: (7,), 0x81: (7,), 0x83: (7,), 0xF6: (0, 1, 4, 5, 6, 7), 0xF7: (0, 1, 4, 5, 6, 7)}
#: A push goes so many bytes below the stack pointer.
_PUSHED = 8


def access(code, pc, address, sp):
    """"read", "write", "jump", or "access" where it isn't known. `code`: the bytes at pc, none if they can't be
    read."""
    if address == pc:
        # What can't be executed can perhaps be read.
        return "jump"
    if not code:
        return "jump" if pc < address < pc + 16 else "access"
    try:
        return _of(code, address, sp)
    except IndexError:
        return "access"


def _of(code, address, sp):
    at, prefixes = 0, set()
    while code[at] in _PREFIXES:
        prefixes.add(code[at])
        at += 1
    opcode = code[at]
    if opcode & 0xF0 == 0x40:
        at += 1
        opcode = code[at]
    if opcode in (0xC4, 0xC5, 0x62):
        return _of_vector(code, at)
    if opcode == 0x0F:
        return _of_0f(code[at + 1], code[at + 2], prefixes)
    if opcode in _PUSHES:
        return "write"
    if opcode in _POPS or opcode in _STRING_READS:
        return "read"
    if opcode in _STRING_WRITES:
        return "write"
    operands = code[at + 1]
    if operands >> 6 == 3:
        return "access"
    operation = operands >> 3 & 7
    if opcode == 0xFF and operation in (2, 3, 6):
        # A call or a push of what lies in memory: it reads there, and writes to the stack.
        return "write" if sp - _PUSHED <= address < sp else "read"
    if opcode == 0xFF and operation in (4, 5):
        return "read"
    if opcode in _READS or operation in _GROUP_READS.get(opcode, ()):
        return "read"
    return "write" if opcode in _WRITES else "access"


def _of_0f(opcode, operands, prefixes):
    if opcode in range(0x80, 0x90):
        return "access"
    if operands >> 6 == 3:
        return "access"
    if opcode == 0x7E:
        return "read" if 0xF3 in prefixes else "write"
    if opcode == 0xD6:
        return "write"
    if opcode in _WRITES_0F:
        return "write"
    return "read" if opcode in _READS_0F else "access"


def _of_vector(code, at):
    """Of an instruction with a VEX or EVEX prefix: which is longer, and says the rest of the opcode."""
    first = code[at]
    if first == 0xC5:
        table, prefix, opcode = 1, code[at + 1] & 3, at + 2
    elif first == 0xC4:
        table, prefix, opcode = code[at + 1] & 31, code[at + 2] & 3, at + 3
    else:
        table, prefix, opcode = code[at + 1] & 7, code[at + 2] & 3, at + 4
    if table != 1:
        return "access"
    return _of_0f(code[opcode], code[opcode + 1], {0xF3} if prefix == 2 else set())
