"""Filters: what they take, whom they let pass, and what they say of a mistake."""

import re
import unittest

from image import NOW, SECOND, Image

import coro_debug.commands  # noqa: F401 (registers them)
from coro_debug import options
from coro_debug.command import COMMANDS
from coro_debug.port import CommandError


def ids(line, image):
    session, _port = image.open()
    registry = session.registry()
    chosen = options.check(options.parse(line), registry)
    return [coroutine.id for coroutine in registry.coroutines() if chosen.matches(coroutine)]


class Filters(unittest.TestCase):
    def setUp(self):
        self.image = Image()
        self.image.add("main", kind="main", reason="sleep", worker=1, age=9 * SECOND)
        self.image.add("conn 1", reason="read", value=7)
        self.image.add("conn 2", reason="mutex", value=0x1234, age=2 * SECOND)
        self.image.add("conn 3", state="ready", reason="read", value=7)
        self.image.add("", reason="accept", value=7, deadline=NOW)

    def test_each_lets_pass_whom_it_names(self):
        for line, expected in (
            ("", [1, 2, 3, 4, 5]),
            ("-state ready", [4]),
            ("-wait read", [2]),
            ("-wait io", [2, 5]),
            ("-wait fd 7", [2, 5]),
            ("-fd 0x7", [2, 5]),
            ("-fd 8", []),
            ("-name 'conn [13]'", [2, 4]),
            ("-name ^$", [5]),
            ("-older 2s", [1, 3]),
            ("-older 1500ms", [1, 3]),
            ("-worker 1", [1]),
            ("-kind main", [1]),
            ("-spawned app.rs:11", [2, 5]),
            ("--state parked -wait mutex", [3]),
            ("-state switching", []),
        ):
            self.assertEqual(ids(line, self.image), expected, line)

    def test_lengths_of_time(self):
        for words, nanoseconds in (
            ("5", 5 * SECOND),
            ("5s", 5 * SECOND),
            ("1.5ms", 1_500_000),
            ("100us", 100_000),
            ("7ns", 7),
            ("3min", 180 * SECOND),
            ("2h", 7200 * SECOND),
            ("1d", 86400 * SECOND),
        ):
            self.assertEqual(options.duration(words), nanoseconds)

    def test_a_mistake_is_told_with_what_would_be_good(self):
        for line, words in (
            ("-stat parked", r"no filter `-stat`.*-state, -wait.*-runtime"),
            ("parked", r"`parked` is no filter.*-state"),
            ("-state", r"-state. wants something.*ready"),
            ("-state sleeping", r"parked, running, ready, new, switching, lost"),
            ("-wait foo", r"io, fd N, sleep, read"),
            ("-kind user2", r"user, main, switch, io"),
            ("-name (", r"no regular expression"),
            ("-older soon", r"5s, 3min"),
            ("-limit x", r"no whole number"),
            ("-limit -3", r"no whole number"),
            ("-sort size", r"age, stack, id"),
            ("-wait fd", r"number behind it"),
            ("-name 'a", r"can't be taken apart"),
        ):
            with self.assertRaises(CommandError) as caught:
                ids(line, self.image)
            self.assertRegex(str(caught.exception), words)
            self.assertNotIn("\n", str(caught.exception))

    def test_a_command_takes_what_its_help_has_and_no_more(self):
        for line, words in (
            ("bt 2 -state parked", r"no option `-state` here; there are -full, -raw, -limit, -runtime$"),
            ("tree 2 3", r"takes one id or name"),
            ("tree -state parked", r"no option `-state` here; there are -limit, -runtime$"),
            ("thread 0 1", r"takes one number"),
            ("addr -1", r"no option `-1` here; there is -runtime$"),
            ("deadlock -state x", r"no option `-state` here"),
            ("deadlock 2", r"`2` is no option; there is -runtime$"),
            ("dump -state bogus /tmp/none", r"no option `-state` here; there are -json, -runtime$"),
            ("dump -limit", r"no option `-limit` here"),
            ("group -sort age", r"no filter `-sort`; there are -all, -state"),
        ):
            session, _port = self.image.open()
            name, _, rest = line.partition(" ")
            with self.assertRaisesRegex(CommandError, words):
                COMMANDS[name].run(session, rest)

    def test_no_limit_is_the_limit_0(self):
        for name in ("list", "list -name .", "group spawn", "stacks", "tree"):
            said = []
            for limit in ("", " -limit 0", " -limit 100"):
                session, its = self.image.open()
                command, _, rest = (name + limit).partition(" ")
                COMMANDS[command].run(session, rest)
                said.append(its.text())
            self.assertEqual(said, said[:1] * 3, name)

    def test_help_names_every_filter(self):
        taken = set(re.findall(r'"(-[a-z]+)"', open(options.__file__, encoding="utf-8").read()))
        self.assertEqual(taken - set(options._NAMES), set())

    def test_own_words_stay(self):
        parsed = options.parse("-full 12 -limit 3", switches=("-full",), takes_rest=True)
        self.assertEqual((parsed.switches, parsed.rest, parsed.limit), ({"-full"}, ["12"], 3))
