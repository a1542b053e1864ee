"""Backtraces of deep stacks: the same as frame by frame, with few frames asked for."""

import random
import unittest

from stacks import SWITCH, function, open_stacks, save_rbx

from coro_debug import backtrace, memory, session as session_

LEAF, A, B, C, OUTER, MAIN = (function(i, size) for i, size in enumerate((40, 144, 96, 208, 72, 120)))


def lines_of(its, coroutine, **more):
    def render(frame):
        return [f"#{frame.level} {frame.location.function}"]
    return backtrace.take(its, coroutine, render, **more)


class Deep(unittest.TestCase):
    def compare(self, frames, most=None, **more):
        """The folded backtrace is the one of a debugger that is asked for each frame."""
        session, its, _image = open_stacks([frames], **more)
        coroutine = session.registry().by_id(1)
        fast = lines_of(its, coroutine, names=lambda frame: frame.location.function)
        asked, starts = its.unwound, its.starts
        its.starts_within = False
        exact = lines_of(its, coroutine, names=lambda frame: frame.location.function)
        self.assertEqual((fast.count, fast.is_complete), (exact.count, True))
        self.assertEqual(expand(fast), expand(exact))
        self.assertEqual(
            sum(stretch.size for stretch in fast.stretches), sum(stretch.size for stretch in exact.stretches)
        )
        if most is not None:
            self.assertLess(asked, most)
            self.assertEqual(starts, 1)
        return fast

    def test_a_recursion_is_followed_in_memory(self):
        fast = self.compare([LEAF] + [A] * 1000 + [OUTER, MAIN], most=300)
        self.assertEqual(
            fast.lines,
            [
                "#0 app::switch",
                "#1 app::f0",
                "#2 app::f1",
                "... 998 more rounds of this frame (#3 to #1000), 144 B a round",
                "#1001 app::f1",
                "#1002 app::f4",
                "#1003 app::f5",
                "#1004 app::entry",
            ],
        )

    def test_of_several_functions(self):
        for cycle in ([A, B], [A, B, C], [A, A, B], [A, B, A, C]):
            self.compare([LEAF] + cycle * 200 + [OUTER, MAIN], most=400)
            # Which ends in the midst of a round.
            self.compare([LEAF] + cycle * 200 + cycle[:-1] + [MAIN], most=400)
            self.compare([LEAF, MAIN] + cycle * 200, most=400)

    def test_one_below_another(self):
        self.compare([LEAF] + [A] * 500 + [OUTER] + [B, C] * 100 + [MAIN])

    def test_inlined_functions_are_counted(self):
        fast = self.compare([LEAF] + [A, B] * 300 + [MAIN], most=300, inlined=[B[0]])
        self.assertIn(
            "... 298 more rounds of these 3 frames (#5 to #898), 240 B a round", fast.lines
        )

    def test_what_never_repeats_is_asked_for(self):
        dice = random.Random(4)
        self.compare([LEAF] + [dice.choice((A, B)) for _ in range(900)] + [MAIN])

    def test_frames_of_varying_size_are_asked_for(self):
        frames = [LEAF] + [A] * 400 + [MAIN]
        session, its, image = open_stacks([frames])
        # One in the middle of what is looked at has more: the shape of a round is not constant.
        wide = list(frames)
        wide[50] = A[0], A[1] + 64
        session, its, image = open_stacks([wide])
        its._sizes[A[0]] = A[1]
        coroutine = session.registry().by_id(1)
        sp = coroutine.context[0]
        its._lies[sp + SWITCH[1] + LEAF[1] + 49 * A[1]] = A[1] + 64
        found = lines_of(its, coroutine)
        self.assertEqual((found.count, found.is_complete), (404, True))

    def test_a_wider_frame_further_out_ends_the_recursion_there(self):
        wide = [LEAF] + [A] * 400 + [(A[0], A[1] + 64)] + [A] * 400 + [MAIN]
        session, its, _image = open_stacks([wide])
        its._sizes[A[0]] = A[1]
        coroutine = session.registry().by_id(1)
        its._lies[coroutine.context[0] + SWITCH[1] + LEAF[1] + 400 * A[1]] = A[1] + 64
        found = lines_of(its, coroutine)
        self.assertEqual((found.count, found.is_complete), (805, True))

    def test_what_does_not_come_to_the_first_frame_is_asked_for_again(self):
        session, its, _image = open_stacks([[LEAF] + [A] * 1000 + [OUTER, MAIN]])
        frames = its._frames
        # A debugger that loses its way when it begins in the middle.
        its._frames = lambda coroutine, at: (
            iter(list(frames(coroutine, at))[:3]) if at else frames(coroutine, at)
        )
        found = lines_of(its, session.registry().by_id(1))
        self.assertEqual((found.count, found.is_complete), (1005, True))
        self.assertEqual(found.lines[-1], "#1004 app::entry")

    def test_limits_leave_out_the_middle(self):
        session, its, _image = open_stacks([[LEAF] + [function(20 + i, 32) for i in range(200)] + [MAIN]])
        found = lines_of(its, session.registry().by_id(1), limit=8)
        self.assertEqual(
            found.lines,
            [
                *(
                    f"#{i} app::{name}"
                    for i, name in enumerate(("switch", "f0", *map("f{}".format, range(20, 24))))
                ),
                "... 196 frames (#6 to #201) left out: `-limit 0` shows all",
                "#202 app::f5",
                "#203 app::entry",
            ],
        )


    def test_limits_of_a_recursion(self):
        session, its, _image = open_stacks([[LEAF] + [A] * 1000 + [OUTER, MAIN]])
        coroutine = session.registry().by_id(1)
        rounds = "... 998 more rounds of this frame (#3 to #1000), 144 B a round"
        inner, outer = ["#0 app::switch", "#1 app::f0", "#2 app::f1"], ["#1003 app::f5", "#1004 app::entry"]

        def left_out(first, last):
            return f"... {last - first + 1:,} frames (#{first} to #{last}) left out: `-limit 0` shows all"

        for limit, expected in (
            (1, [*inner[:1], left_out(1, 1004)]),
            (2, [*inner[:2], left_out(2, 1004)]),
            (3, [*inner, rounds, left_out(1001, 1004)]),
            (4, [*inner, rounds, left_out(1001, 1003), outer[1]]),
        ):
            for starts_within in (True, False):
                its.starts_within = starts_within
                self.assertEqual(lines_of(its, coroutine, limit=limit).lines, expected, limit)


