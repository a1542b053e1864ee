"""A registry made by hand: header, tables, records, stacks, as bytes; and a port that reads it. No program
runs.

It has the debug ABI's shape, but numbers and offsets of its own: what reads it by knowing the runtime's fails
here.
"""

import contextlib
import struct

from coro_debug import memory, port, session

HEADER, HEAD, REGION = 0x5000_1000, 0x10_0000_0000, 0x10_0000_0000
STRIDE, REDZONE, CODE, OBJECTS = 0x41000, 0x11000, 0x40_0000, 0x7000_0000
RESUME = CODE + 0x10
RECORDS, REGION_STACKS = HEAD + 0x10000, REGION + (1 << 34)
SECOND = 10 ** 9
NOW = 5000 * SECOND

#: Field -> (size, kind); they lie in this order, each aligned to its size.
RECORD = {
    "since": (8, 5),
    "context": (16, 7),
    "id": (8, 4),
    "wait_reason": (4, 1),
    "kind": (4, 1),
    "state": (8, 8),
    "link": (8, 2),
    "worker": (4, 1),
    "spawn_line": (4, 1),
    "wait_object": (8, 1),
    "wait_deadline": (8, 5),
    "parent": (8, 4),
    "stack_limit": (8, 2),
    "stack_top": (8, 2),
    "spawn_file": (8, 2),
    "spawn_file_length": (4, 1),
    "spawn_column": (4, 1),
    "spawned_at": (8, 5),
    "name": (32, 3),
    "requests": (4, 1),
    "extra": (8, 2),
}
CLASS = {
    "base": (8, 2),
    "name": (16, 3),
    "stride": (8, 1),
    "redzone": (8, 1),
    "first_record": (4, 6),
    "count": (4, 1),
    "used": (4, 1),
}
WORKER = {"main": (4, 6), "switch": (4, 6), "io": (4, 6), "thread": (4, 1), "clock": (8, 5), "alive": (8, 1),
          "switches": (8, 1), "policy": (4, 1), "exits": (8, 1), "spawns": (8, 1), "steals": (8, 1)}
HEADER_FIELDS = {
    "region_base": (8, 2),
    "region_length": (8, 1),
    "pid": (4, 1),
    "redzone_method": (4, 1),
    "resume_pc": (8, 2),
    "end_context": (8, 2),
    "source_prefix": (8, 2),
    "source_prefix_length": (8, 1),
}
PARKED = {"sleep": (4, 1), "join": (4, 1), "read": (4, 1)}
MUTEX = {"owner": (8, 12), "word": (4, 1), "poisoned": (4, 1)}
CHANNEL = {
    "capacity": (8, 1),
    "length": (8, 1),
    "senders": (8, 1),
    "receivers": (8, 1),
    "last_sender": (8, 12),
    "last_receiver": (8, 12),
}
JOB = {"file": (8, 2), "line": (4, 1), "column": (4, 1), "file_length": (4, 1), "thread": (4, 1)}
SYNC = {"owner": (8, 12), "limit": (8, 1), "count": (8, 1)}
SELECT = {"things": (8, 2), "count": (8, 1)}
THING = {"object": (8, 1), "reason": (8, 1)}
FAMILY = {
    "members": (8, 2),
    "count": (8, 1),
    "capacity": (8, 1),
    "places": (8, 1),
    "line": (4, 1),
    "kind": (4, 1),
    "file": (8, 2),
    "column": (4, 1),
    "file_length": (4, 1),
}
MEMBER = {"record": (8, 2), "coroutine": (8, 4)}
EXTRA = {"shields": (4, 1), "second_family": (8, 2), "timeout_count": (8, 1), "family": (8, 2), "timeouts": (8, 2)}
TIMEOUT = {"shields": (8, 1), "scope": (8, 1), "deadline": (8, 5)}
FAMILY_KINDS = {"pool": 4, "scope": 5, "group": 6}
DESCRIPTOR = {"last_user": (8, 4), "role": (4, 1), "address_length": (4, 1), "address": (96, 13),
              "buffered": (8, 1), "low_watermark": (4, 1), "high_watermark": (4, 1)}
FIELD_KINDS = ["unsigned", "address", "text", "coroutine id", "time", "record index", "context", "state word",
               "saved register", "register value", "free queue", "owner", "socket address"]
