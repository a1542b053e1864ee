"""Memory, read by address."""

import struct
from bisect import bisect_right


class Unreadable(Exception):
    """Memory that can't be read: unmapped, guarded, or not in the core."""

    def __init__(self, address, length):
        super().__init__(f"{length} bytes at {address:#x} can't be read")
        self.address = address
        self.length = length


class Memory:
    """Bytes by address. What stands behind it implements `read`."""

    def read(self, address, length):
        """Exactly `length` bytes; raises `Unreadable`."""
        raise NotImplementedError

    def word(self, address):
        """The eight bytes there, as a number."""
        return struct.unpack("<Q", self.read(address, 8))[0]

    def text(self, address, length):
        """UTF-8 of a length that is known; what is no UTF-8 is shown as escapes."""
        return decode(self.read(address, length))

    def readable(self, address, length, step=4096):
        """As many of the `length` bytes as can be read from the start on."""
        try:
            return self.read(address, length)
        except Unreadable:
            pass
        parts = []
        end = address + length
        while address < end:
            size = min(step - address % step, end - address)
            try:
                parts.append(self.read(address, size))
            except Unreadable:
                break
            address += size
        return b"".join(parts)


class ProcessMemory(Memory):
    """A process's, by the kernel: for plain Python."""

    def __init__(self, pid):
        self._file = open(f"/proc/{pid}/mem", "rb", buffering=0)

    def read(self, address, length):
        parts = []
        try:
            self._file.seek(address)
            while length > 0:
                part = self._file.read(length)
                if not part:
                    break
                parts.append(part)
                length -= len(part)
        except (OSError, OverflowError, ValueError):
            pass
        if length != 0:
            raise Unreadable(address, length)
        return b"".join(parts)


class PatchedMemory(Memory):
    """Another memory's bytes, with some of them replaced: for tests which damage what is read."""

    def __init__(self, beneath, patches=None):
        self._beneath = beneath
        self.patches = dict(patches or {})

    def read(self, address, length):
        data = self._beneath.read(address, length)
        hits = [
            (at, new) for at, new in self.patches.items() if at < address + length and at + len(new) > address
        ]
        if hits:
            data = bytearray(data)
            for at, new in hits:
                for i, byte in enumerate(new):
                    if 0 <= at + i - address < length:
                        data[at + i - address] = byte
            data = bytes(data)
        return data


class RecordedMemory(Memory):
    """Pieces of memory that were kept: for tests. Pieces don't overlap."""

    def __init__(self, pieces):
        self._pieces = sorted(pieces)
        self._starts = [start for start, _ in self._pieces]

    def read(self, address, length):
        i = bisect_right(self._starts, address) - 1
        if i >= 0 and length >= 0:
            start, data = self._pieces[i]
            if address + length <= start + len(data):
                return bytes(data[address - start : address - start + length])
        raise Unreadable(address, length)


def decode(data):
    """Text of bytes which ought to be UTF-8, up to the first NUL; nothing in it moves a terminal's cursor."""
    text = bytes(data).split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
