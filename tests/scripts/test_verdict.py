"""What a fault means, by addresses alone; and the report made of it."""

import unittest

from image import REDZONE, RECORDS, REGION_STACKS, STRIDE, Image
from stacks import SWITCH, StackPort, function

import coro_debug.commands  # noqa: F401 (registers them)
from coro_debug import memory, port, session, verdict
from coro_debug.backtrace import Stretch
from coro_debug.command import COMMANDS
from coro_debug.commands import crash
from coro_debug.places import Place
from coro_debug.port import CommandError

LIMIT, TOP, SLOT = 0x10_0000, 0x13_0000, 5


def facts(address, sp, place=None, **more):
    more = {"own": SLOT, "limit": LIMIT, "top": TOP, "redzone": 0x11000, **more}
    return verdict.Facts(address, sp, place=place, **more)


class Classify(unittest.TestCase):
    def kind(self, *arguments, **more):
        found = verdict.classify(facts(*arguments, **more))
        return found.kind, found.slot, found.distance

    def own_redzone(self, distance):
        return Place("redzone", None, SLOT, distance)

    def test_near_the_stack_pointer_it_is_an_overflow(self):
        self.assertEqual(self.kind(LIMIT - 8, LIMIT, self.own_redzone(8)), ("overflow", SLOT, 8))
        # A page is probed; a leaf function's red zone; a frame that has crossed the limit.
        self.assertEqual(
            self.kind(LIMIT - 4000, LIMIT + 96, self.own_redzone(4000)), ("overflow", SLOT, 4000)
        )
        self.assertEqual(self.kind(LIMIT - 120, LIMIT + 8, self.own_redzone(120)), ("overflow", SLOT, 120))
        self.assertEqual(
            self.kind(LIMIT - 60000, LIMIT - 59000, self.own_redzone(60000)), ("overflow", SLOT, 60000)
        )
        self.assertEqual(self.kind(LIMIT - 8, LIMIT - 60000, self.own_redzone(8)), ("overflow", SLOT, 8))

    def test_far_from_it_it_is_a_wild_pointer(self):
        self.assertEqual(self.kind(LIMIT - 8, TOP - 512, self.own_redzone(8)), ("underrun", SLOT, 8))
        self.assertEqual(self.kind(LIMIT - 8, LIMIT + 8192, self.own_redzone(8)), ("underrun", SLOT, 8))

    def test_above_its_top(self):
        self.assertEqual(
            self.kind(TOP + 16, TOP - 64, Place("redzone", None, SLOT + 1, 9)), ("above", SLOT + 1, 16)
        )

    def test_anothers(self):
        self.assertEqual(self.kind(0x50_0000, TOP - 64, Place("redzone", None, 9, 77)), ("stranger", 9, 77))
        self.assertEqual(
            self.kind(0x50_0000, TOP - 64, Place("redzone", None, 9, 77), is_free=True), ("freed", 9, 0)
        )
        self.assertEqual(
            self.kind(0x50_0000, TOP - 64, Place("stack", None, 9, 77), is_free=True), ("freed", 9, 0)
        )
        self.assertEqual(self.kind(0x50_0000, TOP - 64, Place("stack", None, 9, 77)), ("elsewhere", 9, 0))
        self.assertEqual(self.kind(0x50_0000, TOP - 64, Place("behind")), ("stranger", None, 0))
        self.assertEqual(self.kind(0x50_0000, TOP - 64, Place("registry"))[0], "registry")

    def test_a_frame_that_jumped_over_the_redzone(self):
        self.assertEqual(
            self.kind(LIMIT - 90000, LIMIT - 90000, Place("stack", None, 4, 5), jumped=6), ("jumped", 6, 0)
        )

    def test_outside(self):
        self.assertEqual(self.kind(0x10, TOP - 64)[0], "null")
        self.assertEqual(self.kind(0x7777_0000, TOP - 64)[0], "elsewhere")
        self.assertEqual(self.kind(None, TOP - 64)[0], "none")
        native = {"own": None, "native": (LIMIT, TOP)}
        self.assertEqual(self.kind(LIMIT - 8, LIMIT, **native), ("native overflow", None, 8))
        self.assertEqual(self.kind(LIMIT - 8, TOP - 4096, **native)[0], "elsewhere")
        self.assertEqual(self.kind(TOP + 8, TOP - 4096, **native)[0], "elsewhere")


