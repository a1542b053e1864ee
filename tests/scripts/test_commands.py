"""What the commands print: columns, words, forms."""

import json
import os
import tempfile
import unittest

from image import NOW, SECOND, Image, ImagePort
from stacks import function, open_stacks

import coro_debug.commands  # noqa: F401 (registers them)
from coro_debug import memory, port, session, source
from coro_debug.command import COMMANDS
from coro_debug.greeting import greeting
from coro_debug.port import CommandError, Location


def say(image, line, **more):
    its_session, its = image.open(**more)
    return run(its_session, its, line)


def run(its_session, its, line):
    name, _, rest = line.partition(" ")
    session.guarded(lambda: COMMANDS[name].run(its_session, rest))
    return its.text()


class List(unittest.TestCase):
    def test_columns(self):
        image = Image()
        image.add("main", kind="main", reason="join", value=3, age=9 * SECOND)
        busy = image.add("busy", state="running", parent=1, used=0x930)
        image.add("", state="ready", flags=("lent",), parent=2, worker=0xFFFF_FFFF, age=2_000_000)
        _limit, top = image.stack_of(busy)
        text = say(image, "list", threads=[port.Thread(2, 901, top - 0x930, 0)], selected=2)
        self.assertEqual(text, """\
   ID  NAME  STATE         WAITS FOR               AGE  WORKER  PARENT      STACK  FRAME
    1  main  parked        join #3               9.0 s       0            1K/192K  -
*   2  busy  running       running on thread 2   1.0 s       0       1  2.3K/192K  -
    3        ready (lent)                       2.0 ms               2    1K/192K  -
3 coroutines: 1 parked, 1 running, 1 ready
""")

    def test_orders_and_limits(self):
        image = Image()
        for number, age, used in ((30, 5, 0x100), (10, 9, 0x200), (20, 1, 0x300)):
            image.add(f"c{number}", id=number, age=age * SECOND, used=used)
        for line, expected in (
            ("list", [10, 20, 30]),
            ("list -sort age", [10, 30, 20]),
            ("list -sort stack", [20, 10, 30]),
            ("list -sort id -limit 2", [10, 20]),
            ("list -limit 1 -sort age", [10]),
        ):
            lines = say(image, line).splitlines()
            self.assertEqual([int(row.split()[0]) for row in lines[1:-1]], expected, line)
        self.assertEqual(say(image, "list -limit 2").splitlines()[-1], "showing 2 of 3 coroutines: 3 parked")

    def test_nobody(self):
        image = Image()
        image.add("a")
        self.assertEqual(say(image, "list -name b"), "no coroutine passes the filters\n")
        image.records[0]["state"] = 0
        self.assertEqual(say(image, "list"), "there are no coroutines\n")

    def test_the_frame_is_the_users_first_one(self):
        its_session, its, _image = open_stacks([[function(1, 48), function(2, 64)]])
        place = {function(1, 0)[0]: "/home/u/coro/src/park.rs", function(2, 0)[0]: "/home/v/app/src/app.rs"}
        its.symbolize = lambda pc, _: (
            [Location("app::serve::h0123456789abcdef", "src/app.rs", 7, place[pc])] if pc in place else []
        )
        self.assertTrue(
            run(its_session, its, "list").splitlines()[1].endswith("  app::serve at src/app.rs:7")
        )

    def test_one_function_among_all_stacks(self):
        its_session, its, _image = open_stacks([[function(1, 48)], [function(2, 64)], [function(1, 48)]])
        text = run(its_session, its, "list -fn app::f1$")
        self.assertEqual([int(line.split()[0]) for line in text.splitlines()[1:-1]], [1, 3])

    def test_names_in_any_script(self):
        image = Image()
        image.add("Grüße €")
        self.assertIn("Grüße €", say(image, "list"))

    def test_a_program_without_a_runtime(self):
        its = ImagePort(memory.RecordedMemory([]))
        its.header_addresses = lambda: []
        with self.assertRaisesRegex(CommandError, "no coro runtime"):
            COMMANDS["list"].run(session.Session(its), "")
        image = Image()
        image.add("a")
        with self.assertRaisesRegex(CommandError, "no runtime 2: this program has 1"):
            say(image, "list -runtime 2")


