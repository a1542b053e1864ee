"""On real programs that wait, read by plain Python: the registry, the words, and stacks that a real compiler
has laid out."""

import json
import re
import unittest

from programs import Waiting

import coro_debug.commands  # noqa: F401 (registers them)
from coro_debug import backtrace, session
from coro_debug.command import COMMANDS
from coro_debug.walker import Walker


class Live(unittest.TestCase):
    name = None

    @classmethod
    def setUpClass(cls):
        if cls.name is None:
            raise unittest.SkipTest("a base of others")
        cls.program = Waiting(cls.name)
        cls.session, cls.port = cls.program.session, cls.program.port

    @classmethod
    def tearDownClass(cls):
        cls.program.close()

    def say(self, line):
        name, _, rest = line.partition(" ")
        session.guarded(lambda: COMMANDS[name].run(self.session, rest))
        return self.port.text()


class Parked(Live):
    name = "parked"

    def rows(self, line="list"):
        """name -> the rest of its row."""
        rows = [re.match(r"[* ] +(\d+)  (\S*) +(\S.*)", row) for row in self.say(line).splitlines()[1:-1]]
        return {row[2]: row[3] for row in rows}

    def test_each_says_what_it_waits_for(self):
        rows = self.rows()
        for name, words in (
            ("main", r"parked +sleep, for ever "),
            ("sleeper", r"parked +sleep, for ever "),
            ("locker", r"parked +mutex 0x\w+ "),
            ("joiner", r"parked +join #\d+ 'sleeper' "),
            ("receiver", r"parked +receive on channel 0x\w+ "),
            ("sender", r"parked +send on channel 0x\w+ "),
            ("acceptor", r"parked +accept fd \d+ "),
            ("reader", r"parked +read fd \d+ "),
            ("switch", "parked "),
            ("io", r"running +running on thread 1 "),
        ):
            self.assertRegex(rows[name], f"^{words}")
        registry = self.session.registry()
        if registry.layout.mutex is not None:
            self.assertRegex(rows["locker"], r"held by #\d+ 'sleeper'")
            self.assertRegex(rows["receiver"], r"\(empty, 1 sender\)")
            self.assertRegex(rows["sender"], r"\(1 of 1 full\)")
            self.assertRegex(rows["reader"], r"-> 127\.0\.0\.1:\d+")

    def test_each_is_where_its_function_waits(self):
        rows = self.rows()
        for name in ("locker", "joiner", "receiver", "sender", "acceptor", "reader"):
            self.assertRegex(
                rows[name], r"parked::park_all::\{\{closure\}\}.* at \S*tests/programs/parked\.rs:\d+$"
            )
        self.assertRegex(rows["sleeper"], r"parked::sleep_with.* at \S*tests/programs/parked\.rs:\d+$")
        self.assertRegex(rows["main"], r"parked::park_all at \S*tests/programs/parked\.rs:\d+$")

    def test_filters(self):
        self.assertEqual(
            set(self.rows("list -wait io")) & {"acceptor", "reader", "locker"}, {"acceptor", "reader"}
        )
        self.assertEqual(set(self.rows("list -fn sleep_with")), {"sleeper"})
        self.assertEqual(set(self.rows("list -kind io")), {"io"})
        self.assertIn("no coroutine passes", self.say("list -older 1d"))

    def test_a_backtrace_goes_from_the_switch_to_the_entry(self):
        text = self.say("bt locker")
        self.assertRegex(text.splitlines()[0], r"^coroutine #\d+ 'locker', parked for .*: mutex 0x\w+")
        functions = re.findall(r"^#\d+ +(\S+) \(", text, re.M)
        self.assertTrue(functions[0].endswith("::switch"), functions)
        self.assertTrue(functions[-1].endswith("::entry"), functions)
        self.assertIn("coro::sync::mutex::Mutex<..>::lock", functions)

    def test_the_walker_agrees_with_unwinding(self):
        registry = self.session.registry()
        walker = Walker(self.port, registry)
        for coroutine in registry.coroutines() * 2:
            with self.port.open_stack(coroutine) as stack:
                exact = tuple(frame.pc for frame in stack if not frame.is_inlined)
            self.assertEqual(walker.chain(coroutine), exact, coroutine.name)
        # The second time all but those without an entry, main and the running one, need nobody.
        self.assertGreaterEqual(walker.walked, len(registry.coroutines()) - 2)

    def test_saved_registers_lead_to_the_caller(self):
        registry = self.session.registry()
        coroutine = registry.by_name("reader")[0]
        with self.port.open_stack(coroutine) as stack:
            frames = [frame for frame in stack if not frame.is_inlined]
        registers = coroutine.saved_registers()
        numbers = {register.name: register.extra for register in registry.layout.registers}
        self.assertEqual((registers[numbers["rip"]], registers[numbers["rsp"]]), (frames[1].pc, frames[1].sp))

    def test_the_snapshot_has_the_same(self):
        written = []
        from coro_debug import snapshot
        snapshot.write_json(
            self.session.registries(), self.session.frames, written.append, self.port.progress
        )
        whole = json.loads("".join(written))["runtimes"][0]
        by_name = {coroutine["name"]: coroutine for coroutine in whole["coroutines"]}
        self.assertEqual(by_name["reader"]["wait"]["reason"], "read")
        functions = [frame["function"] for frame in whole["backtraces"][by_name["reader"]["backtrace"]]]
        self.assertTrue(any("Read>::read" in function for function in functions), functions)

    def test_addresses(self):
        coroutine = self.session.registry().by_name("reader")[0]
        self.assertIn(f"coroutine #{coroutine.id} 'reader', redzone, 40 B below its stack",
                      self.say(f"addr {coroutine.stack_limit - 40:#x}"))
        main = self.session.registry().by_name("main")[0]
        self.assertIn("which runs on the native stack of worker 0", self.say(f"addr {main.context[0]:#x}"))


class Deep(Live):
    name = "deep"

    def both(self, name):
        """The backtrace as it is taken, and with every frame asked for; and how many frames were asked
        for."""
        coroutine = self.session.registry().by_name(name)[0]

        def render(frame):
            return [f"#{frame.level} {frame.location.function}"]
        before = self.port.frames_unwound
        fast = backtrace.take(self.port, coroutine, render)
        asked = self.port.frames_unwound - before
        exact = backtrace.take(self.port, coroutine, render, is_exact=True)
        return fast, exact, asked

    def test_deep_recursions_are_shown_as_if_each_frame_had_been_asked_for(self):
        for name, frames in (("plain", 20_000), ("mutual", 20_000), ("aligned", 5_000)):
            fast, exact, asked = self.both(name)
            self.assertTrue(fast.is_complete, name)
            self.assertEqual(fast.count, exact.count, name)
            self.assertEqual(fast.lines[-1], exact.lines[-1], name)
            self.assertEqual(fast.lines[:8], exact.lines[:8], name)
            self.assertGreater(fast.count, frames)
            self.assertLess(asked, 400, name)

    def test_what_varies_is_asked_for(self):
        for name in ("uneven", "nested", "shallow"):
            fast, exact, _asked = self.both(name)
            self.assertTrue(fast.is_complete, name)
            self.assertEqual((fast.count, fast.lines[-1]), (exact.count, exact.lines[-1]), name)

    def test_the_walker_agrees_with_unwinding(self):
        registry = self.session.registry()
        walker = Walker(self.port, registry)
        for coroutine in registry.coroutines():
            with self.port.open_stack(coroutine) as stack:
                exact = tuple(frame.pc for frame in stack if not frame.is_inlined)
            self.assertEqual(walker.chain(coroutine), exact, coroutine.name)
