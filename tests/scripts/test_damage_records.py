"""Records, stacks and objects that have been overwritten: a sentence says what is wrong, and nothing else goes wrong."""

import random
import struct

import damage
from damage import CASES, LINES, Pages, some_bytes


class Records(damage.Damage):
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
