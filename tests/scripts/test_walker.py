"""Stacks are walked by what was learnt of others: as they are, or by the debugger."""

import random
import unittest

from stacks import ENTRY, SWITCH, function, open_stacks

from coro_debug.walker import Walker

READ, LOCK, HANDLE, SERVE = function(1, 48), function(2, 112), function(3, 64), function(4, 200)


def truth(frames):
    return tuple(pc for pc, _ in (SWITCH, *frames, (ENTRY, 0)))


class Walking(unittest.TestCase):
    def walk(self, stacks, **more):
        session, its, _image = open_stacks(stacks, **more)
        registry = session.registry()
        walker = Walker(its, registry)
        for coroutine, frames in zip(registry.coroutines(), stacks):
            self.assertEqual(walker.chain(coroutine), truth(frames), coroutine.id)
        return walker

    def test_alike_stacks_are_unwound_once(self):
        walker = self.walk([[READ, SERVE]] * 50)
        self.assertEqual((walker.exact, walker.walked), (1, 49))

    def test_new_orders_of_known_functions_need_no_debugger(self):
        walker = self.walk(
            [[READ, SERVE], [LOCK, HANDLE], [READ, HANDLE], [LOCK, SERVE], [READ, HANDLE, SERVE], [SERVE]]
        )
        self.assertEqual((walker.exact, walker.walked), (2, 4))

    def test_many_shapes_at_random(self):
        dice = random.Random(3)
        functions = [function(i, 16 + 8 * dice.randrange(40)) for i in range(20)]
        stacks = [[dice.choice(functions) for _ in range(dice.randrange(1, 9))] for _ in range(400)]
        walker = self.walk(stacks)
        self.assertLess(walker.exact, 25)

    def test_a_frame_that_has_two_sizes_is_never_guessed_by(self):
        stacks = [[READ, SERVE], [READ, SERVE], [LOCK, SERVE], [READ, SERVE], [LOCK, SERVE], [LOCK, HANDLE]]
        other = READ[0], READ[1] + 32
        stacks[1] = [other, SERVE]
        session, its, image = open_stacks(stacks)
        registry = session.registry()
        # The debugger knows the true size of each.
        its._sizes[READ[0]] = READ[1]
        its._lies[registry.by_id(2).context[0] + SWITCH[1]] = other[1]
        walker = Walker(its, registry)
        chains = [walker.chain(coroutine) for coroutine in registry.coroutines()]
        self.assertEqual(chains, [truth(frames) for frames in stacks])
        # The second one taught that READ varies: the fourth was unwound, LOCK's others were not.
        self.assertEqual((walker.exact, walker.walked), (5, 1))

    def test_a_size_that_leads_to_nowhere_is_unwound(self):
        stacks = [[READ, SERVE], [READ, SERVE]]
        session, its, image = open_stacks(stacks)
        registry = session.registry()
        second = registry.by_id(2)
        sp = second.context[0]
        # Its return address is one that was never seen.
        data = bytearray(image.stacks[sp])
        data[SWITCH[1] + READ[1] - 8:SWITCH[1] + READ[1]] = function(9, 0)[0].to_bytes(8, "little")
        image.stacks[sp] = bytes(data)
        its._memory = type(its._memory)(image.pieces())
        its._sizes[function(9, 0)[0]] = SERVE[1]
        session.__init__(its)
        registry = session.registry()
        walker = Walker(its, registry)
        self.assertEqual(walker.chain(registry.by_id(1)), truth(stacks[0]))
        self.assertEqual(walker.chain(registry.by_id(2)), (SWITCH[0], READ[0], function(9, 0)[0], ENTRY))
        self.assertEqual(walker.exact, 2)

    def test_a_chain_counts_only_if_it_ends_at_a_coroutines_first_frame(self):
        session, its, image = open_stacks([[READ, SERVE], [READ, SERVE]])
        registry = session.registry()
        sp = registry.by_id(2).context[0]
        # The word at the end is not the start function's address: an old frame of entry's, perhaps.
        data = bytearray(image.stacks[sp])
        end = SWITCH[1] + READ[1] + SERVE[1]
        data[end:end + 8] = (0x1234).to_bytes(8, "little")
        image.stacks[sp] = bytes(data)
        its._memory = type(its._memory)(image.pieces())
        session.__init__(its)
        registry = session.registry()
        walker = Walker(its, registry)
        for number in (1, 2):
            walker.chain(registry.by_id(number))
        self.assertEqual((walker.exact, walker.walked), (2, 0))

    def test_a_chain_that_ends_far_below_the_top_does_not_count(self):
        # What a coroutine's first frame looks like, in the middle of a stack.
        stacks = [[READ, SERVE], [READ, SERVE], [SERVE]]
        session, its, image = open_stacks(stacks)
        for number in (2, 3):
            sp = session.registry().by_id(number).context[0]
            image.stacks[sp] += bytes(0x8000)
            image.records[number - 1]["stack_top"] += 0x8000
        its._memory = type(its._memory)(image.pieces())
        session.__init__(its)
        registry = session.registry()
        walker = Walker(its, registry)
        for coroutine, frames in zip(registry.coroutines(), stacks):
            self.assertEqual(walker.chain(coroutine), truth(frames))
        self.assertEqual((walker.exact, walker.walked), (3, 0))

    def test_a_stack_that_cannot_be_read_has_no_chain(self):
        session, its, image = open_stacks([[READ], [READ]])
        sp = session.registry().by_id(2).context[0]
        its._memory = type(its._memory)([piece for piece in image.pieces() if piece[0] != sp])
        session.__init__(its)
        registry = session.registry()
        walker = Walker(its, registry)
        walker.chain(registry.by_id(1))
        self.assertEqual(walker.chain(registry.by_id(2)), (SWITCH[0],))

    def test_deep_stacks_are_walked_too(self):
        frames = [READ] + [HANDLE, LOCK] * 800 + [SERVE]
        walker = self.walk([frames, frames, [READ, *[HANDLE, LOCK] * 700, SERVE]])
        self.assertEqual((walker.exact, walker.walked), (1, 2))


class Groups(unittest.TestCase):
    def test_alike_coroutines_are_one_group(self):
        import coro_debug.commands  # noqa: F401
        from coro_debug.command import COMMANDS
        session, its, _image = open_stacks([[READ, SERVE]] * 30 + [[LOCK, SERVE]] * 12 + [[LOCK]])
        COMMANDS["group"].run(session, "")
        lines = its.text().splitlines()
        self.assertEqual(
            lines[0], "30 coroutines (69.8 %), oldest 1.0 s: #1, #2, #3, #4, #5, #6, #7, #8, #9, #10, ..."
        )
        self.assertEqual(
            lines[1:4],
            [
                "    #0  app::switch at src/app.rs:7",
                "    #1  app::f1 at src/app.rs:7",
                "    #2  app::f4 at src/app.rs:7",
            ],
        )
        self.assertEqual(lines[-1], "43 coroutines in 3 groups")
        self.assertEqual(its.opened, 2 + 0)
