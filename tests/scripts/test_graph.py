"""Who waits for whom: edges, chains, circles, and what `coro why` and `coro deadlock` make of them."""

import random
import unittest

from image import NOW, SECOND, Image

import coro_debug.commands  # noqa: F401 (registers them)
from coro_debug import graph, port
from coro_debug.command import COMMANDS
from coro_debug.objects import PLAIN_THREAD


def say(image, line, **more):
    session, its = image.open(**more)
    name, _, rest = line.partition(" ")
    COMMANDS[name].run(session, rest)
    return its.text()


class Edges(unittest.TestCase):
    def test_certain_and_probable(self):
        somebody = {"coroutine": 9, "name": "", "has_ended": False}
        ended = {"coroutine": 9, "name": "", "has_ended": True}
        for wait, expected in (
                ({"reason": "join", "coroutine": 4, "name": "", "has_ended": False}, "#1 -> #4"),
                ({"reason": "join", "coroutine": 4, "name": "", "has_ended": True}, None),
                ({"reason": "mutex", "address": 1, "holder": somebody, "is_free": False}, "#1 -> #9"),
                ({"reason": "mutex", "address": 1, "holder": somebody, "is_free": True}, None),
                ({"reason": "mutex", "address": 1, "holder": ended}, None),
                ({"reason": "mutex", "address": 1, "holder": {"thread": 5}}, "#1 -> thread 5"),
                ({"reason": "mutex", "address": 1}, None),
                ({"reason": "send", "receivers": 1, "last_receiver": somebody}, "#1 -> #9 (probably)"),
                ({"reason": "send", "receivers": 2, "last_receiver": somebody}, None),
                ({"reason": "receive", "senders": 1, "last_sender": somebody}, "#1 -> #9 (probably)"),
                ({"reason": "receive", "senders": 1, "last_sender": None}, None),
                ({"reason": "read", "fd": 7}, None), (None, None)):
            edge = graph.edge_of(1, wait)
            self.assertEqual(repr(edge) if edge else None, expected, wait)