class Weigh(unittest.TestCase):
    def test_recursion_frame_or_depth(self):
        kib = 1024
        recursion = [Stretch(("a", "b"), 200, 180 * kib), Stretch(("main",), 1, 10 * kib)]
        found = verdict.weigh(recursion, 192 * kib)
        self.assertEqual(
            (found.kind, found.functions, found.rounds, found.size), ("recursion", ("a", "b"), 200, 921)
        )
        frame = [Stretch(("big",), 1, 150 * kib), Stretch(("a",), 3, 30 * kib)]
        self.assertEqual(verdict.weigh(frame, 192 * kib).functions, ("big",))
        for stretches in (
            [Stretch((f"f{i}",), 1, 10 * kib) for i in range(19)],
            [Stretch(("a",), 49, 190 * kib)],
            [],
        ):
            self.assertEqual(verdict.weigh(stretches, 192 * kib).kind, "depth")

    def test_advice(self):
        recursion = verdict.Weight("recursion", ("a", "b", "a"), 100, 900, 90)
        most, stack = 8 << 20, 192 << 10
        self.assertEqual(verdict.advice(recursion, 0, stack, most),
                         "unbounded recursion: a bigger stack will not help; limit the depth of a/b")
        frame = verdict.Weight("frame", ("f",), 1, 300 << 10, 156)
        whole = verdict.advice(frame, 310 << 10, stack, most, True)
        self.assertIn("`f` has a frame of 300 KiB", whole)
        self.assertIn("stack_size(1024 * 1024)", whole)
        self.assertIn("more than 300 KiB", verdict.advice(frame, 310 << 10, stack, most, False))
        self.assertTrue(verdict.advice(frame, 9 << 20, stack, most, True).endswith("box it"))
        depth = verdict.Weight("depth")
        self.assertIn("stack_size(512 * 1024)", verdict.advice(depth, 200 << 10, stack, most))
        self.assertIn("no stack is larger", verdict.advice(depth, 8 << 20, 8 << 20, most))

    def test_advised_stacks_have_room_and_can_be_had(self):
        # As src/debug/crash/verdict.rs says it.
        for size, wanted in ((0, 64), (40 << 10, 128), (300 << 10, 1024), (3 << 20, 8192), (6 << 20, 8192),
                             (7 << 20, None), (1 << 64, None)):
            self.assertEqual(verdict.roomy(size, 8 << 20), wanted, size)

    def test_a_long_cycle_is_named_by_its_first_functions(self):
        self.assertEqual(verdict.cycle_in_words("abcab", "/"), "a/b/c")
        self.assertEqual(verdict.cycle_in_words("abcdef", " <-> "), "a <-> b <-> c <-> d <-> ...")

    def test_a_frame_that_is_being_probed_tells_its_size(self):
        lea = b"\x4c\x8d\x9c\x24" + (-(1 << 20)).to_bytes(4, "little", signed=True)
        sub = b"\x49\x89\xe3\x49\x81\xeb" + (1 << 21).to_bytes(4, "little")
        self.assertEqual(verdict.frame_being_made(b"\x90" + sub + b"\x48\x81\xec\x00\x10\x00\x00"), 1 << 21)
        self.assertEqual(
            verdict.frame_being_made(b"\x90" * 9 + lea + b"\x48\x81\xec\x00\x10\x00\x00"), 1 << 20
        )
        for code in (b"", b"\x90" * 64, lea[:6], b"\x4c\x8d\x9c\x24\x08\x00\x00\x00"):
            self.assertIsNone(verdict.frame_being_made(code))


LEAF, AGAIN, OUTER = function(0, 48), function(1, 592), function(2, 96)