class Registers(unittest.TestCase):
    """What lies further out may be found only with a callee-saved register, which is somewhere in the
    recursion."""

    def stack(self, frames, saved, saving, needing):
        """`saved`: {place: rbx as that frame has saved it}; each is the stack pointer of the frame that needs
        it."""
        session, its, image = open_stacks([frames])
        sp = session.registry().by_id(1).context[0]
        sps, at = [], sp
        for _pc, size in [SWITCH, *frames]:
            sps.append(at)
            at += size
        sps.append(at)
        save_rbx(image, 1, frames, {place: sps[which] for place, which in saved.items()})
        its._memory = memory.RecordedMemory(image.pieces())
        its._saving, its._needing = set(saving), set(needing)
        return session_.Session(its), its

    def test_saved_by_each_round(self):
        # Each A saves its caller's rbx, which is that one's stack pointer: a frame pointer.
        frames = [LEAF] + [A] * 600 + [OUTER, MAIN]
        session, its = self.stack(frames, {i: i + 1 for i in range(2, 602)}, [A[0]], [OUTER[0]])
        found = lines_of(its, session.registry().by_id(1))
        self.assertEqual((found.count, found.is_complete), (605, True))
        self.assertLess(its.unwound, 300)

    def test_saved_by_one_of_two(self):
        frames = [LEAF] + [A, B] * 300 + [OUTER, MAIN]
        saved = {i: i + 2 for i in range(2, 600, 2)}
        saved[600] = 602
        session, its = self.stack(frames, saved, [A[0]], [OUTER[0]])
        found = lines_of(its, session.registry().by_id(1))
        self.assertEqual((found.count, found.is_complete), (605, True))
        self.assertLess(its.unwound, 300)

    def test_not_touched_at_all(self):
        frames = [LEAF] + [A] * 600 + [OUTER, MAIN]
        session, its = self.stack(frames, {1: 602}, [LEAF[0]], [OUTER[0]])
        found = lines_of(its, session.registry().by_id(1))
        self.assertEqual((found.count, found.is_complete), (605, True))
        self.assertLess(its.unwound, 300)


def expand(found):
    """What was found, without regard to which rounds of a recursion are shown: stretches joined where they
    are alike."""
    joined = []
    for stretch in found.stretches:
        functions, rounds = stretch.functions, stretch.rounds
        joined += list(functions) * rounds
    return joined
