"""The debug header and its tables: which field lies where, which number means what.

What a reader has to know by itself is the header's first 40 bytes and the shapes of three kinds of row. All
the rest is in the tables; an unknown newer minor version has more of them, and is read all the same.
"""

import struct

from .memory import Unreadable, decode

MAGIC = b"COROABI\0"
MAJOR = 1

_HEADER = struct.Struct("<8sQIIIIQ")
_TABLE = struct.Struct("<24sQII")
_FIELD = struct.Struct("<24sIIII")
_NAME = struct.Struct("<24sQ")

# What no real header exceeds: more is damage, and is said to be.
MOST_TABLES = 256
MOST_ROWS = 1024
MOST_WORKERS = 4096
LARGEST_TABLE = 1 << 23
MOST_CLASSES = 64
MOST_RECORDS = 1 << 28
LONGEST_ROW = 1 << 16

# What lies below the runtime's sources and is the user's, of programs that don't say so: its demo.
SOURCE_EXCEPTIONS = ["main.rs", "demo/", "bin/"]

_NUMBERS = {1: "B", 2: "H", 4: "I", 8: "Q"}


class BadRegistry(Exception):
    """The registry can't be read; the message says what is wrong."""


class NotStarted(BadRegistry):
    """There is a runtime in the program, but none has started."""


class Field:
    """Where a field lies in its row, and what it is."""

    __slots__ = ("name", "offset", "size", "kind", "extra")

    def __init__(self, name, offset, size, kind, extra):
        self.name, self.offset, self.size, self.kind, self.extra = name, offset, size, kind, extra


class Row:
    """The fields of one kind of row, and a `struct` that unpacks them all at once."""

    def __init__(self, what, fields, stride):
        self.stride = stride
        self.fields = {field.name: field for field in fields}
        self.index = {}
        code, at = "<", 0
        for field in sorted(fields, key=lambda field: field.offset):
            if field.size == 0 or field.offset < at or field.offset + field.size > stride:
                raise BadRegistry(
                    f"field `{field.name}` of the {what} lies at {field.offset}, {field.size} bytes long, "
                    f"which does not fit into rows of {stride} bytes after its neighbour"
                )
            code += f"{field.offset - at}x" * (field.offset > at)
            self.index[field.name] = len(self.index)
            is_number = field.kind not in ("text", "context", "free queue", "socket address")
            code += _NUMBERS.get(field.size, f"{field.size}s") if is_number else f"{field.size}s"
            at = field.offset + field.size
        self.struct = struct.Struct(code + f"{stride - at}x" * (stride > at))

    def unpack(self, data, offset=0):
        """All fields of the row there: a dictionary."""
        values = self.struct.unpack_from(data, offset)
        return {name: values[i] for name, i in self.index.items()}


