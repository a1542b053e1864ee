"""A header or a table that has been overwritten: a sentence says what is wrong, and nothing else goes wrong."""

import struct

import damage
from damage import some_bytes


class Header(damage.Damage):
    def test_unharmed_it_says_nothing_odd(self):
        text = self.survives(self.pages, ["list"])
        self.assertIn("sleeper", text)
        self.assertNotIn("coro:", text)

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