STATES = {"free": 0, "exited": 1, "parked": 2, "running": 3, "ready": 4, "new": 5}
REASONS = {
    "none": 0,
    "sleep": 1,
    "read": 2,
    "write": 3,
    "accept": 4,
    "connect": 5,
    "join": 6,
    "mutex": 7,
    "send": 8,
    "receive": 9,
    "turn": 10,
    "shutdown": 11,
    "offload": 12,
    "future": 13,
    "condvar": 14,
    "read lock": 15,
    "write lock": 16,
    "semaphore": 17,
    "barrier": 18,
    "wait group": 19,
    "once": 20,
    "event": 21,
    "select": 22,
    "group": 23,
    "place": 24,
}
SYNCS = ("condvar", "read lock", "write lock", "semaphore", "barrier", "wait group", "once", "event")
OBJECTS_OF = {
    **dict.fromkeys(REASONS, 0),
    **dict.fromkeys(("read", "write", "accept", "connect"), 2),
    "join": 1,
    **dict.fromkeys(("mutex", "send", "receive", "offload", "select", "group", "place", *SYNCS), 3),
}
KINDS = {"user": 0, "main": 1, "switch": 2, "io": 3}
STATE_BITS, FLAG_BITS, EPOCH_BITS, GENERATION_BITS = (8, 4), (12, 8), (20, 20), (40, 24)
FLAGS = {"waiting": 1 << 12, "notified": 1 << 13, "timed out": 1 << 14, "lent": 1 << 15}
PREFIX, FILE = b"/home/u/coro/src/", b"src/app.rs"


class Row:
    """Where the fields of a row lie, and a row's bytes. `at`: where the first one lies."""

    def __init__(self, fields, at=8):
        self.offsets = {}
        for name, (size, _) in fields.items():
            align = min(size, 8) if size in (1, 2, 4, 8, 16, 32) else 4
            at = (at + align - 1) // align * align
            self.offsets[name] = at
            at += size
        self.fields, self.stride = fields, (at + 15) // 8 * 8

    def bytes(self, **values):
        data = bytearray(self.stride)
        for name, value in values.items():
            size = self.fields[name][0]
            value = value if isinstance(value, bytes) else value.to_bytes(size, "little")
            data[self.offsets[name]:self.offsets[name] + len(value)] = value
        return bytes(data)

    def table(self):
        return b"".join(struct.pack("<24sIIII", name.encode(), self.offsets[name], size, kind, 0)
                        for name, (size, kind) in self.fields.items())


ROWS = {"record": Row(RECORD), "class": Row(CLASS), "worker": Row(WORKER), "parked": Row(PARKED),
        # Behind the forty bytes that every reader knows.
        "header": Row(HEADER_FIELDS, 40),
        "mutex": Row(MUTEX), "channel": Row(CHANNEL), "job": Row(JOB), "family": Row(FAMILY),
        "member": Row(MEMBER), "extra": Row(EXTRA), "timeout": Row(TIMEOUT), "descriptor": Row(DESCRIPTOR),
        # Things lie one behind the other, with nothing in between.
        "sync": Row(SYNC), "select": Row(SELECT), "thing": Row(THING, 0)}


def state_word(state, flags=(), generation=0):
    """The word of a state that is named or numbered."""
    number = STATES[state] if isinstance(state, str) else state
    return number << STATE_BITS[0] | sum(FLAGS[flag] for flag in flags) | generation << GENERATION_BITS[0]


