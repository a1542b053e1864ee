"""The decoder: who runs, who has which id or name, what lies where."""

import struct
import unittest

from image import HEAD, HEADER, NOW, RECORDS, REDZONE, REGION, REGION_STACKS, ROWS, SECOND, STRIDE
from image import Image, ImagePort

import coro_debug.commands  # noqa: F401 (registers them)
from coro_debug import memory, port, session
from coro_debug.command import COMMANDS
from coro_debug.memory import decode
from coro_debug.port import CommandError
from coro_debug.registry import LOST, RUNNING, SWITCHING


class WhoRuns(unittest.TestCase):
    def setUp(self):
        self.image = Image()
        self.image.add("parked")
        self.image.add("busy", state="running")
        self.image.add("other", state="running", worker=5)

    def states(self, *threads, **more):
        session, _port = self.image.open(threads=threads, **more)
        return [coroutine.state for coroutine in session.registry().coroutines()]

    def sp(self, number, below_top=0x100):
        return self.image.stack_of(number)[1] - below_top

    def test_a_stack_pointer_decides(self):
        self.assertEqual(self.states(port.Thread(1, 901, self.sp(2), 0)), ["parked", RUNNING, SWITCHING])
        # The record says otherwise: it is in the middle of being entered.
        self.assertEqual(self.states(port.Thread(1, 901, self.sp(1), 0)), [RUNNING, SWITCHING, SWITCHING])

    def test_a_stack_pointer_in_the_redzone_is_the_coroutines(self):
        sp = self.image.stack_of(2)[0] - 8
        self.assertEqual(self.states(port.Thread(1, 901, sp, 0)), ["parked", RUNNING, SWITCHING])

    def test_a_thread_on_a_signals_stack_runs_what_the_record_says(self):
        self.assertEqual(
            self.states(port.Thread(1, 901, 0x7000_0000_0000, 0)), ["parked", RUNNING, SWITCHING]
        )

    def test_a_thread_that_cannot_be_asked_runs_what_the_record_says(self):
        self.assertEqual(self.states(port.Thread(1, 901, None, None)), ["parked", RUNNING, SWITCHING])

    def test_a_fork_has_lost_them(self):
        self.image.pid = 77
        session, its = self.image.open()
        its.pid = 78
        self.assertEqual(
            [coroutine.state for coroutine in session.registry().coroutines()], ["parked", LOST, LOST]
        )

    def test_threads_are_asked_for_once(self):
        for _ in range(100):
            self.image.add("more", state="running")
        session, its = self.image.open(threads=[port.Thread(1, 901, self.sp(2), 0)])
        asked = []
        its.threads = lambda: asked.append(1) or its._threads
        list(session.registry().records())
        self.assertEqual(len(asked), 1)

    def test_the_selected_threads_coroutine_has_a_name_of_its_own(self):
        session, _port = self.image.open(threads=[port.Thread(4, 901, self.sp(2), 0)], selected=4)
        self.assertEqual(session.coroutine(".").id, 2)
        session, _port = self.image.open(threads=[port.Thread(4, 901, 0x10, 0)], selected=5)
        with self.assertRaisesRegex(CommandError, "runs no coroutine"):
            session.coroutine(".")


class Names(unittest.TestCase):
    def setUp(self):
        self.image = Image()
        for name in ("conn", "conn 2", "xconn", "Grüße", "conn", "a\x1b[31mb", "#7"):
            self.image.add(name)
        self.image.add("gone", state="free")
        self.session, self.port = self.image.open()

    def test_ids(self):
        for text in ("4", "#4", "Grüße"):
            self.assertEqual(self.session.coroutine(text).id, 4)

    def test_mistakes_say_what_would_do(self):
        for text, words in (
            ("99", "no coroutine 99"),
            ("8", "no coroutine 8"),
            ("nobody", "`coro list` shows"),
            ("gone", "`coro list` shows"),
            ("conn", r"2 coroutines are named `conn`.*\(1, 5\)"),
            ("", "is no coroutine's id or name"),
        ):
            with self.assertRaisesRegex(CommandError, words):
                self.session.coroutine(text)

    def test_a_name_is_whole(self):
        self.assertEqual(self.session.coroutine("xconn").id, 3)

    def test_the_same_bytes_elsewhere_in_a_record_are_no_name(self):
        image = Image()
        image.add("other", value=int.from_bytes(b"conn", "little"))
        image.add("conn", value=int.from_bytes(b"conn", "little"))
        self.assertEqual(image.open()[0].coroutine("conn").id, 2)

    def test_names_move_no_cursor(self):
        self.assertEqual(self.session.coroutine("6").name, "a\\x1b[31mb")
        self.assertEqual(decode(b"\xff\xfeab\0cd"), "\\xff\\xfeab")


