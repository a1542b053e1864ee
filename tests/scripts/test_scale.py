"""A million coroutines: what is asked for costs what is shown, not what there is.

Told by what is read and made, not by the clock.
"""

import struct
import tracemalloc
import unittest

from image import REDZONE, REGION_STACKS, ROWS, STRIDE, Image, state_word

import coro_debug.commands  # noqa: F401 (registers them)
from coro_debug import coroutine as coroutine_
from coro_debug import memory, session
from coro_debug.command import COMMANDS

COUNT = 1_000_000


def crowd(count):
    """An image of that many; every tenth slot is free, ids go down."""
    image = Image()
    for name, state in (("a", "parked"), ("b", "ready")):
        image.add(name, state=state, reason="sleep")
    row = ROWS["record"]
    parked, free = (
        bytearray(row.bytes(**{**image.records[0], "state": state_word(state)}))
        for state in ("parked", "free")
    )
    places = [row.offsets[name] for name in ("id", "stack_limit", "stack_top")]
    assert row.offsets["stack_top"] == places[1] + 8
    pieces = []
    for i in range(count):
        data = free if i % 10 == 9 else parked
        top = REGION_STACKS + (i + 1) * STRIDE
        struct.pack_into("<Q", data, places[0], count - i)
        struct.pack_into("<QQ", data, places[1], top - STRIDE + REDZONE, top)
        struct.pack_into("<Q", data, row.offsets["context"], top - 0x400)
        pieces.append(bytes(data))
    image.record_bytes = b"".join(pieces)
    return image


class CountingMemory(memory.Memory):
    """Counts what is read."""

    def __init__(self, beneath):
        self._beneath, self.bytes, self.reads = beneath, 0, 0

    def read(self, address, length):
        self.bytes += length
        self.reads += 1
        return self._beneath.read(address, length)


class Scale(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.image = crowd(COUNT)

    def run_command(self, line):
        its_session, its = self.image.open()
        its._memory = CountingMemory(its._memory)
        its_session = session.Session(its)
        made = []
        original = coroutine_.Coroutine.__init__

        def counting(self_, *arguments):
            made.append(1)
            original(self_, *arguments)

        coroutine_.Coroutine.__init__ = counting
        try:
            name, _, rest = line.partition(" ")
            COMMANDS[name].run(its_session, rest)
        finally:
            coroutine_.Coroutine.__init__ = original
        return its.text(), len(made), its

    def test_the_first_twenty_of_a_million(self):
        text, made, its = self.run_command("list -limit 20")
        lines = text.splitlines()
        self.assertEqual(len(lines), 22)
        # The last record is free, and so the lowest id is the one before.
        self.assertEqual(
            [int(line.split()[0]) for line in lines[1:21]], [i for i in range(2, 25) if i % 10 != 1][:20]
        )
        self.assertEqual(lines[21], "showing 20 of 900,000 coroutines: 900,000 parked")
        self.assertLess(made, 100)
        # Each record twice: to count, and to find the lowest ids.
        size = ROWS["record"].stride * COUNT
        self.assertLess(its._memory.bytes, 2.1 * size)
        self.assertLess(its._memory.reads, 400)
        self.assertTrue(its.told, "nothing is told of how far it is")

    def test_one_of_a_million(self):
        text, made, its = self.run_command("bt 500000")
        self.assertIn("coroutine #500000 'a', parked", text)
        self.assertLess(made, 10)
        self.assertLess(its._memory.bytes, 1.1 * ROWS["record"].stride * COUNT)


class Memory(unittest.TestCase):
    def test_a_limited_list_keeps_few(self):
        image = crowd(100_000)
        its_session, its = image.open()
        tracemalloc.start()
        try:
            COMMANDS["list"].run(its_session, "-state parked -sort age -limit 10")
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertIn("showing 10 of 90,000", its.text())
        # A piece of the records, and some thousand of them: not ninety thousand.
        self.assertLess(peak, 24 << 20)