class Layout:
    """A validated debug header, and its tables."""

    def __init__(self, memory, address):
        """Reads the header at `address`; raises `BadRegistry`."""
        self.address = address
        try:
            self._read_header(memory)
            self._read_tables(memory)
        except Unreadable as error:
            raise BadRegistry(
                f"the debug header at {address:#x} leads to memory which is not there: {error}"
            ) from None

    def _read_header(self, memory):
        magic, own, self.major, self.minor, size, count, tables = _HEADER.unpack(
            memory.read(self.address, _HEADER.size))
        if magic == bytes(8):
            raise NotStarted("no runtime of this program has started yet: there are no coroutines")
        if magic != MAGIC:
            raise BadRegistry(
                f"the debug header at {self.address:#x} has the magic {magic!r} instead of {MAGIC!r}: "
                "it has been overwritten, or this is no header"
            )
        if own != self.address:
            raise BadRegistry(f"the debug header at {self.address:#x} says that it lies at {own:#x}: "
                              "it is a copy, or has been overwritten")
        if self.major != MAJOR:
            raise BadRegistry(
                f"this program has version {self.major}.{self.minor} of the debug ABI, and these scripts "
                f"read version {MAJOR}: use the scripts which came with the program's version of coro"
            )
        if not (_HEADER.size <= size <= LONGEST_ROW and 0 < count <= MOST_TABLES):
            raise BadRegistry(
                f"the debug header at {self.address:#x} claims {size} bytes and {count} tables: "
                "it has been overwritten"
            )
        self._header_bytes = memory.read(self.address, size)
        self._table_rows = list(_TABLE.iter_unpack(memory.read(tables, _TABLE.size * count)))

    def _read_tables(self, memory):
        self.tables = {
            decode(name): (address, stride, count) for name, address, stride, count in self._table_rows
        }
        self.field_kinds = self._names(memory, "field kinds")
        header_row = Row("header", self._fields(memory, "header fields"), len(self._header_bytes))
        self.header = header_row.unpack(self._header_bytes)
        self.record = self._row(memory, "records", "record fields", MOST_RECORDS)
        self.klass = self._row(memory, "classes", "class fields", MOST_CLASSES)
        self.worker = self._row(memory, "workers", "worker fields", MOST_WORKERS)
        self.parked = self._optional_row(memory, "parked", "parked fields")
        self.descriptor = self._optional_row(memory, "descriptors", "descriptor fields")
        self.mutex = self._object_row(memory, "mutex fields")
        self.channel = self._object_row(memory, "channel fields")
        self.job = self._object_row(memory, "job fields")
        self.family = self._object_row(memory, "family fields")
        self.member = self._object_row(memory, "member fields")
        self.extra = self._object_row(memory, "extra fields")
        self.timeout = self._object_row(memory, "timeout fields")
        self.sync = self._object_row(memory, "sync fields")
        self.select = self._object_row(memory, "select fields")
        self.thing = self._object_row(memory, "thing fields")
        self.states = self._names(memory, "states")
        self.flags = self._names(memory, "flags")
        self.state_word = {
            name: (value & 0xFF, value >> 8) for value, name in self._names(memory, "state word").items()
        }
        self.wait_reasons = self._names(memory, "wait reasons")
        self.wait_objects = self._values(memory, "wait objects")
        self.object_kinds = self._names(memory, "object kinds")
        self.kinds = self._names(memory, "kinds")
        self.family_kinds = self._names(memory, "family kinds", optional=True)
        self.requests = self._names(memory, "requests")
        self.redzone_methods = self._names(memory, "redzone methods")
        self.policies = self._names(memory, "policies")
        self.descriptor_roles = self._names(memory, "descriptor roles", optional=True)
        self.events = self._values(memory, "events", optional=True)
        self.source_exceptions = (
            list(self._values(memory, "source exceptions", optional=True)) or SOURCE_EXCEPTIONS
        )
        self.registers = self._fields(memory, "saved registers")
        self._check()

    def _check(self):
        needed = {
            "header": (self.header, "pid redzone_method region_base region_length resume_pc end_context"),
            "record": (
                self.record.fields,
                "link context state wait_reason worker wait_object since wait_deadline id "
                "parent stack_limit stack_top spawn_file spawn_file_length spawn_line kind spawned_at name",
            ),
            "class": (self.klass.fields, "name base stride redzone first_record count used"),
            "worker": (self.worker.fields, "thread main switch io clock"),
            "state word": (self.state_word, "state flags epoch generation"),
        }
        for what, (there, names) in needed.items():
            missing = [name for name in names.split() if name not in there]
            if missing:
                raise BadRegistry(
                    f"the debug header's table of the {what}'s fields lacks {', '.join(missing)}"
                )
        if self.record.fields["context"].size != 16:
            raise BadRegistry("a record's `context` is not two words")
        for name, (shift, width) in self.state_word.items():
            if shift + width > 64 or width == 0:
                raise BadRegistry(f"the state word's part `{name}` has bits {shift}..{shift + width}")

    def _rows(self, memory, table, shape, optional=False):
        if table not in self.tables:
            if optional:
                return []
            raise BadRegistry(f"the debug header at {self.address:#x} has no table `{table}`")
        address, stride, count = self.tables[table]
        if count > MOST_ROWS or not shape.size <= stride <= LONGEST_ROW or stride * count > LARGEST_TABLE:
            raise BadRegistry(
                f"the table `{table}` claims {count} rows of {stride} bytes: it has been overwritten"
            )
        data = memory.read(address, stride * count)
        return [shape.unpack_from(data, stride * i) for i in range(count)]

    def _names(self, memory, table, optional=False):
        """What its numbers mean."""
        return {value: decode(name) for name, value in self._rows(memory, table, _NAME, optional)}

    def _values(self, memory, table, optional=False):
        return {decode(name): value for name, value in self._rows(memory, table, _NAME, optional)}

    def _fields(self, memory, table, optional=False):
        return [Field(decode(name), offset, size, self.field_kinds.get(kind, "unknown"), extra)
                for name, offset, size, kind, extra in self._rows(memory, table, _FIELD, optional)]

    def _row(self, memory, table, fields, most):
        if table not in self.tables:
            raise BadRegistry(f"the debug header at {self.address:#x} has no table `{table}`")
        _, stride, count = self.tables[table]
        is_read_whole = most < MOST_RECORDS
        if count > most or not 0 < stride <= LONGEST_ROW or is_read_whole and stride * count > LARGEST_TABLE:
            raise BadRegistry(
                f"the table `{table}` claims {count} rows of {stride} bytes: it has been overwritten"
            )
        return Row(table, self._fields(memory, fields), stride)

    def _optional_row(self, memory, table, fields):
        """Of a table which older programs don't have: None then."""
        is_there = table in self.tables and fields in self.tables
        return self._row(memory, table, fields, MOST_RECORDS) if is_there else None

    def _object_row(self, memory, fields):
        """Of something which lies in the user's own memory."""
        rows = self._fields(memory, fields, optional=True)
        return Row(fields, rows, max(field.offset + field.size for field in rows)) if rows else None