class Source(unittest.TestCase):
    def test_whose_a_place_is(self):
        def is_users(file, path=None, line=1):
            return source.is_users(Location("f", file, line, path), "/home/u/coro/src/", ["main.rs", "demo/"])
        for file, path, expected in (
            ("src/app.rs", "/home/v/app/src/app.rs", True),
            ("src/scheduler/park.rs", "/home/u/coro/src/scheduler/park.rs", False),
            ("src/demo/park.rs", "/home/u/coro/src/demo/park.rs", True),
            ("src/main.rs", "/home/u/coro/src/main.rs", True),
            ("src/demo.rs", "/home/u/coro/src/demo.rs", False),
            ("src/park.rs", None, False),
            ("tests/park.rs", None, True),
            ("/rustc/0123abc/library/std/src/panic.rs", None, False),
            ("/home/u/.cargo/registry/src/index-1/crossbeam-deque-0.8.8/src/deque.rs", None, False),
            ("/home/u/.cargo/registry/src/index-1/crossbeam-deques-0.8.8/src/deque.rs", None, True),
            ("/home/u/.cargo/registry/src/index-1/rustix-1.1.6/src/net/send_recv/mod.rs", None, False),
            ("/home/u/.cargo/registry/src/index-1/nix-0.31.1/src/poll.rs", None, False),
            ("library/core/src/ops/function.rs", None, False),
            ("/usr/lib/rustlib/src/rust/library/alloc/src/boxed.rs", None, False),
            ("/home/v/library/books/src/a.rs", None, True),
            ("./misc/../sysdeps/unix/sysv/linux/epoll_pwait2.c", None, False),
            ("./nptl/pthread_create.c", None, False),
            ("../sysdeps/x86_64/start.S", None, False),
            (None, None, False),
        ):
            self.assertEqual(is_users(file, path), expected, file)
        self.assertFalse(is_users("src/app.rs", "/home/v/app/src/app.rs", None))

    def test_whose_a_crate_is(self):
        self.assertTrue(source.is_foreign("/home/u/.cargo/registry/src/index-1/crossbeam-deque-0.8.8/src/deque.rs"))
        self.assertTrue(source.is_foreign("/rustc/0123abc/library/std/src/panic.rs"))
        self.assertFalse(source.is_foreign("/home/v/app/src/app.rs") or source.is_foreign(None))

    def test_how_it_is_written(self):
        self.assertEqual(
            source.text(Location("f::h0123456789abcdef", "/rustc/0123abc/library/std/src/a.rs", 3)),
            "f at library/std/src/a.rs:3",
        )
        self.assertEqual(
            (source.text(Location("f")), source.text(Location(None, "a.rs", 3))), ("f", "?? at a.rs:3")
        )


class Tree(unittest.TestCase):
    def test_parents_that_have_ended_are_shown(self):
        image = Image()
        image.add("main", reason="sleep")
        image.add("child", reason="read", value=4, parent=1)
        image.add("grandchild", state="ready", parent=2)
        image.add("orphan", state="ready", parent=77)
        lines = say(image, "tree").splitlines()
        self.assertEqual(
            lines,
            [
                "#1 'main', parked for 1.0 s: sleep, for ever",
                "  #2 'child', parked for 1.0 s: read fd 4",
                "    #3 'grandchild', ready for 1.0 s",
                "#77 (ended)",
                "  #4 'orphan', ready for 1.0 s",
            ],
        )
        self.assertEqual(say(image, "tree 2").splitlines(), [line[2:] for line in lines[1:3]])
        self.assertEqual(say(image, "tree -limit 2").splitlines()[2], "(showing 2; `-limit 0` shows all)")

    def test_circles_are_gone_through_once(self):
        image = Image()
        for parent in (2, 3, 1, 4):
            image.add(f"child of {parent}", parent=parent)
        self.assertEqual(len(say(image, "tree").splitlines()), 4)


