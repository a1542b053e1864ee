"""The inferiors' sessions, and the quick question of who runs on the selected thread.

Conditions of breakpoints ask that question many times a second, and not at stops that the user sees; so it
is answered without a session's snapshot: the region's shape is read once, since it stays as it is for the
life of the process, and then it takes arithmetic and one word of memory.
"""

import gdb

from coro_debug.layout import BadRegistry, Layout
from coro_debug.memory import Unreadable, decode
from coro_debug.session import Session

from . import compat
from .port import GdbPort

_sessions = {}
_maps = {}


def session():
    """The selected inferior's."""
    number = gdb.selected_inferior().num
    if number not in _sessions:
        _sessions[number] = Session(GdbPort())
    return _sessions[number]


def forget(event=None):
    """Symbols or the process have changed: what was known of them is not any more."""
    _maps.clear()
    for one in _sessions.values():
        one.port.forget_symbols()


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

    def index_on(self, tid, sp):
        """Index of the record of the coroutine that a thread runs, by its stack pointer, or None. A
        worker's main coroutine has the thread's own stack."""
        index = self.index_at(sp)
        if index is not None:
            return index
        address, stride, count = self.layout.tables["workers"]
        for i in range(count):
            values = self.layout.worker.unpack(self.memory.read(address + stride * i, stride))
            if values["thread"] == tid:
                record = self.record(values["main"])
                return (
                    values["main"] if record and record["stack_limit"] <= sp < record["stack_top"] else None
                )
        return None

    def record(self, index):
        """The fields of a record, as they are now: a dictionary; None: there is none."""
        if not 0 <= index < self.record_count:
            return None
        return self.layout.record.unpack(self.memory.read(self.address_of(index), self.record_stride))

    def address_of(self, index):
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


def maps():
    """The region maps of the selected inferior's runtimes that have started. Never an exception."""
    inferior = gdb.selected_inferior()
    key = inferior.num, inferior.pid, compat.connection_type(inferior)
    if inferior.pid == 0:
        return []
    if not _maps.get(key):
        port = session().port
        found = []
        for address in dict.fromkeys(port.header_addresses()):
            try:
                found.append(RegionMap(port.memory, address))
            except (BadRegistry, Unreadable, KeyError, TypeError):
                continue
        _maps[key] = found
    return _maps[key]


def running_here():
    """Who runs on the selected thread, by its true registers, or None. Never an exception."""
    try:
        thread = gdb.selected_thread()
        if thread is None:
            return None
        # While a condition is asked, GDB counts the thread as running, and its registers can be read all
        # the same.
        sp = int(gdb.newest_frame().read_register("rsp")) & (1 << 64) - 1
        for map_ in maps():
            index = map_.index_on(thread.ptid[1], sp)
            if index is not None:
                return Who(map_, index)
    except (gdb.error, Unreadable, TypeError, KeyError):
        pass
    return None


def selected_here(selected):
    """Who is in the selected thread's place, by a `selection.Selection`; None: it isn't there any more. Never an
    exception."""
    try:
        for map_ in maps():
            index = map_.index_on(gdb.selected_thread().ptid[1], selected.sp)
            who = Who(map_, index) if index is not None else None
            if who is not None and who.id == selected.number:
                return who
    except (gdb.error, Unreadable, TypeError, KeyError):
        pass
    return None
