"""The array of records, read in pieces: all of a row where somebody asks for it, else only columns of
numbers.

A million records are 192 MB; what only counts or seeks looks at columns, which are taken out of each piece
without a Python object for each row.
"""

from .layout import BadRegistry
from .memory import Unreadable

#: Records that are read at a time: a few mebibytes.
CHUNK = 16384
#: After so many pieces of which nothing can be read the rest isn't there either.
MOST_LOST_CHUNKS = 4

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Records:
    """All records that ever had a tenant, class by class."""

    def __init__(self, memory, layout, classes, progress, problems):
        self._memory, self._classes, self._progress, self._problems = memory, classes, progress, problems
        self.row = layout.record
        self.address, self.stride, self.count = layout.tables["records"]
        self._has_told = set()

    def used(self):
        """How many there are, by the classes' high-water marks."""
        return sum(klass.used for klass in self._classes)

    def read(self, index):
        """One record's row; raises `BadRegistry`."""
        if not 0 <= index < self.count:
            raise BadRegistry(f"there is no record {index}: there are {self.count}")
        try:
            return self.row.struct.unpack(self._memory.read(self.address + index * self.stride, self.stride))
        except Unreadable as error:
            raise BadRegistry(f"the record {index} can't be read: {error}") from None

    def pieces(self):
        """(index of the first, bytes of whole rows). What can't be read is told of once a class, and left
        out."""
        for klass in self._classes:
            index, end, lost, chunks_lost = klass.first, klass.first + klass.used, 0, 0
            while index < end:
                count = min(CHUNK, end - index)
                wanted = count
                for first, data in self._readable(index, count):
                    wanted -= len(data) // self.stride
                    yield first, data
                index += count
                lost += wanted
                chunks_lost = chunks_lost + 1 if wanted == count else 0
                if chunks_lost == MOST_LOST_CHUNKS:
                    lost += end - index
                    break
                self._progress(f"{index:,} records read")
            if lost and klass.name not in self._has_told:
                self._has_told.add(klass.name)
                self._problems.append(
                    f"{lost:,} of the {klass.used:,} records of the stack class '{klass.name}' "
                    "can't be read, and are left out"
                )

    def _readable(self, index, count):
        """The whole rows of a piece that can be read: (index, bytes) of each stretch."""
        address = self.address + index * self.stride
        try:
            yield index, self._memory.read(address, count * self.stride)
            return
        except Unreadable:
            pass
        # By sixteenths, each as far as it goes: a hole of some pages costs few others.
        step = max(count // 16, 1)
        for first in range(index, index + count, step):
            size = min(step, index + count - first) * self.stride
            data = self._memory.readable(self.address + first * self.stride, size)
            data = data[: len(data) // self.stride * self.stride]
            if data:
                yield first, data

    def columns(self, *names):
        """(index of the first, a list of numbers for each of the fields) piece by piece."""
        fields = [self.row.fields[name] for name in names]
        is_aligned = all(
            field.size in _CODES and field.offset % field.size == 0 and self.stride % field.size == 0
            for field in fields
        )
        for index, data in self.pieces():
            if is_aligned:
                whole = memoryview(data)
                yield index, [
                    whole.cast(_CODES[field.size])[
                        field.offset // field.size :: self.stride // field.size
                    ].tolist()
                    for field in fields
                ]
            else:
                rows = list(self.row.struct.iter_unpack(data))
                yield index, [[row[self.row.index[name]] for row in rows] for name in names]

    def with_bytes(self, name, value):
        """The indices of the records whose field begins with these bytes; the field's other bytes are the
        caller's."""
        if not value:
            return
        field = self.row.fields[name]
        for index, data in self.pieces():
            at = data.find(value)
            while at >= 0:
                row, offset = divmod(at, self.stride)
                if offset == field.offset:
                    yield index + row
                at = data.find(value, at + 1)