class Image:
    """A registry in the making. Coroutines get the slots 0, 1, …; `bytes_of` says how their stacks look."""

    def __init__(self, pid=77, has_objects=True):
        self.pid, self.has_objects = pid, has_objects
        self.records, self.stacks, self.objects, self.descriptors = [], {}, {}, {}
        self.workers = [{"thread": 901, "main": 0, "clock": NOW - SECOND, "alive": 3, "switches": 12}]
        #: Of each worker, how many wait for what.
        self.parked = [{}]
        self._next_object = OBJECTS + 0x1000
        self.capacity = 0
        #: What the records are, where they are not made one by one.
        self.record_bytes = None

    def add(self, name="", state="parked", reason="none", value=0, **more):
        """A coroutine; its id."""
        index = len(self.records)
        number = more.pop("id", index + 1)
        limit = REGION_STACKS + index * STRIDE + REDZONE
        top = limit + STRIDE - REDZONE
        used = more.pop("used", 0x400)
        values = {
            "id": number,
            "since": NOW - more.pop("age", SECOND),
            "kind": KINDS[more.pop("kind", "user")],
            "state": state_word(state, more.pop("flags", ()), more.pop("generation", 0)),
            "wait_reason": REASONS.get(reason, reason),
            "wait_object": value,
            "name": name.encode()[:32],
            "stack_limit": limit,
            "stack_top": top,
            "spawn_file": OBJECTS,
            "spawn_file_length": len(FILE),
            "spawn_line": 10 + index % 3,
            "spawned_at": NOW - 60 * SECOND,
            "parent": more.pop("parent", 0),
            "worker": more.pop("worker", 0),
            "wait_deadline": more.pop("deadline", 0),
            "context": struct.pack("<QQ", top - used, RESUME),
            **more,
        }
        self.records.append(values)
        return number

    def stack_of(self, number):
        """(limit, top) of a coroutine."""
        values = next(values for values in self.records if values["id"] == number)
        return values["stack_limit"], values["stack_top"]

    def put_stack(self, number, frames, start=0xABCDE):
        """Lays out a stack: (pc, size) of each frame, innermost first, the first at the resume point; below
        its top by 64 bytes. Gives the stack pointers."""
        _limit, top = self.stack_of(number)
        end = top - 64 * (1 + number % 16)
        sp = end - sum(size for _, size in frames[:-1])
        sps, data = [], bytearray(end + 16 - sp)
        for i, (_pc, size) in enumerate(frames):
            sps.append(sp + sum(size for _, size in frames[:i]))
            if i:
                struct.pack_into("<Q", data, sps[-1] - sp - 8, frames[i][0])
        struct.pack_into("<Q", data, end - sp, start)
        self.stacks[sp] = bytes(data) + bytes(top - sp - len(data))
        values = next(values for values in self.records if values["id"] == number)
        values["context"] = struct.pack("<QQ", sp, frames[0][0])
        return sps

    def put_mutex(self, owner=0, word=1, poisoned=0):
        return self._put(ROWS["mutex"].bytes(owner=owner, word=word, poisoned=poisoned))

    def put_channel(self, **values):
        return self._put(ROWS["channel"].bytes(**values))

    def put_job(self, **values):
        return self._put(ROWS["job"].bytes(**values))

    def put_sync(self, **values):
        return self._put(ROWS["sync"].bytes(**values))

    def put_select(self, rows, **values):
        """`rows`: (reason, object) of each thing."""
        data = b"".join(ROWS["thing"].bytes(reason=REASONS[reason], object=value)[:16] for reason, value in rows)
        return self._put(ROWS["select"].bytes(**{"count": len(rows), "things": self._put(data), **values}))

    def put_family(self, kind, members, capacity=0, **values):
        """A scope, a group or a pool; of the members' ids those that are 0 are vacant places."""
        rows = ROWS["member"]
        # No longer than the last field's end: a reader takes a row to be so long.
        length = max(rows.offsets[name] + size for name, (size, _) in MEMBER.items())
        places = b"".join(rows.bytes(coroutine=member)[:length] for member in members)
        count = sum(1 for member in members if member)
        return self._put(ROWS["family"].bytes(**{
            "kind": FAMILY_KINDS.get(kind, kind), "count": count, "capacity": capacity, "places": len(members),
            "members": self._put(places), "file": OBJECTS, "file_length": len(FILE), "line": 30, **values}))

    def put_extra(self, timeouts=(), **values):
        """A coroutine's heap part; of each timeout: (scope, deadline, shields)."""
        rows = ROWS["timeout"]
        length = max(rows.offsets[name] + size for name, (size, _) in TIMEOUT.items())
        data = b"".join(rows.bytes(scope=scope, deadline=deadline, shields=shields)[:length]
                        for scope, deadline, shields in timeouts)
        return self._put(ROWS["extra"].bytes(**{"timeouts": self._put(data), "timeout_count": len(timeouts), **values}))

    def put_descriptor(self, fd, role, address, last_user=0, **values):
        self.descriptors[fd] = ROWS["descriptor"].bytes(
            role=role, address=address, address_length=len(address), last_user=last_user, **values
        )

    def _put(self, data):
        address = self._next_object
        self.objects[address] = data
        self._next_object += (len(data) + 0xFF) // 0x100 * 0x100 or 0x100
        return address

    def pieces(self):
        """(address, bytes) of all of it."""
        count = max(self.capacity, len(self.records))
        tables, blocks = [], {}
        record = ROWS["record"]
        raw = self.record_bytes or b"".join(record.bytes(**values) for values in self.records)
        used = len(raw) // record.stride
        count = max(count, used)

        def block(name, data, stride):
            address = HEAD + 0x8000 + sum((len(other) + 63) // 64 * 64 for other in blocks.values())
            blocks[address] = data
            tables.append((name, address, stride, len(data) // stride))

        def names(name, rows):
            block(name, b"".join(struct.pack("<24sQ", row.encode(), value) for row, value in rows), 32)

        rows_of = {"header": "header", "record": "record", "class": "class", "worker": "worker"}
        if self.has_objects:
            rows_of.update(
                mutex="mutex", channel="channel", job="job", descriptor="descriptor", parked="parked",
                sync="sync", select="select", thing="thing",
                family="family", member="member", extra="extra", timeout="timeout",
            )
        for kind in rows_of:
            block(f"{kind} fields", ROWS[kind].table(), 40)
        names("field kinds", [(name, i + 1) for i, name in enumerate(FIELD_KINDS)])
        names("states", STATES.items())
        names("flags", FLAGS.items())
        names(
            "state word",
            [
                (name, shift | width << 8)
                for name, (shift, width) in (
                    ("state", STATE_BITS),
                    ("flags", FLAG_BITS),
                    ("epoch", EPOCH_BITS),
                    ("generation", GENERATION_BITS),
                )
            ],
        )
        names("wait reasons", REASONS.items())
        names("wait objects", OBJECTS_OF.items())
        names("object kinds", [("nothing", 0), ("coroutine id", 1), ("file descriptor", 2), ("address", 3)])
        names("kinds", KINDS.items())
        names("requests", [("cancel", 1), ("unwinding", 4), ("timeout", 16), ("shield", 32)])
        if self.has_objects:
            names("family kinds", FAMILY_KINDS.items())
        names("redzone methods", [("guard", 1), ("mprotect", 2)])
        names("policies", [("fair", 0)])
        names("descriptor roles", [("stream", 1), ("listener", 2), ("datagram", 3)])
        names("events", [("spawn", CODE)])
        block(
            "saved registers",
            b"".join(
                struct.pack("<24sIIII", name, offset, 8, kind, number)
                for name, offset, kind, number in (
                    (b"rbx", 0, 9, 3),
                    (b"rip", 24, 9, 16),
                    (b"rsp", 32, 10, 7),
                )
            ),
            40,
        )
        block(
            "classes",
            ROWS["class"].bytes(
                name=b"default",
                base=REGION_STACKS,
                stride=STRIDE,
                redzone=REDZONE,
                first_record=0,
                count=count,
                used=used,
            ),
            ROWS["class"].stride,
        )
        block(
            "workers",
            b"".join(ROWS["worker"].bytes(**worker) for worker in self.workers),
            ROWS["worker"].stride,
        )
        if self.has_objects:
            block("parked", b"".join(ROWS["parked"].bytes(**parked) for parked in self.parked), ROWS["parked"].stride)
            most = max(self.descriptors, default=-1) + 1
            empty = ROWS["descriptor"].bytes()
            block("descriptors", b"".join(self.descriptors.get(fd, empty) for fd in range(most)) or empty,
                  ROWS["descriptor"].stride)
        tables.append(("records", RECORDS, record.stride, count))
        table_bytes = b"".join(struct.pack("<24sQII", name.encode(), *row) for name, *row in tables)
        header = bytearray(
            ROWS["header"].bytes(
                region_base=REGION,
                region_length=REGION_STACKS - REGION + count * STRIDE + REDZONE,
                pid=self.pid,
                redzone_method=1,
                resume_pc=RESUME,
                source_prefix=OBJECTS + 0x100,
                source_prefix_length=len(PREFIX),
            )
        )
        fixed = struct.pack("<8sQIIIIQ", b"COROABI\0", HEADER, 1, 1, len(header), len(tables), HEAD + 0x1000)
        head = bytearray(RECORDS - HEAD)
        head[0x1000:0x1000 + len(table_bytes)] = table_bytes
        for address, data in blocks.items():
            head[address - HEAD:address - HEAD + len(data)] = data
        texts = FILE.ljust(0x100, b"\0") + PREFIX
        header[:40] = fixed
        return [(HEADER, bytes(header)), (HEAD, bytes(head)), (RECORDS, raw or bytes(record.stride)),
                (OBJECTS, texts.ljust(0x1000, b"\0")), *self.objects.items(), *self.stacks.items()]

    def open(self, **more):
        """A session on it, and its port."""
        its = ImagePort(memory.RecordedMemory(self.pieces()), self.pid, **more)
        return session.Session(its), its



class ImagePort(port.Port):
    """Reads an image. `frames`: {id: [Frame, …]}; `places`: {pc: [Location, …]}."""

    name = "image"

    def __init__(
        self, memory_, pid=77, threads=(), frames=None, places=None, selected=None, fault=None, now=NOW
    ):
        self._memory, self.pid, self._threads, self.selected = memory_, pid, list(threads), selected
        self.frames, self.places, self._fault, self._now = frames or {}, places or {}, fault, now
        self.output, self.opened, self.told = [], 0, []

    memory = property(lambda self: self._memory)

    def generation(self):
        return 1

    def header_addresses(self):
        return [HEADER]

    def threads(self):
        return self._threads

    def selected_thread(self):
        return self.selected

    def process_ids(self):
        return {self.pid}

    def is_live(self):
        return True

    def now(self):
        return self._now

    def fault(self):
        return self._fault

    @contextlib.contextmanager
    def open_stack(self, coroutine, at=None):
        self.opened += 1
        yield iter(self.frames.get(coroutine.id, []))

    def symbolize(self, pc, is_return_address):
        return self.places.get(pc, [])

    def write(self, text):
        self.output.append(text)

    def progress(self, text):
        self.told.append(text)

    def text(self):
        """What has been written since it was last asked for."""
        text = "".join(self.output)
        self.output.clear()
        return text
