"""Damages the registry of a process that waits, by GDB's own `set var`, one thing at a time; after each the
commands have to say in a line what is wrong, or show what is right all the same. Prints for each kind what
was said.

For tests/gdb/damage.rs, in a GDB that has the commands loaded and is attached to tests/programs/seen.rs.
"""

import gdb

from coro_gdb import sessions

MAP = sessions.maps()[0]
HEADER = MAP.layout.address
COMMANDS = (
    "coro list",
    "coro bt reader",
    "coro info reader",
    "coro tree",
    "coro group",
    "coro deadlock",
    "coro select reader",
    "bt",
    "coro select .",
    "print $coro()",
    "coro list -limit 2",
    "coro thread",
    "coro stacks",
    "coro stats",
    "coro addr $sp",
    "bt 1",
)


def word(address):
    return MAP.memory.word(address)


def poke(address, value, size=8):
    kind = {8: "unsigned long", 4: "unsigned int", 1: "unsigned char"}[size]
    with gdb.with_parameter("language", "c"):
        gdb.execute(f"set var *({kind} *){address:#x} = {value:#x}")


def table(name):
    """Where a row of the table of tables lies."""
    address = word(HEADER + 32)
    for i in range(len(MAP.layout.tables)):
        if MAP.memory.text(address + 40 * i, 24) == name:
            return address + 40 * i
    raise KeyError(name)


def record(name, field):
    """Where a field of a coroutine's record lies."""
    for coroutine in sessions.session().registry().coroutines():
        if coroutine.name == name:
            return MAP.address_of(coroutine.index) + MAP.layout.record.fields[field].offset
    raise KeyError(name)


def class_field(field):
    address, stride, _ = MAP.layout.tables["classes"]
    return address + 2 * stride + MAP.layout.klass.fields[field].offset


def worker_field(field):
    return MAP.layout.tables["workers"][0] + MAP.layout.worker.fields[field].offset


def header_field(field):
    return HEADER + FIELDS[field]


FIELDS = {}
_address, _stride, _count = MAP.layout.tables["header fields"]
for _i in range(_count):
    FIELDS[MAP.memory.text(_address + _stride * _i, 24)] = int.from_bytes(
        MAP.memory.read(_address + _stride * _i + 24, 4), "little"
    )

BAD = 0xDEAD_BEEF_0000
#: Kind -> (address, values, bytes). With two values each.
KINDS = {
    "magic": (HEADER, (0x4141414141414141, 1), 8),
    "own address": (HEADER + 8, (HEADER + 64, 0), 8),
    "major version": (HEADER + 16, (2, 0xFFFFFFFF), 4),
    "size": (HEADER + 24, (0xFFFFFFFF, 3), 4),
    "table count": (HEADER + 28, (0xFFFFFFFF, 0), 4),
    "tables": (HEADER + 32, (BAD, 8), 8),
    "record table's count": (table("records") + 36, (0xFFFFFFFF, 1), 4),
    "record table's address": (table("records") + 24, (BAD, HEADER), 8),
    "record table's stride": (table("records") + 32, (0, 0xFFFFFFFF), 4),
    "field table's count": (table("record fields") + 36, (0xFFFFFF, 1), 4),
    "parked table's address": (table("parked") + 24, (BAD, 0), 8),
    "parked table's stride": (table("parked") + 32, (4, 0xFFFFFFFF), 4),
    "states' address": (table("states") + 24, (BAD, 0), 8),
    "region": (header_field("region_base"), (BAD, 0xFFFFFFFFFFFFFFFF), 8),
    "end context": (header_field("end_context"), (BAD, 0), 8),
    "class base": (class_field("base"), (BAD, 0xFFFFFFFFFFFFFFFF), 8),
    "class stride": (class_field("stride"), (1, 0xFFFFFFFFFFFFFFFF), 8),
    "class use": (class_field("used"), (0xFFFFFFFF, 0x7FFFFFFF), 4),
    "worker's thread": (worker_field("thread"), (0xFFFFFFFF, 1), 4),
    "worker's main": (worker_field("main"), (0xFFFFFFFF, 5), 4),
    "state": (record("reader", "state"), (0xFFFFFFFFFFFFFFFF, 0), 8),
    "saved sp": (record("reader", "context"), (BAD, 0xFFFFFFFFFFFFFFFF), 8),
    "saved pc": (record("reader", "context") + 8, (BAD, 1), 8),
    "link": (record("reader", "link"), (BAD, record("reader", "context")), 8),
    "stack's top": (record("reader", "stack_top"), (0, 0xFFFFFFFFFFFFFFFF), 8),
    "wait reason": (record("reader", "wait_reason"), (0xFF, 0x7F), 1),
    "wait object": (record("locker", "wait_object"), (BAD, 0xFFFFFFFFFFFFFFFF), 8),
    "parent": (record("reader", "parent"), (4, 0xFFFFFFFFFFFFFFFF), 8),
    "spawn file": (record("reader", "spawn_file"), (BAD, 1), 8),
    "name": (record("reader", "name"), (0x9B9B9B9B9B1B5B1B, 0xFFFFFFFFFFFFFFFF), 8),
    "id": (record("locker", "id"), (4, 0xFFFFFFFFFFFFFFFF), 8),
}


def damage():
    for kind, (address, values, size) in KINDS.items():
        before = int.from_bytes(MAP.memory.read(address, size), "little")
        for value in values:
            poke(address, value, size)
            try:
                for command in COMMANDS:
                    said = run(command)
                    print(
                        f"KIND {kind} {value:#x} {command}: "
                        f"{len(said.splitlines())} lines: {said.strip()[:300]!r}"
                    )
            finally:
                poke(address, before, size)
    print("AFTER " + run("coro list").splitlines()[-1])


def run(command):
    try:
        return gdb.execute(command, to_string=True)
    except gdb.error as error:
        return f"error: {error}"


damage()
