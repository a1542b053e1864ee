"""Numbers in words, and tables."""

import unittest

from coro_debug import text


class Words(unittest.TestCase):
    def test_durations(self):
        s = 10 ** 9
        for nanoseconds, words in (
            (0, "0 ns"),
            (999, "999 ns"),
            (1000, "1.0 us"),
            (1_230_000, "1.2 ms"),
            (999_960_000, "1.0 s"),
            (999_940_000, "999.9 ms"),
            (3_140_000_000, "3.1 s"),
            (59 * s, "59.0 s"),
            (60 * s, "1 min"),
            (59_960_000_000, "1 min"),
            (125 * s, "2 min 5 s"),
            (3600 * s, "1 h"),
            (7500 * s, "2 h 5 min"),
            (86400 * s, "1 d"),
            (100_000 * s, "1 d 3 h"),
            (2**64, "213,503 d 23 h"),
            (-1_200_000, "-1.2 ms"),
        ):
            self.assertEqual(text.duration(nanoseconds), words, nanoseconds)

    def test_sizes(self):
        for count, words in (
            (0, "0"),
            (1023, "1023"),
            (1024, "1K"),
            (2355, "2.3K"),
            (192 << 10, "192K"),
            (8 << 20, "8M"),
            (33 << 30, "33G"),
            (1 << 60, "1048576T"),
        ):
            self.assertEqual(text.size(count), words)
        for count, words in ((1, "1 B"), (1000, "1000 B"), (192 << 10, "192 KiB"), (3 << 19, "1.5 MiB")):
            self.assertEqual(text.size_in_words(count), words)

    def test_lists_and_names(self):
        self.assertEqual(text.listing(range(3)), "0, 1, 2")
        self.assertEqual(text.listing(range(11)), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...")
        self.assertEqual((text.who(3, "conn"), text.who(3, "")), ("#3 'conn'", "#3"))
        self.assertEqual((text.plural(1, "frame"), text.plural(1234, "frame")), ("1 frame", "1,234 frames"))


class Tables(unittest.TestCase):
    def test_columns_stand_below_each_other(self):
        table = text.Table(">ID", "NAME", ">AGE")
        table.add(7, "a", "1.0 s")
        table.add(12, "longer", "")
        self.assertEqual(table.text(), "ID  NAME      AGE\n 7  a       1.0 s\n12  longer\n")

    def test_lines_are_cut_at_the_screen(self):
        table = text.Table("A", "B")
        table.add("x" * 10, "y" * 10)
        self.assertEqual(table.text(15).splitlines()[1], "xxxxxxxxxx  ...")
        self.assertEqual(len(table.text(0).splitlines()[1]), 22)