class Watching(memory.RecordedMemory):
    """Keeps the length of the longest read."""

    most = 0

    def read(self, address, length):
        self.most = max(self.most, length)
        return super().read(address, length)


class Sizes(unittest.TestCase):
    """What a header claims is not read before it has been looked at."""

    def test_a_table_that_claims_hundreds_of_mebibytes_is_not_read(self):
        image = Image()
        image.add("a")
        for table, words in (("workers", "4096 rows of 60000 bytes"), ("states", "1000 rows of 60000 bytes")):
            pieces = dict(image.pieces())
            tables = bytearray(pieces[HEAD])
            at = tables.index(table.encode() + b"\0")
            tables[at + 32:at + 40] = struct.pack("<II", 60_000, int(words.split()[0]))
            pieces[HEAD] = bytes(tables)
            watching = Watching(pieces.items())
            with self.assertRaisesRegex(CommandError, f"`{table}` claims {words}"):
                session.Session(ImagePort(watching)).registry()
            self.assertLess(watching.most, 1 << 20)

    def test_memory_that_is_missing_is_a_sentence(self):
        def read():
            raise memory.Unreadable(0x1234, 8)
        with self.assertRaisesRegex(CommandError, "8 bytes at 0x1234 can't be read: the program's memory"):
            session.guarded(read)


class Places(unittest.TestCase):
    def setUp(self):
        image = Image()
        image.add("first", used=0x200)
        image.add("ended", state="free")
        image.capacity = 4
        self.session, self.port = image.open()

    def test_addr_tells_whose_an_address_is(self):
        top = REGION_STACKS + STRIDE
        for address, words in (
            (
                top - 0x200,
                "coroutine #1 'first', stack, 512 B below its top, 0 B above its stack pointer",
            ),
            (top - 0x228, "in the part not in use (40 B below its stack pointer)"),
            (REGION_STACKS + REDZONE - 40, "coroutine #1 'first', redzone, 40 B below its stack"),
            (
                top + 8,
                "free slot 1, redzone, 69,624 B below its stack; "
                "its last tenant was coroutine #2 'ended', "
                "spawned at src/app.rs:11",
            ),
            (top + STRIDE - 8, "free slot 1, stack, 8 B below its top"),
            (top + STRIDE + 8, "slot 2 of the stack class 'default', which was never used"),
            (REGION_STACKS + 4 * STRIDE + 8, "the redzone behind the last slot of the stack class 'default'"),
            (
                RECORDS + ROWS["record"].offsets["parent"],
                "the record of coroutine #1 'first', its field `parent`",
            ),
            (RECORDS + ROWS["record"].stride, "the record of free slot 1"),
            (REGION + 0x1010, "the region's head"),
            (HEADER, "not in the coroutines' region"),
            (0, "not in the coroutines' region"),
        ):
            COMMANDS["addr"].run(self.session, hex(address))
            self.assertIn(words, self.port.text(), hex(address))

    def test_what_is_no_address(self):
        for text in ("", "here", "1 2", hex(1 << 64), "-5"):
            with self.assertRaises(CommandError):
                COMMANDS["addr"].run(self.session, text)


class Ids(unittest.TestCase):
    def test_slots_are_reused_out_of_order(self):
        image = Image()
        for number, state in ((30, "parked"), (2, "ready"), (17, "free"), (9, "parked"), (40, "parked")):
            image.add(f"c{number}", id=number, state=state)
        session, _port = image.open()
        registry = session.registry()
        self.assertEqual([coroutine.id for coroutine in registry.first_by_id(3)], [2, 9, 30])
        self.assertEqual([coroutine.id for coroutine in registry.first_by_id(9)], [2, 9, 30, 40])
        self.assertEqual((registry.by_id(9).index, registry.by_id(17)), (3, None))
        self.assertEqual(dict(registry.count_states()), {"parked": 3, "ready": 1, "free": 1})

    def test_rows_that_are_not_aligned_are_read_too(self):
        row = ROWS["record"]
        kept = dict(row.offsets), row.stride
        try:
            for name in row.offsets:
                row.offsets[name] += 3
            row.stride += 5
            self.test_slots_are_reused_out_of_order()
        finally:
            row.offsets, row.stride = kept

    def test_ages_and_deadlines(self):
        image = Image()
        image.add(age=3 * SECOND, deadline=NOW - 5)
        coroutine = image.open()[0].registry().by_id(1)
        self.assertEqual(
            (coroutine.age, coroutine.time_left, coroutine.lifetime), (3 * SECOND, -5, 60 * SECOND)
        )