class Members(unittest.TestCase):
    def test_all_have_to_end_for_a_group_and_one_for_a_place(self):
        for reason, alive, expected in (
            ("group", 2, ["#1 -> #4", "#1 -> #5"]),
            ("place", 2, ["#1 -> #4 (probably)", "#1 -> #5 (probably)"]),
            ("place", 1, ["#1 -> #4", "#1 -> #5"]),
        ):
            wait = {"reason": reason, "family": "pool", "alive": alive, "members": [4, 5]}
            self.assertEqual([repr(edge) for edge in graph.edges_of(1, wait)], expected)
        self.assertEqual(graph.edges_of(1, None), [])

    def image(self, count, reason="group", kind="scope", room=0):
        """main waits for so many, which wait for a mutex that #2 has; #2 is one of them, and sleeps."""
        image = Image()
        members = list(range(2, 2 + count))
        image.add("main", reason=reason, value=image.put_family(kind, members[::-1], room))
        lock = image.put_mutex(owner=2)
        image.add("holder", reason="sleep", deadline=NOW + SECOND)
        for number in members[1:]:
            image.add(f"m{number}", reason="mutex", value=lock)
        return image

    def test_why_leads_to_the_members_that_are_alive(self):
        lines = say(self.image(7), "why main").splitlines()
        self.assertEqual(lines[0], "#1 'main' has waited 1.0 s: scope at src/app.rs:30 (7 alive)")
        self.assertEqual(lines[1:3], ["  #2 'holder' has waited 1.0 s: sleep, 1.0 s left",
                                      "    it goes on by itself when its time has come"])
        self.assertRegex(lines[3], r"^  #3 'm3' has waited 1.0 s: mutex 0x\w+ held by #2 'holder'$")
        self.assertEqual(lines[4], "    #2 'holder' has waited 1.0 s: sleep, 1.0 s left")
        self.assertEqual((lines[-1], len(lines)), ("  ... and 2 members more", 1 + 2 + 4 * 3 + 1))

    def test_one_of_a_pools_members_would_do(self):
        lines = say(self.image(2, "place", "pool", 2), "why main").splitlines()
        self.assertRegex(lines[0], r": place in pool 0x\w+ \(2 of 2 busy\)$")
        self.assertEqual(lines[1], "  probably #2 'holder' has waited 1.0 s: sleep, 1.0 s left")

    def test_a_circle_through_a_scope(self):
        image = Image()
        lock = image.put_mutex(owner=1)
        image.add("main", reason="group", value=image.put_family("scope", (2, 0, 3, 4)))
        image.add("idle", reason="sleep", deadline=NOW + SECOND)
        for name in "ab":
            image.add(name, reason="mutex", value=lock)
        text = say(image, "deadlock")
        # One circle, and not one for each member.
        self.assertEqual(text.count("deadlock: 2 coroutines wait for each other in a circle"), 1)
        self.assertIn("  #1 'main' has waited 1.0 s: scope at src/app.rs:30 (3 alive) (spawned at", text)
        self.assertIn("  #3 'a' has waited 1.0 s: mutex", text)
        self.assertNotIn("#4", text)
        self.assertEqual(say(image, "why 1").count("#1 'main' again: a deadlock"), 2)

    def test_a_member_of_two_is_told_once(self):
        image = Image()
        image.add("main", reason="group", value=image.put_family("group", (2, 3)))
        image.add("a", reason="group", value=image.put_family("group", (3,)))
        image.add("b", reason="sleep")
        self.assertEqual(say(image, "why 1").splitlines()[2:], [
            "    #3 'b' has waited 1.0 s: sleep, for ever", "      it sleeps for ever", "  #3 'b', as above"])

    def test_scopes_within_scopes_end_somewhere(self):
        image = Image()
        # Each is the one member of the scope for which the one before waits, in a circle of damage.
        for number in range(1, 200):
            image.add(f"n{number}", reason="group", value=image.put_family("scope", (number % 199 + 1,)))
        self.assertIn("... and 1 member more", say(image, "why 1"))
        self.assertIn("deadlock: 199 coroutines", say(image, "deadlock"))

    def test_what_threads_do_is_no_deadlock(self):
        for reason in ("offload", "future"):
            image = Image()
            image.add("main", reason="group", value=image.put_family("group", (2,)))
            image.add("worker", reason=reason)
            self.assertIn("no deadlock", say(image, "deadlock"))


class Info(unittest.TestCase):
    def info(self, **values):
        image = Image()
        family = image.put_family("pool", (1, 0), 2)
        timeouts = ((3, NOW + 5 * SECOND, 0), (4, NOW - SECOND, 1))
        image.add("one", reason="sleep", extra=image.put_extra(timeouts, family=family, shields=1), **values)
        return family, say(image, "info 1").splitlines()

    def test_to_whom_it_belongs_and_what_may_end_it(self):
        family, lines = self.info(requests=1 | 16 | 32)
        for line in (
            "requests      cancel, timeout, shield",
            f"member of     pool {family:#x} (1 of 2 busy), made at src/app.rs:30",
            "cancelled     held back by a shield; it unwinds at its first wait after that",
            "shielded      what is asked of it is held back",
            "timeouts      scope 3: 5.0 s left, held back by a shield",
            "              scope 4: 1.0 s late",
        ):
            self.assertIn(line, lines)

    def test_two_families_of_one_and_of_two_that_are_the_same_one(self):
        image = Image()
        pool, scope = image.put_family("pool", (1, 0), 2), image.put_family("scope", (1,))
        image.add("both", reason="sleep", extra=image.put_extra(family=pool, second_family=scope))
        image.add("leaves", reason="sleep", extra=image.put_extra(family=scope, second_family=scope))
        image.add("half", reason="sleep", extra=image.put_extra(family=0xdead0000, second_family=scope))
        of_pool, of_scope = f"pool {pool:#x} (1 of 2 busy), made at src/app.rs:30", "scope at src/app.rs:30 (1 alive)"
        both = say(image, "info 1").splitlines()
        at = both.index(f"member of     {of_pool}")
        self.assertEqual(both[at + 1], f"              {of_scope}")
        for number in (2, 3):
            text = say(image, f"info {number}")
            self.assertIn(f"member of     {of_scope}", text)
            self.assertEqual(text.count(of_scope), 1)

    def test_whether_it_unwinds(self):
        for requests, line in (
            (1, "cancelled     it is not unwinding yet: it does at its next wait, and if it has not begun it is not run"),
            (1 | 4, "unwinding     its values are being dropped, because of a cancel"),
            (4, "unwinding     its values are being dropped, because of a timeout"),
        ):
            self.assertIn(line, self.info(requests=requests)[1])

    def test_damage(self):
        image = Image()
        image.add("far", reason="sleep", extra=0xdead0000)
        image.add("many", reason="sleep", extra=image.put_extra(timeout_count=1 << 40, family=0xdead0000))
        for number in (1, 2):
            text = say(image, f"info {number}")
            self.assertIn("state         parked", text)
            self.assertNotIn("member of", text)
            self.assertNotIn("timeouts", text)


