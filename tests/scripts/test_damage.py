"""A registry that has been overwritten: a sentence says what is wrong, and nothing else goes wrong.

The memory of a real program is recorded once; each case changes some of it, and runs commands. Work and
memory are bounded by counting, so that a hang is a failure and no wait.
"""

import os
import random
import struct
import unittest

import plain_port
from programs import Waiting

import coro_debug.commands  # noqa: F401 (registers them)
from coro_debug import memory, session
from coro_debug.command import COMMANDS
from coro_debug.layout import Layout
from coro_debug.port import CommandError

CASES = int(os.environ.get("CORO_DAMAGE_CASES", "1000"))
PAGE = 4096
#: No command on this program's dozen coroutines, whatever is wrong with them, may read more often, or more.
MOST_READS, MOST_BYTES, MOST_LINES = 100_000, 256 << 20, 20_000
LINES = [
    "list",
    "list -limit 3",
    "list -state parked -sort age",
    "bt 5",
    "bt sender",
    "bt 10 -full -raw",
    "group",
    "group wait",
    "group spawn",
    "tree",
    "tree 4",
    "info 4",
    "info 7",
    "why 5",
    "why 8",
    "deadlock",
    "stacks",
    "thread",
    "thread 0",
    "addr 0x1000010040",
    "crash",
    f"dump --json {os.devnull}",
    f"dump {os.devnull}",
]


class TooMuch(BaseException):
    """A command reads without end."""


class Pages(memory.Memory):
    """Pages of memory that were kept, and a bound on what is read."""

    def __init__(self, pages):
        self.pages = pages
        self.reads = self.bytes = 0

    def read(self, address, length):
        self.reads += 1
        if length < 0 or not 0 <= address < 1 << 64:
            raise memory.Unreadable(address, length)
        if self.reads > MOST_READS or self.bytes > MOST_BYTES:
            raise TooMuch(f"{self.reads} reads, {self.bytes} bytes")
        first, last = address // PAGE, (address + max(length, 1) - 1) // PAGE
        if last - first > MOST_BYTES // PAGE:
            raise memory.Unreadable(address, length)
        parts = []
        for number in range(first, last + 1):
            page = self.pages.get(number)
            if page is None:
                raise memory.Unreadable(address, length)
            parts.append(page)
        self.bytes += length
        return b"".join(parts)[address % PAGE:address % PAGE + length]

    def with_patches(self, patches):
        """A copy with other bytes at some addresses."""
        changed = {}
        for address, data in patches:
            for i, byte in enumerate(data):
                number, offset = divmod(address + i, PAGE)
                if number in self.pages:
                    changed.setdefault(number, bytearray(self.pages[number]))[offset] = byte
        return Pages({**self.pages, **{number: bytes(page) for number, page in changed.items()}})


