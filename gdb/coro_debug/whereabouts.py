"""Who stands on a stack, asked quickly.

Conditions of breakpoints ask that many times a second, and not at stops that the user sees; so it is answered
without a session's snapshot: the region's shape is read once, since it stays as it is for the life of the process,
and then it takes arithmetic and one record.
"""

from .layout import BadRegistry, Layout
from .memory import Unreadable, decode


class RegionMap:
    """What doesn't change in a runtime's registry: where stacks and their records lie."""

    def __init__(self, memory, header_address):
        self.memory = memory
        self.layout = Layout(memory, header_address)
        self.base, self.length = self.layout.header["region_base"], self.layout.header["region_length"]
        address, stride, count = self.layout.tables["classes"]
        row = self.layout.klass
        self.classes = [row.unpack(memory.read(address + stride * i, stride)) for i in range(count)]
        self.records, self.record_stride, self.record_count = self.layout.tables["records"]
        #: The code behind the lowest frame of one that doesn't run.
        self.end_pc = memory.word(self.layout.header["end_context"] + 8)

    def index_at(self, address):
        """Index of the record in whose slot an address lies, or None."""
        if not self.base <= address < self.base + self.length:
            return None
        for values in self.classes:
            stride = values["stride"]
            if stride and values["base"] <= address < values["base"] + stride * values["count"]:
                return values["first_record"] + (address - values["base"]) // stride
        return None

    def index_on(self, sp):
        """Index of the record of the coroutine whose stack that pointer lies on, or None. A worker's main coroutine has
        its thread's own stack: it is known by its bounds, as in `Registry.record_index_of`."""
        index = self.index_at(sp)
        if index is not None:
            return index
        address, stride, count = self.layout.tables["workers"]
        rows = self.memory.read(address, stride * count)
        for i in range(count):
            values = self.layout.worker.unpack(rows, stride * i)
            record = self.record(values["main"]) if values["thread"] else None
            if record and record["stack_limit"] <= sp < record["stack_top"]:
                return values["main"]
        return None

    def record(self, index):
        """The fields of a record, as they are now: a dictionary; None: there is none."""
        if not 0 <= index < self.record_count:
            return None
        return self.layout.record.unpack(self.memory.read(self.address_of(index), self.record_stride))

    def address_of(self, index):
        """The address of a record."""
        return self.records + index * self.record_stride

    def index_of(self, record_address):
        """Index of the record at an address, or None."""
        index, rest = divmod(record_address - self.records, self.record_stride)
        return index if rest == 0 and 0 <= index < self.record_count else None

    def slot_of(self, index):
        """(lowest address, end) of a record's slot, redzone and all; of a main one its stack's bounds."""
        for values in self.classes:
            if (
                values["stride"]
                and values["first_record"] <= index < values["first_record"] + values["count"]
            ):
                start = values["base"] + (index - values["first_record"]) * values["stride"]
                return start, start + values["stride"]
        record = self.record(index)
        return record["stack_limit"], record["stack_top"]


class Who:
    """A coroutine, in short."""

    def __init__(self, map_, index):
        record = map_.record(index)
        self.map, self.index = map_, index
        self.id = record["id"]
        self.name = decode(record["name"])
        shift, width = map_.layout.state_word["generation"]
        self.generation = record["state"] >> shift & (1 << width) - 1

    def __str__(self):
        return f"#{self.id} '{self.name}'" if self.name else f"#{self.id}"


def maps_of(port):
    """The region maps of a program's runtimes that have started. Never an exception."""
    found = []
    for address in dict.fromkeys(port.header_addresses()):
        try:
            found.append(RegionMap(port.memory, address))
        except (BadRegistry, Unreadable, KeyError, TypeError):
            continue
    return found


def on_stack(maps, sp):
    """The coroutine on whose stack a pointer lies, a `Who`, or None. Never an exception."""
    for map_ in maps:
        try:
            index = map_.index_on(sp)
            if index is not None:
                return Who(map_, index)
        except (Unreadable, KeyError, TypeError):
            continue
    return None


def at_record(maps, address):
    """The coroutine whose record lies at an address, or None. Never an exception."""
    for map_ in maps:
        try:
            index = map_.index_of(address)
            if index is not None:
                return Who(map_, index)
        except (Unreadable, KeyError, TypeError):
            continue
    return None
