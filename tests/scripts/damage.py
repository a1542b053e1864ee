"""Registries that have been overwritten, for tests: the memory of a real program is recorded once; each case changes some of it,
and runs commands. Work and memory are bounded by counting, so that a hang is a failure and no wait.
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
    """What tests of damaged memory have in common."""

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
