"""Repeats are found, and only repeats."""

import random
import unittest

from coro_debug.fold import Run, fold


class Fold(unittest.TestCase):
    def test_what_does_not_repeat_is_one_run(self):
        self.assertEqual(fold("abcdef"), [Run(0, 6, 1)])
        self.assertEqual(fold(""), [])

    def test_two_rounds_are_no_repeat(self):
        self.assertEqual(fold("xababy"), [Run(0, 6, 1)])

    def test_cycles_of_each_length(self):
        letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"
        for period in range(1, 33):
            for rounds in (3, 4, 100):
                keys = "<" + letters[:period] * rounds + ">"
                self.assertEqual(
                    fold(keys), [Run(0, 1, 1), Run(1, period, rounds), Run(1 + period * rounds, 1, 1)]
                )
        self.assertEqual(fold(letters[:33] * 5), [Run(0, 165, 1)])

    def test_a_round_that_is_cut_short_stays_outside(self):
        self.assertEqual(fold("abcabcabcab"), [Run(0, 3, 3), Run(9, 2, 1)])

    def test_of_several_cycles_the_one_that_covers_most_is_taken(self):
        # Three times `a`, or four times `aaab`.
        self.assertEqual(fold("aaabaaabaaabaaab"), [Run(0, 4, 4)])
        # Of equal ones the shortest.
        self.assertEqual(fold("a" * 12), [Run(0, 1, 12)])

    def test_runs_cover_everything_once(self):
        dice = random.Random(1)
        for _ in range(500):
            keys = [dice.randrange(3) for _ in range(dice.randrange(60))]
            at = 0
            for run in fold(keys):
                self.assertEqual(run.start, at)
                for i in range(run.start + run.period, run.end):
                    self.assertEqual(keys[i], keys[i - run.period])
                at = run.end
            self.assertEqual(at, len(keys))
