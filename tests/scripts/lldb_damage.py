"""Overwrites parts of a stopped program's registry, one after the other, and says what the commands make of
it. For LLDB: `command script import tests/scripts/lldb_damage.py`, after lldb/coro.py.

Each case is a line `CASE name`, then what was said, then `END`. What was overwritten is put back before the
next one.
"""

import struct

import lldb

from coro_debug.layout import Layout
from coro_lldb import attach, plugged, sessions

COMMANDS = ("coro list", "coro bt 4", "coro why 7", "coro group", "coro stacks", "coro stats", "coro tree", "thread list")


def cases(process):
    """(name, address, bytes) of each."""
    session = sessions.of(process)
    header = session.registry().layout.address
    memory = session.port.memory
    layout = Layout(memory, header)
    tables, address, stride, count = layout._table_rows, *layout.tables["records"]
    rows = struct.unpack_from("<Q", memory.read(header + 32, 8))[0]
    names = [name.split(b"\0")[0].decode() for name, *_ in tables]

    def table(name, part):
        """Where a table's row keeps its address (0), stride (8), count (12)."""
        return rows + names.index(name) * 40 + 24 + part

    record = session.coroutine("reader").record_address
    field = {name: record + layout.record.fields[name].offset for name in layout.record.fields}
    klass = layout.tables["classes"][0]
    class_fields = layout.klass.fields
    ones, zeros, odd = b"\xff" * 64, bytes(64), bytes(range(1, 65))
    yield "magic", header, (zeros[:8], odd[:8])
    yield "own address", header + 8, (zeros[:8], ones[:8])
    yield "version", header + 16, (ones[:4], struct.pack("<I", 2))
    yield "tables' address", header + 32, (zeros[:8], odd[:8])
    yield "records' address", table("records", 0), (zeros[:8], ones[:8])
    yield "records' stride", table("records", 8), (zeros[:4], ones[:4])
    yield "field names", layout.tables["record fields"][0], (zeros[:24], ones[:24])
    yield "class", klass + class_fields["stride"].offset, (ones[:8], struct.pack("<Q", 4096))
    yield "class in use", klass + layout.tables["classes"][1] * 2 + class_fields["used"].offset, (
        ones[:class_fields["used"].size], zeros[:class_fields["used"].size])
    yield "state", field["state"], (ones[:8], odd[:8])
    yield "name", field["name"], (ones[:16], b"\x1b[31m\n\t\xc3\x28red")
    yield "saved stack pointer", field["context"], (zeros[:16], odd[:16])
    yield "spawn site", field["spawn_file"], (odd[:8], ones[:8])
    yield "wait object", field["wait_object"], (ones[:8], odd[:8])


def say_failure(process, interpreter):
    """Whatever may go wrong in the plug-in that nobody has thought of: LLDB has its real threads."""
    def fail(_self):
        raise RuntimeError("on purpose")

    members, plugged.Plugged._members = plugged.Plugged._members, fail
    attach.again(process)
    for line in ("thread list", "coro threads"):
        result = lldb.SBCommandReturnObject()
        interpreter.HandleCommand(line, result)
        print(f"FAILING {line}\n{result.GetOutput() or ''}{result.GetError() or ''}", end="")
    plugged.Plugged._members = members


def __lldb_init_module(debugger, _dictionary):
    process = sessions.selected(debugger)
    interpreter = debugger.GetCommandInterpreter()
    count = 0
    for name, address, variants in list(cases(process)):
        for number, data in enumerate(variants):
            error = lldb.SBError()
            before = process.ReadMemory(address, len(data), error)
            process.WriteMemory(address, data, error)
            assert error.Success(), f"{name}: {error}"
            print(f"CASE {name} {number}")
            attach.again(process)
            for line in COMMANDS:
                result = lldb.SBCommandReturnObject()
                interpreter.HandleCommand(line, result)
                print(f"SAID {line}\n{result.GetOutput() or ''}{result.GetError() or ''}", end="")
            print("END")
            process.WriteMemory(address, before, error)
            count += 1
    say_failure(process, interpreter)
    attach.again(process)
    print(f"{count} cases, {len(plugged.of(process).members)} threads")