class Cycles(unittest.TestCase):
    def ids(self, pairs):
        return [
            [edge.waiter for edge in cycle] for cycle in graph.cycles([graph.Edge(a, b) for a, b in pairs])
        ]

    def test_all_are_found_each_once_from_its_lowest_id(self):
        self.assertEqual(
            self.ids([(3, 1), (1, 2), (2, 3), (9, 1), (7, 8), (8, 7), (5, 5), (4, 99)]),
            [[1, 2, 3], [5], [7, 8]],
        )
        self.assertEqual(self.ids([(1, 2), (2, 3), (3, 4)]), [])

    def test_against_a_plain_search(self):
        dice = random.Random(2)
        for _ in range(300):
            targets = {i: dice.randrange(12) for i in range(12) if dice.random() < 0.8}
            expected = set()
            for start in targets:
                at, path = start, []
                while at in targets and at not in path:
                    path.append(at)
                    at = targets[at]
                if at == start:
                    expected.add(frozenset(path))
            self.assertEqual({frozenset(cycle) for cycle in self.ids(targets.items())}, expected)

    def test_a_long_chain_costs_no_more_than_its_length(self):
        count = 100_000
        self.assertEqual(self.ids([(i, i + 1) for i in range(count)]), [])
        self.assertEqual(len(self.ids([(i, (i + 1) % count) for i in range(count)])[0]), count)

    def test_a_chain_ends_at_a_circle(self):
        targets = {1: 2, 2: 3, 3: 2}
        edges, again = graph.chain(1, lambda number: graph.Edge(number, targets[number]))
        self.assertEqual((len(edges), again), (3, 2))