class OneOfThem(unittest.TestCase):
    def test_info(self):
        image = Image()
        image.add("main")
        image.add(
            "conn",
            reason="read",
            value=7,
            parent=1,
            requests=1,
            generation=5,
            age=3_100_000_000,
            used=0x930,
            deadline=NOW + SECOND,
        )
        its_session, its = image.open()
        its.describe_fd = lambda fd: f"socket:[{fd}00]"
        lines = run(its_session, its, "info conn").splitlines()
        for expected in (
            "coroutine     #2 'conn', user",
            "state         parked for 3.1 s",
            "waits for     read fd 7, 1.0 s left [cancel]",
            "descriptor    fd 7 is socket:[700]",
            "requests      cancel",
            "spawned       src/app.rs:11, 1 min ago, by #1 'main'",
            "worker        0 (thread 901)",
        ):
            self.assertIn(expected, lines)
        self.assertRegex(
            "\n".join(lines), r"stack         0x\w+\.\.0x\w+, 2\.3 KiB of 192 KiB in use, class 'default'"
        )
        self.assertRegex("\n".join(lines), r"record        0x\w+, slot 1, generation 5")

    def test_info_shows_the_users_variables(self):
        its_session, its, _image = open_stacks([[function(1, 48)]])
        its.arguments = lambda frame: [("fd", "7")]
        its.locals = lambda frame: [("count", "3")]
        text = run(its_session, its, "info 1")
        self.assertIn(
            "frame         app::switch at src/app.rs:7\n              fd = 7\n              count = 3\n", text
        )

    def test_what_is_wanted_is_said(self):
        image = Image()
        image.add("a")
        for line, words in (
            ("info 1 2", "one coroutine"),
            ("why", "wants one"),
            ("bt 1 2", "one coroutine"),
            ("group foo", "bt, spawn, wait"),
            ("thread 7", "no worker 7; there is worker 0"),
            ("dump", "one file name"),
            ("bt", "runs no coroutine"),
        ):
            with self.assertRaisesRegex(CommandError, words):
                say(image, line)

    def test_main_is_the_first_workers(self):
        image = Image()
        for worker in (1, 0):
            image.add("main", kind="main", reason="sleep", worker=worker)
        self.assertIn("#2 'main' has waited", say(image, "why main"))
        image.add("main", reason="sleep", worker=0)
        with self.assertRaisesRegex(CommandError, "3 coroutines are named `main`"):
            say(image, "why main")

    def test_an_ended_one_has_no_backtrace(self):
        image = Image()
        image.add("a", state="exited")
        self.assertIn("there is nothing on its stack any more", say(image, "bt 1"))

    def test_threads(self):
        image = Image()
        image.add("main", state="running")
        image.add("old", state="ready", age=5 * SECOND)
        image.add("young", state="ready")
        image.add("lender", state="ready", age=9 * SECOND, flags=("lent",))
        _limit, top = image.stack_of(1)
        lines = say(image, "thread", threads=[port.Thread(3, 901, top - 64, 0)]).splitlines()
        self.assertEqual(
            lines[:4],
            [
                "worker 0      thread 901, the debugger's 3",
                "  runs        #1 'main'",
                "  coroutines  3 ready, 1 running",
                "  oldest      #2 'old', ready for 5.0 s",
            ],
        )
        self.assertIn("  counters    alive 3, spawns 0, switches 12", lines)

    def test_counters(self):
        image = Image()
        self.assertEqual(say(image, "stats"), """\
WORKER  ALIVE  SPAWNED  ENDED  STOLEN  SWITCHES  PARKED
0           3        0      0       0        12  -
""")
        image.workers = [
            {"thread": 901, "alive": 3, "spawns": 1200, "exits": 1100, "switches": 12},
            {"thread": 902, "alive": 90, "spawns": 0, "exits": 5, "steals": 95, "switches": 2345},
        ]
        image.parked = [{"sleep": 2}, {"sleep": 1000, "read": 1}]
        self.assertEqual(say(image, "stats"), """\
WORKER  ALIVE  SPAWNED  ENDED  STOLEN  SWITCHES  PARKED
0           3    1,200  1,100       0        12  2 sleep
1          90        0      5      95     2,345  1,000 sleep, 1 read
all        95    1,200  1,105      95     2,357  1,002 sleep, 1 read
2 coroutines nobody has begun: alive, and on no worker
""")

    def test_counters_of_older_programs(self):
        image = Image(has_objects=False)
        self.assertIn("not known", say(image, "stats"))
        image.workers = [{"thread": 0}]
        self.assertEqual(say(image, "stats"), "no worker runs: the runtime has ended\n")


class Stacks(unittest.TestCase):
    def test_use_by_class_by_depth_and_by_site(self):
        image = Image()
        for used in (0x400, 0x4000, 0x800, 0x1000):
            image.add(f"used {used}", used=used)
        image.records[2]["state"] = 0
        lines = say(image, "stacks").splitlines()
        self.assertEqual(lines[2].split(), ["default", "192K", "68K", "4", "4", "3", "1", "21K"])
        self.assertEqual([line.split()[0] for line in lines[5:8]], ["2", "4", "1"])
        self.assertEqual(lines[5].split()[-4:], ["16K", "192K", "8.3", "src/app.rs:11"])
        self.assertEqual(
            [line.split() for line in lines[10:]],
            [["1", "16K", "16K", "src/app.rs:11"], ["2", "4K", "2.5K", "src/app.rs:10"]],
        )