class Report(unittest.TestCase):
    """Of a program that stands at a fault."""

    def report(
        self, address, sp=None, rounds=320, running=1, signal="SIGSEGV", states=("running", "parked", "free")
    ):
        image = Image()
        for i, state in enumerate(states):
            image.add(("victim", "other", "gone")[i], state=state)
        frames = [AGAIN] * rounds + [OUTER]
        sps = image.put_stack(1, [LEAF, *frames, (function(0xDF, 0)[0], 16)])
        image.records[0]["context"] = bytes(16)
        thread = port.Thread(1, 901, sps[0] if sp is None else sp, LEAF[0])
        self.top = image.stack_of(1)[1]
        self.sp = thread.sp
        its = StackPort(memory.RecordedMemory(image.pieces()), {SWITCH, LEAF, AGAIN, OUTER}, threads=[thread],
                        fault=(signal, address(self) if callable(address) else address, 1))
        its.starts_within = False
        frames_of = its._frames
        its._frames = lambda coroutine, at: frames_of(_At(sps[0], LEAF[0]), None)
        its.selected = 1
        self.session, self.port = session.Session(its), its
        COMMANDS["crash"].run(self.session, "")
        return its.text()

    def test_an_overflow_by_recursion(self):
        limit = REGION_STACKS + REDZONE
        text = self.report(limit - 176)
        lines = text.splitlines()
        self.assertEqual(lines[0], "coroutine #1 'victim' overflowed its stack")
        self.assertRegex(
            lines[1], f"  what      access at {limit - 176:#x}, 176 B below the stack, by "
        )
        self.assertIn("192 KiB", lines[2])
        self.assertIn("redzone 68 KiB", lines[2])
        self.assertIn("  spawned   src/app.rs:10, 1 min ago", text)
        self.assertIn(
            "  verdict   runaway recursion: app::f1, 320 rounds of 592 B = 185 KiB (96 % of the stack)", text
        )
        self.assertIn("  ... 318 more rounds of this frame (#2 to #319), 592 B a round", text)
        self.assertIn("biggest frames: app::f1 320 x 592 B = 185 KiB", text)
        self.assertIn("other coroutines: 1 alive\n", text)
        self.assertIn(
            "advice    unbounded recursion: a bigger stack will not help; limit the depth of app::f1", text
        )

    def test_a_stack_that_breaks_off_has_no_verdict(self):
        # The last frame that is found would be taken for all that lies above it.
        self.report(REGION_STACKS + REDZONE - 176)
        frames_of = self.port._frames
        self.port._frames = lambda coroutine, at: iter(list(frames_of(coroutine, at))[:1])
        COMMANDS["crash"].run(self.session, "")
        text = self.port.text()
        self.assertIn("  verdict   its stack can't be unwound: the executable is missing", text)
        self.assertIn("backtrace, innermost first (1 frame):\n  #0 ", text)
        for word in ("a large frame", "biggest frames", "advice"):
            self.assertNotIn(word, text)
        self.assertRegex(
            crash.one_line(self.session),
            r"^coroutine #1 'victim' overflowed its stack; its stack can't be unwound: .* \(access at 0x",
        )

    def test_one_in_its_own_redzone_uses_all_of_its_stack(self):
        self.report(REGION_STACKS + REDZONE - 176, sp=REGION_STACKS + REDZONE - 200)
        for name, line in (
            ("list", r"\*? +1  victim  running .* 192K/192K "),
            ("list -sort stack -limit 1", r"\*? +1  victim "),
            ("stacks", r" +1  victim  running  192K  192K  100.0 "),
            ("info victim", "stack .*, 192 KiB of 192 KiB in use"),
        ):
            name, _, rest = name.partition(" ")
            COMMANDS[name].run(self.session, rest)
            self.assertRegex(self.port.text(), line)

    def test_of_a_core_times_are_a_minimum(self):
        self.report(REGION_STACKS + REDZONE - 176)
        self.port._now = None
        its_session = session.Session(self.port)
        COMMANDS["crash"].run(its_session, "")
        self.assertRegex(self.port.text(), r"  spawned   src/app.rs:10, >")

    def test_the_line_at_a_stop(self):
        limit = REGION_STACKS + REDZONE
        self.report(limit - 176)
        line = crash.one_line(self.session)
        self.assertRegex(
            line,
            r"^coroutine #1 'victim' overflowed its stack: runaway recursion: app::f1, 320 rounds of 592 B = "
            r"185 KiB \(96 % of the stack\) \(access at 0x\w+, 176 B below the stack, "
            r"by app::f0 \(src/app.rs:7\)\); `coro crash` says more$",
        )
        self.port._fault = ("SIGSEGV", 0x8, 1)
        self.assertIsNone(crash.one_line(self.session))
        self.port._fault = None
        self.assertIsNone(crash.one_line(self.session))

    def test_wild_pointers(self):
        other_redzone = REGION_STACKS + STRIDE + REDZONE - 24
        sp = REGION_STACKS + STRIDE - 0x400
        self.assertIn("used a wild pointer: into its own redzone, 24 B below its stack",
                      self.report(REGION_STACKS + REDZONE - 24, sp=sp))
        # Just above its own top, which is the other's redzone.
        self.assertIn(
            "'victim' ran off the top of its stack, by 8 B",
            self.report(REGION_STACKS + STRIDE + 8, sp=sp),
        )
        gone = REGION_STACKS + 2 * STRIDE + REDZONE + 800
        self.assertIn(
            "used a freed stack: of coroutine #3 'gone', which has ended (spawned at src/app.rs:12)",
            self.report(gone, sp=sp),
        )
        text = self.report(other_redzone + STRIDE, sp=sp, states=("running", "parked", "parked"))
        self.assertIn("used a wild pointer: into the redzone of coroutine #3 'gone'", text)
        self.assertNotIn("advice", text)
        self.assertIn("into the coroutines' registry", self.report(RECORDS + 8, sp=sp))
        self.assertIn("used a null pointer", self.report(0x18, sp=sp))
        self.assertIn("no coroutine's redzone", self.report(0x7000_0000_0000, sp=sp))
        self.assertIn("got SIGABRT, which touched no memory", self.report(None, sp=sp, signal="SIGABRT"))

    def test_a_redzone_that_was_jumped_over(self):
        # The record of slot 1 says that it runs; the stack pointer is in slot 0, below slot 1's redzone.
        text = self.report(
            REGION_STACKS + REDZONE + 100, sp=REGION_STACKS + REDZONE + 100, states=("parked", "running")
        )
        self.assertIn("coroutine #2 'other' overflowed its stack, and jumped over its redzone", text)

    def test_a_stack_pointer_that_is_nowhere(self):
        # The runtime touches the redzone of one who is about to give way so.
        text = self.report(REGION_STACKS + REDZONE - 8, sp=0x7000_0000_0000)
        self.assertIn("coroutine #1 'victim' left its stack: its stack pointer is elsewhere", text)
        self.assertNotIn("in use", text)

    def test_no_fault_is_said_to_be_none(self):
        image = Image()
        image.add("a")
        its_session, _port = image.open()
        with self.assertRaisesRegex(CommandError, "there is no crash"):
            COMMANDS["crash"].run(its_session, "")


class _At:
    """Where the running one stands."""

    def __init__(self, sp, pc):
        self.context = sp, pc