class Recorder(memory.Memory):
    """Keeps the pages that are read."""

    def __init__(self, beneath):
        self._beneath, self.pages = beneath, {}

    def read(self, address, length):
        data = self._beneath.read(address, length)
        for number in range(address // PAGE, (address + max(length, 1) - 1) // PAGE + 1):
            if number not in self.pages:
                self.pages[number] = self._beneath.read(number * PAGE, PAGE)
        return data


class DamagedPort(plain_port.PlainPort):
    """The recorded program, with other memory. What is not memory is as it was."""

    def __init__(self, of, memory_, headers, threads):
        super().__init__(of.pid)
        self._memory = memory_
        self._modules, self._tables, self._places = of._modules, of._tables, of._places
        self._headers, self._threads_then, self.selected = headers, threads, 1

    def header_addresses(self):
        return self._headers

    def threads(self):
        return self._threads_then

    def fault(self):
        return "SIGSEGV", self.touched, 1

    def symbolize(self, pc, is_return_address):
        # addr2line is a slow companion for tens of thousands of cases.
        known = self._places.get((pc, is_return_address))
        return known if known and known[0].function else []

    def close(self):
        pass


class Damage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = Waiting("parked")
        its = cls.program.port
        its._memory = recorder = Recorder(its.memory)
        for line in LINES:
            run(cls.program.session, line)
        cls.header = its.header_addresses()[0]
        cls.then = its.header_addresses(), its.threads()
        cls.layout = Layout(its.memory, cls.header)
        cls.registry = cls.program.session.registry()
        address, stride, _ = cls.layout.tables["records"]
        # What damaged counts and addresses lead to is there in the process as well.
        for klass in cls.registry.classes:
            recorder.read(address + klass.first * stride, min(klass.count, 64) * stride)
        cls.pages = Pages(recorder.pages)
        cls.records = [address + coroutine.index * stride for coroutine in cls.registry.coroutines()]

    @classmethod
    def tearDownClass(cls):
        cls.program.close()

    def survives(self, memory_, lines, touched=0):
        """Runs commands on such memory; what was said."""
        its = DamagedPort(self.program.port, memory_, *self.then)
        its.touched = touched
        one = session.Session(its)
        said = [run(one, line) for line in lines]
        text = its.text()
        self.assertLess(text.count("\n"), MOST_LINES)
        for error in said:
            self.assertNotIn("\n", error)
            self.assertLess(len(error), 2000)
        return text + "\n".join(said)

    def cases(self, seed, damage):
        """Random cases of one kind: `damage(dice)` gives patches."""
        for number in range(CASES):
            dice = random.Random(seed * 1_000_000 + number)
            patches = damage(dice)
            with self.subTest(case=number):
                self.survives(
                    self.pages.with_patches(patches),
                    dice.sample(LINES, 2),
                    touched=patches[0][0] if patches else 0,
                )

    def test_unharmed_it_says_nothing_odd(self):
        text = self.survives(self.pages, ["list"])
        self.assertIn("sleeper", text)
        self.assertNotIn("coro:", text)

    # Kinds of damage.

    def test_header(self):
        length = len(self.layout._header_bytes)
        self.cases(1, lambda dice: [(self.header + dice.randrange(length), some_bytes(dice))])

    def test_tables(self):
        count = len(self.layout.tables)
        address = struct.unpack("<Q", self.pages.read(self.header + 32, 8))[0]
        self.cases(2, lambda dice: [(address + dice.randrange(40 * count), some_bytes(dice))])

    def test_fields(self):
        names = [
            name
            for name in self.layout.tables
            if name.endswith("fields") or name in ("saved registers", "field kinds")
        ]
        self.cases(3, lambda dice: self.within(dice, dice.choice(names), 24))

    def test_names_of_numbers(self):
        names = [name for name in self.layout.tables if name not in ("records", "descriptors")]
        self.cases(4, lambda dice: self.within(dice, dice.choice(names)))

    def test_classes(self):
        self.cases(5, lambda dice: self.within(dice, "classes"))

    def test_workers(self):
        self.cases(6, lambda dice: self.within(dice, "workers", rows=1))

    def test_counts(self):
        def damage(dice):
            """Huge counts which fit together: nobody may take them for reason to read without end."""
            table = struct.unpack("<Q", self.pages.read(self.header + 32, 8))[0]
            names = list(self.layout.tables)
            region = self.layout.header
            length = self.offset("header fields", "region_length")
            patches = [
                (self.header + length, struct.pack("<Q", 1 << 60)),
                (
                    table + 40 * names.index("records") + 36,
                    struct.pack("<I", dice.choice((1 << 28, 1 << 27, 5_000_000))),
                ),
            ]
            address, stride, count = self.layout.tables["classes"]
            row = address + stride * dice.randrange(count)
            for field in ("count", "used"):
                patches.append((row + self.layout.klass.fields[field].offset, struct.pack("<I", dice.choice(
                    (1 << 27, (1 << 32) - 1, 4_000_000, 100_000)))))
            self.assertGreater(region["region_length"], 0)
            return patches
        self.cases(7, damage)

    def test_records(self):
        self.cases(8, lambda dice: [self.field(dice, dice.choice(self.records), name, dice.choice(
            (0, 1, dice.getrandbits(16), dice.getrandbits(64), (1 << 64) - 1, 1 << 63)))
            for name in dice.sample(list(self.layout.record.fields), 3)])

    def test_states(self):
        self.cases(
            9,
            lambda dice: [self.field(dice, record, "state", dice.getrandbits(64)) for record in self.records],
        )

    def test_circles(self):
        ids = [coroutine.id for coroutine in self.registry.coroutines()]

        def damage(dice):
            """Parents and joins in circles, ids that come twice."""
            return [
                self.field(dice, record, name, dice.choice(ids))
                for record in self.records
                for name in dice.sample(("parent", "wait_object", "id", "link"), 2)
            ] + [self.field(dice, record, "wait_reason", self.reason("join")) for record in self.records]
        self.cases(10, damage)

    def test_names(self):
        self.cases(11, lambda dice: [(record + self.layout.record.fields["name"].offset, dice.randbytes(32))
                                     for record in self.records])

    def test_stacks(self):
        def damage(dice):
            """Saved stack pointers and resume addresses, and what lies on the stacks."""
            record = dice.choice(self.records)
            coroutine = self.registry.record((record - self.records[0]) // self.layout.record.stride)
            sp, pc = coroutine.context
            offset = self.layout.record.fields["context"].offset
            return [
                (
                    record + offset,
                    struct.pack(
                        "<QQ",
                        dice.choice((sp, sp + 8, sp - 8, dice.getrandbits(64), 0)),
                        dice.choice((pc, pc, dice.getrandbits(64), 0)),
                    ),
                ),
                *(
                    (
                        sp + 8 * dice.randrange(200),
                        struct.pack("<Q", dice.choice((0, sp, pc, dice.getrandbits(64)))),
                    )
                    for _ in range(20)
                ),
            ]
        self.cases(12, damage)

    def test_missing_pages(self):
        for number in range(CASES):
            dice = random.Random(13_000_000 + number)
            kept = {
                page: data
                for page, data in self.pages.pages.items()
                if dice.random() < dice.choice((0.5, 0.9, 0.99))
            }
            with self.subTest(case=number):
                self.survives(Pages(kept), dice.sample(LINES, 2))

    def test_heads_of_mutexes_and_channels(self):
        addresses = [coroutine.wait_object for coroutine in self.registry.coroutines()
                     if coroutine.wait_object_kind == "address"]
        self.assertTrue(addresses)
        self.cases(
            14, lambda dice: [(address + dice.randrange(-8, 64), some_bytes(dice)) for address in addresses]
        )

    # What is said.

    def test_what_is_wrong_is_said(self):
        table = struct.unpack("<Q", self.pages.read(self.header + 32, 8))[0]
        klass, stride, _count = self.layout.tables["classes"]
        default = klass + stride * next(
            i for i, one in enumerate(self.registry.classes) if one.name == "default"
        )
        record, at = self.records[-1], self.layout.record.fields
        state = self.layout.state_word["state"][0]
        word = struct.unpack("<Q", self.pages.read(record + at["state"].offset, 8))[0]
        for patches, words in (
            ([(self.header, b"XX")], "instead of b'COROABI"),
            ([(self.header, bytes(8))], "no runtime of this program has started"),
            ([(self.header + 8, bytes(8))], "it is a copy, or has been overwritten"),
            ([(self.header + 16, b"\2")], "version 2.*: use the scripts which came with"),
            ([(self.header + 24, b"\xff\xff\xff\xff")], "it has been overwritten"),
            ([(self.header + 32, bytes(8))], "leads to memory which is not there"),
            ([(table, b"nonsense\0")], "has no table `records`"),
            (
                [(default + self.layout.klass.fields["base"].offset, b"\xff" * 8)],
                "do not fit into the region",
            ),
            ([(default + self.layout.klass.fields["used"].offset, b"\xff\xff\xff")], "used slots of"),
            (
                [(record + at["state"].offset, struct.pack("<Q", word | 15 << state))],
                "1 record of no known state",
            ),
            ([(record + at["context"].offset, bytes(16))], r"1 record with something that can't be right"),
            ([(record + at["stack_top"].offset, bytes(8))], r"1 record with something that can't be right"),
            ([(record + at["id"].offset, struct.pack("<Q", 4))], "an id that another one has"),
        ):
            text = self.survives(self.pages.with_patches(patches), ["list", "why 4"])
            self.assertRegex(text, words)

    def test_a_newer_minor_version_is_read(self):
        text = self.survives(self.pages.with_patches([(self.header + 20, struct.pack("<I", 77))]), ["list"])
        self.assertIn("sleeper", text)

    # Help.

    def within(self, dice, table, step=1, rows=None):
        """Damage somewhere in a table."""
        address, stride, count = self.layout.tables[table]
        at = dice.randrange(stride * min(count, rows or count))
        return [(address + at // step * step if dice.random() < 0.5 else address + at, some_bytes(dice))]

    def field(self, dice, record, name, value):
        field = self.layout.record.fields[name]
        data = (value & (1 << 8 * field.size) - 1).to_bytes(field.size, "little")
        return record + field.offset, data

    def offset(self, table, name):
        return next(field.offset for field in self.layout._fields(self.pages, table) if field.name == name)

    def reason(self, wanted):
        return next(number for number, name in self.layout.wait_reasons.items() if name == wanted)


def some_bytes(dice):
    """What damage may be: zeros, ones, small and large numbers, anything."""
    size = dice.choice((1, 2, 4, 8, 16))
    return dice.choice(
        (
            bytes(size),
            b"\xff" * size,
            dice.randrange(1 << 12).to_bytes(max(size, 2), "little"),
            dice.randbytes(size),
        )
    )


def run(one, line):
    """Runs a command as a debugger does; the sentence of its error, or ''."""
    name, _, rest = line.partition(" ")
    try:
        session.guarded(lambda: COMMANDS[name].run(one, rest))
    except CommandError as error:
        return str(error)
    return ""