class Remarks(unittest.TestCase):
    """What a list says at its end of a core or of a fork."""

    def open(self, is_live, missing=(), pid=77):
        its_session, its, image = open_stacks([[function(1, 48)]] * 3)
        for number in missing:
            sp = int.from_bytes(image.records[number - 1]["context"][:8], "little")
            image.stacks[sp] = bytes(len(image.stacks[sp]))
        its._memory = memory.RecordedMemory(image.pieces())
        its.pid, its.is_live = pid, lambda: is_live
        return session.Session(its), its

    def test_a_core_without_stacks(self):
        words = "coro: the stacks of 2 coroutines are not in this core: `coro gcore` makes one with them"
        for line in ("list", "group", "stacks"):
            self.assertIn(words, run(*self.open(False, missing=(1, 3)), line))
            self.assertNotIn("coro:", run(*self.open(False), line))
            self.assertNotIn("coro:", run(*self.open(True), line))
        its = self.open(False, missing=(1, 3))
        self.assertIn("\nits stack is not in this core", run(*its, "bt 1"))
        self.assertIn("registers     not to be had: its stack is not in this core", run(*its, "info 1"))
        self.assertIn("app::f1", run(*its, "bt 2"))

    def test_a_fork(self):
        words = "coro: this process is a fork of process 77, whose coroutines these are: none of them runs here\n"
        for line in ("list", "thread"):
            self.assertIn(words, run(*self.open(True, pid=78), line))
            self.assertNotIn("fork", run(*self.open(True), line))
        self.assertIn(
            "3 coroutines of process 77, of which this is a fork: none runs here; ",
            greeting(self.open(True, pid=78)[0], True),
        )


class Dump(unittest.TestCase):
    def dump(self, its_session, its, options=""):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "snapshot")
            said = run(its_session, its, f"dump {options} {path}")
            self.assertRegex(said, r"written to .*snapshot\n$")
            with open(path, encoding="utf-8") as file:
                return file.read()

    def test_json(self):
        its_session, its, image = open_stacks([[function(1, 48)], [function(1, 48)], [function(2, 64)]])
        image.records[0].update(name=b"Gr\xc3\xbc\xc3\x9fe", wait_reason=2, wait_object=7)
        its._memory = memory.RecordedMemory(image.pieces())
        whole = json.loads(self.dump(session.Session(its), its, "--json"))
        self.assertEqual((whole["format"], whole["version"], len(whole["runtimes"])), ("coro snapshot", 1, 1))
        one = whole["runtimes"][0]
        self.assertEqual(
            (one["abi"], one["pid"], one["is_forked"], one["now"], one["problems"]),
            ("1.1", 77, False, NOW, []),
        )
        first = one["coroutines"][0]
        self.assertEqual(
            set(first),
            {
                "id",
                "name",
                "kind",
                "state",
                "flags",
                "requests",
                "worker",
                "thread",
                "parent",
                "age",
                "lifetime",
                "wait",
                "wait_text",
                "spawned_at",
                "stack",
                "record",
                "context",
                "backtrace",
            },
        )
        self.assertEqual(
            (first["name"], first["age"], first["wait"], first["wait_text"], first["spawned_at"]),
            ("Grüße", SECOND, {"reason": "read", "fd": 7}, "read fd 7", {"file": "src/app.rs", "line": 10}),
        )
        self.assertEqual([coroutine["backtrace"] for coroutine in one["coroutines"]], [0, 0, 1])
        self.assertEqual(
            [frame["function"] for frame in one["backtraces"][1]], ["app::switch", "app::f2", "app::entry"]
        )

    def test_text(self):
        its_session, its, _image = open_stacks([[function(1, 48)], [function(1, 48)]])
        text = self.dump(its_session, its)
        self.assertIn("ID  NAME  STATE", text)
        self.assertIn("2 coroutines (100.0 %)", text)
        self.assertIn("    #1  app::f1 at src/app.rs:7", text)

    def test_a_file_that_cannot_be_written(self):
        image = Image()
        image.add("a")
        with self.assertRaisesRegex(CommandError, "can't write `/nowhere/at/all`: No such file or directory"):
            say(image, "dump /nowhere/at/all")


class Help(unittest.TestCase):
    def test_every_command_has_a_usage_and_a_summary(self):
        self.assertEqual(
            list(COMMANDS),
            [
                "list",
                "bt",
                "group",
                "tree",
                "info",
                "why",
                "deadlock",
                "addr",
                "crash",
                "stacks",
                "thread",
                "stats",
                "dump",
            ],
        )
        for name, command in COMMANDS.items():
            self.assertRegex(command.usage, rf"^coro {name}( |$)")
            self.assertRegex(command.summary, r"^[A-Z].{15,100}$")
            self.assertTrue(all(len(line) <= 110 for line in command.help.splitlines()), name)
        self.assertIn("    -older 5s ", COMMANDS["list"].help)