class Why(unittest.TestCase):
    def image(self):
        image = Image()
        image.add("main", reason="join", value=2)
        image.add("worker", reason="mutex", value=image.put_mutex(owner=3))
        return image

    def test_it_ends_at_who_runs(self):
        image = self.image()
        busy = image.add("busy", state="running")
        _limit, top = image.stack_of(busy)
        text = say(image, "why main", threads=[port.Thread(2, 901, top - 64, 0)])
        self.assertEqual(text.splitlines()[0], "#1 'main' has waited 1.0 s: join #2 'worker'")
        self.assertRegex(
            text.splitlines()[1], r"^  #2 'worker' has waited 1.0 s: mutex 0x\w+ held by #3 'busy'$"
        )
        self.assertEqual(text.splitlines()[2:], ["    #3 'busy' is running on thread 2",
                                                 "      it runs: `coro bt 3` shows what it does"])

    def test_it_ends_where_nobody_can_be_named(self):
        for values, ending in (
            ({"reason": "read", "value": 7}, "it goes on when the kernel says that fd 7 is ready"),
            ({"reason": "sleep", "deadline": NOW + SECOND}, "it goes on by itself when its time has come"),
            ({"reason": "sleep"}, "it sleeps for ever"),
            ({"state": "ready"}, "it can go on: nothing holds it up"),
            ({"reason": "join", "value": 55}, "what it waits for has ended: it is about to be woken"),
            ({"state": "exited"}, "it has ended, and is about to wake who joins it"),
        ):
            image = self.image()
            image.add("last", **values)
            self.assertEqual(say(image, "why 1").splitlines()[-1].strip(), ending)

    def test_it_ends_at_a_plain_thread_and_at_a_channel(self):
        image = self.image()
        image.add("x", reason="mutex", value=image.put_mutex(owner=PLAIN_THREAD | 4711))
        self.assertIn("thread 4711, which runs none of the coroutines", say(image, "why 1"))
        image = self.image()
        image.add("x", reason="receive", value=image.put_channel(capacity=1, senders=3, last_sender=1))
        self.assertIn("whoever has one of the channel's 3 senders could act", say(image, "why 1"))
        image = self.image()
        image.add("x", reason="receive", value=image.put_channel(capacity=1, senders=1, last_sender=1))
        self.assertIn("      probably #1 'main' again: a deadlock", say(image, "why 1"))

    def test_a_circle_is_gone_through_once(self):
        image = self.image()
        image.add("third", reason="join", value=2)
        lines = say(image, "why 1").splitlines()
        self.assertEqual(len(lines), 4)
        self.assertEqual(lines[3], "      #2 'worker' again: a deadlock")


class Deadlock(unittest.TestCase):
    def circle(self, **more):
        image = Image()
        image.add("main", **more)
        for i, name in enumerate(("a", "b", "c")):
            image.add(name, reason="mutex", value=image.put_mutex(owner=2 + (i + 1) % 3))
        return image

    def test_a_circle_with_others_at_work(self):
        text = say(self.circle(state="ready"), "deadlock")
        self.assertIn("deadlock: 3 coroutines wait for each other in a circle\n", text)
        self.assertRegex(
            text, r"  #2 'a' has waited 1.0 s: mutex 0x\w+ held by #3 'b' \(spawned at src/app.rs:11\)\n"
        )
        self.assertNotIn("nobody can go on", text)
        self.assertNotIn("no deadlock", text)

    def test_all_is_stuck(self):
        text = say(self.circle(reason="join", value=2), "deadlock")
        self.assertIn("deadlock: 3", text)
        self.assertIn("nobody can go on", text)
        self.assertIn("  #1 'main' has waited 1.0 s: join #2 'a'\n", text)

    def test_stuck_without_a_circle(self):
        image = Image()
        image.add("main", reason="receive", value=image.put_channel(capacity=1, senders=1))
        image.add("io", kind="io", state="parked", reason="turn")
        self.assertIn("nobody can go on", say(image, "deadlock"))
        # Who waits for the kernel, for a time, or for a thread can be woken.
        for values in (
            {"reason": "read", "value": 3},
            {"reason": "sleep", "deadline": NOW + SECOND},
            {"state": "new"},
            {"reason": "mutex", "value": image.put_mutex(owner=PLAIN_THREAD | 9)},
        ):
            image.add("other", **values)
            text = say(image, "deadlock")
            image.records.pop()
            self.assertIn("no deadlock", text)
            self.assertNotIn("nobody can go on", text)

    def test_no_deadlock_names_who_has_waited_longest(self):
        image = Image()
        image.add("main", state="ready", age=9 * SECOND)
        image.add("young", reason="read", value=5, age=SECOND)
        image.add("old", reason="read", value=4, age=8 * SECOND)
        self.assertIn(
            "who has waited longest:\n  #3 'old' has waited 8.0 s: read fd 4\n", say(image, "deadlock")
        )

    def test_a_probable_circle_says_so(self):
        image = Image()
        image.add("a", reason="receive", value=image.put_channel(capacity=1, senders=1, last_sender=2))
        image.add("b", reason="join", value=1)
        self.assertIn("probably a deadlock: 2 coroutines", say(image, "deadlock"))
