"""Unwinding by `.eh_frame`, for the plain port: as much of DWARF's call frame information as x86-64 compilers
emit."""

import struct
from bisect import bisect_right

RBX, RBP, RSP, RIP = 3, 6, 7, 16


class Reader:
    """A cursor over bytes."""

    def __init__(self, data, at, end):
        self.data, self.at, self.end = data, at, end

    def take(self, code):
        value, = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize(code)
        return value

    def bytes(self, count):
        self.at += count
        return self.data[self.at - count:self.at]

    def unsigned(self):
        value = shift = 0
        while True:
            byte = self.take("B")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def signed(self):
        start = self.at
        value = self.unsigned()
        bits = 7 * (self.at - start)
        return value - (1 << bits) if value >> (bits - 1) else value

    def encoded(self, encoding, address):
        """A pointer in one of the encodings of DW_EH_PE; `address`: that of the reader's data."""
        place = address + self.at
        value = {0x00: "Q", 0x03: "I", 0x04: "Q", 0x0B: "i", 0x0C: "q"}[encoding & 0x0F]
        return self.take(value) + (place if encoding & 0x70 == 0x10 else 0)


class Cie:
    """What several functions share."""

    def __init__(self, reader, address):
        version = reader.take("B")
        augmentation = b""
        while (byte := reader.bytes(1)) != b"\0":
            augmentation += byte
        self.code_factor, self.data_factor = reader.unsigned(), reader.signed()
        reader.take("B") if version == 1 else reader.unsigned()
        self.encoding, self.is_signal = 0, b"S" in augmentation
        self.has_augmentation = augmentation[:1] == b"z"
        if self.has_augmentation:
            end = reader.unsigned()
            end += reader.at
            for letter in augmentation[1:].decode():
                if letter == "R":
                    self.encoding = reader.take("B")
                elif letter == "P":
                    reader.encoded(reader.take("B"), address)
                elif letter == "L":
                    reader.take("B")
            reader.at = end
        self.instructions = reader.data[reader.at:reader.end]


class Fde:
    """One function's rows."""

    def __init__(self, cie, start, end, instructions):
        self.cie, self.start, self.end, self.instructions = cie, start, end, instructions
        self._rows = {}

    def row(self, pc):
        """(CFA rule, {register: rule}) at a pc: a rule is ("offset", n), ("register", n), ("expression",),
        ("undefined",)."""
        if pc not in self._rows:
            state = {"cfa": None, "rules": {}}
            _run(self.cie, self.cie.instructions, state, self.start, 1 << 64, {})
            _run(self.cie, self.instructions, state, self.start, pc, dict(state["rules"]))
            self._rows[pc] = state["cfa"], state["rules"]
        return self._rows[pc]


def _run(cie, instructions, state, location, pc, initial):
    reader, stack = Reader(instructions, 0, len(instructions)), []
    rules = state["rules"]
    while reader.at < reader.end:
        byte = reader.take("B")
        code, low = byte & 0xC0, byte & 0x3F
        if code == 0x40:
            location += low * cie.code_factor
        elif code == 0x80:
            rules[low] = ("offset", reader.unsigned() * cie.data_factor)
        elif code == 0xC0:
            rules[low] = initial.get(low)
        elif byte in (0x02, 0x03, 0x04):
            location += reader.take({2: "B", 3: "H", 4: "I"}[byte]) * cie.code_factor
        elif byte == 0x05:
            register = reader.unsigned()
            rules[register] = ("offset", reader.unsigned() * cie.data_factor)
        elif byte == 0x06:
            register = reader.unsigned()
            rules[register] = initial.get(register)
        elif byte == 0x07:
            rules[reader.unsigned()] = ("undefined",)
        elif byte == 0x08:
            rules[reader.unsigned()] = None
        elif byte == 0x09:
            register = reader.unsigned()
            rules[register] = ("register", reader.unsigned())
        elif byte == 0x0A:
            stack.append((state["cfa"], dict(rules)))
        elif byte == 0x0B:
            state["cfa"], old = stack.pop()
            rules.clear()
            rules.update(old)
        elif byte == 0x0C:
            register = reader.unsigned()
            state["cfa"] = register, reader.unsigned()
        elif byte == 0x0D:
            state["cfa"] = reader.unsigned(), state["cfa"][1]
        elif byte == 0x0E:
            state["cfa"] = state["cfa"][0], reader.unsigned()
        elif byte == 0x0F:
            reader.bytes(reader.unsigned())
            state["cfa"] = None
        elif byte in (0x10, 0x16):
            register = reader.unsigned()
            reader.bytes(reader.unsigned())
            rules[register] = ("expression",)
        elif byte == 0x2E:
            reader.unsigned()
        elif byte != 0x00:
            raise ValueError(f"the CFI instruction {byte:#x} is not known here")
        if location > pc:
            return


class Table:
    """All functions of a module."""

    def __init__(self, module):
        address, offset, length = module.sections[".eh_frame"]
        self.fdes, cies = [], {}
        at, end = offset, offset + length
        base = address - offset + module.bias
        while at + 4 <= end:
            size, = struct.unpack_from("<I", module.data, at)
            if size == 0:
                break
            reader = Reader(module.data, at + 4, at + 4 + size)
            pointer = reader.take("I")
            if pointer == 0:
                cies[at] = Cie(reader, base)
            else:
                cie = cies[at + 4 - pointer]
                start = reader.encoded(cie.encoding, base)
                length = reader.encoded(cie.encoding & 0x0F, 0)
                if cie.has_augmentation:
                    reader.bytes(reader.unsigned())
                self.fdes.append(Fde(cie, start, start + length, module.data[reader.at:reader.end]))
            at += 4 + size
        self.fdes.sort(key=lambda fde: fde.start)
        self._starts = [fde.start for fde in self.fdes]

    def find(self, pc):
        i = bisect_right(self._starts, pc) - 1
        return self.fdes[i] if i >= 0 and pc < self.fdes[i].end else None


def step(memory, fde, registers, pc):
    """The caller's registers; None: there is no caller, or it can't be told. `pc`: by which the row is
    sought."""
    cfa_rule, rules = fde.row(pc)
    if cfa_rule is None or registers.get(cfa_rule[0]) is None or rules.get(RIP) == ("undefined",):
        return None
    cfa = registers[cfa_rule[0]] + cfa_rule[1]
    caller = dict(registers)
    for register, rule in rules.items():
        if rule is None:
            continue
        if rule[0] == "offset":
            caller[register] = memory.word(cfa + rule[1])
        elif rule[0] == "register":
            caller[register] = registers.get(rule[1])
        else:
            caller[register] = None
    caller[RSP] = cfa
    return caller if caller.get(RIP) else None
