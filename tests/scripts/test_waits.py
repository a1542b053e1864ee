"""What a coroutine waits for, in the words of every command."""

import socket
import struct
import unittest

from image import NOW, SECOND, Image

from coro_debug import port, waits
from coro_debug.objects import PLAIN_THREAD


def words_of(image, number, **more):
    session, _port = image.open(**more)
    return waits.words(session.registry().by_id(number))


def address(text, number):
    return struct.pack("<H", socket.AF_INET) + struct.pack(">H", number) + socket.inet_aton(text) + bytes(8)


class Waits(unittest.TestCase):
    def test_descriptors(self):
        image = Image()
        image.put_descriptor(3, 2, address("127.0.0.1", 80))
        image.put_descriptor(7, 1, address("10.0.0.9", 8080))
        image.put_descriptor(9, 1, struct.pack("<H", socket.AF_INET6) + struct.pack(">H", 443) + bytes(4)
                             + socket.inet_pton(socket.AF_INET6, "::1"))
        unix = struct.pack("<H", socket.AF_UNIX)
        image.put_descriptor(10, 1, unix + b"/run/a.sock\0")
        image.put_descriptor(11, 3, unix + b"\0name\n")
        image.put_descriptor(12, 1, unix)
        image.put_descriptor(13, 3, address("127.0.0.1", 53))
        for reason, fd, expected in (
            ("read", 10, "read fd 10 -> /run/a.sock"),
            ("read", 11, "read fd 11 on @name?"),
            ("read", 12, "read fd 12 -> unnamed unix socket"),
            ("read", 13, "read fd 13 on 127.0.0.1:53"),
            ("read", 7, "read fd 7 -> 10.0.0.9:8080"),
            ("accept", 3, "accept fd 3 on 127.0.0.1:80"),
            ("write", 9, "write fd 9 -> [::1]:443"),
            ("connect", 8, "connect fd 8"),
            ("read", 1 << 40, "read fd 0"),
        ):
            self.assertEqual(words_of(image, image.add(reason=reason, value=fd)), expected)

    def test_buffers(self):
        image = Image()
        for fd, buffered, expected in (
            (5, 256 << 10, "256 KiB buffered, above high watermark"),
            (6, 100 << 10, "100 KiB buffered, above low watermark"),
            (7, 10, "10 B buffered, below low watermark"),
        ):
            image.put_descriptor(fd, 1, address("10.0.0.9", 80), buffered=buffered, low_watermark=65536,
                                 high_watermark=1 << 18)
            number = image.add(reason="write", value=fd)
            self.assertEqual(words_of(image, number), f"write fd {fd} -> 10.0.0.9:80, {expected}")
        # Who reads has nothing to do with it; and a level is told in full as data.
        self.assertEqual(words_of(image, image.add(reason="read", value=5)), "read fd 5 -> 10.0.0.9:80")
        session, _port = image.open()
        wait = waits.wait_of(session.registry().by_id(1))
        self.assertEqual((wait["buffered"], wait["low"], wait["high"]), (256 << 10, 65536, 1 << 18))

    def test_deadlines(self):
        image = Image()
        for reason, value, deadline, expected in (
            ("sleep", 0, NOW + 1_200_000_000, "sleep, 1.2 s left"),
            ("sleep", 0, NOW - SECOND, "sleep, 1.0 s late"),
            ("sleep", 0, 0, "sleep, for ever"),
            ("sleep", 0, 2**63, "sleep, for ever"),
            ("read", 4, NOW + 2_000_000, "read fd 4, 2.0 ms left"),
            ("turn", 0, 0, "its turn"),
        ):
            self.assertEqual(
                words_of(image, image.add(reason=reason, value=value, deadline=deadline)), expected
            )

    def test_joins(self):
        image = Image()
        image.add("child", reason="sleep")
        image.add("", state="ready")
        self.assertEqual(words_of(image, image.add(reason="join", value=1)), "join #1 'child'")
        self.assertEqual(words_of(image, image.add(reason="join", value=2)), "join #2")
        self.assertEqual(words_of(image, image.add(reason="join", value=77)), "join #77 (ended)")

    def test_mutexes(self):
        image = Image()
        image.add("holder", state="ready")
        for owner, word, expected in (
            (1, 2, " held by #1 'holder'"),
            (0, 0, " free"),
            (99, 1, " held by #99 (ended)"),
            (PLAIN_THREAD | 4711, 1, " held by thread 4711"),
            (0, 1, ""),
        ):
            at = image.put_mutex(owner=owner, word=word)
            self.assertEqual(words_of(image, image.add(reason="mutex", value=at)), f"mutex {at:#x}{expected}")
        self.assertEqual(words_of(image, image.add(reason="mutex", value=0xdead0000)), "mutex 0xdead0000")

    def test_jobs(self):
        image = Image()
        image.add("first", state="ready")
        site = {"file": image.records[0]["spawn_file"], "file_length": image.records[0]["spawn_file_length"]}
        for fields, expected in (
            ({**site, "line": 12, "thread": 4711}, "offload at src/app.rs:12, on thread 4711"),
            ({**site, "line": 12}, "offload at src/app.rs:12, no thread yet"),
            ({"file": 0xdead0000, "file_length": 5, "thread": 3}, "offload {at:#x}, on thread 3"),
        ):
            at = image.put_job(**fields)
            self.assertEqual(words_of(image, image.add(reason="offload", value=at)), expected.format(at=at))
        self.assertEqual(
            words_of(image, image.add(reason="offload", value=0xdead0000)), "offload 0xdead0000"
        )
        self.assertEqual(words_of(image, image.add(reason="future")), "future")

    def test_channels(self):
        image = Image()
        image.add("peer", state="ready")
        for reason, fields, expected in (
            (
                "send",
                {"capacity": 1, "length": 1, "receivers": 1, "last_receiver": 1},
                "1 of 1 full, last received by #1",
            ),
            ("send", {"capacity": 8, "length": 8, "receivers": 2}, "8 of 8 full"),
            ("receive", {"capacity": 4, "senders": 2, "last_sender": 5}, "empty, 2 senders, last #5"),
            (
                "receive",
                {"capacity": 4, "senders": 1, "last_sender": PLAIN_THREAD | 12},
                "empty, 1 sender, last thread 12",
            ),
            ("receive", {"capacity": 4, "length": 2, "senders": 0}, "2 of 4, 0 senders"),
            ("send", {"receivers": 1, "last_receiver": 1}, "no room, last received by #1"),
            ("receive", {"senders": 2}, "no room, 2 senders"),
            ("receive", {"capacity": waits.UNBOUNDED, "senders": 1}, "empty, 1 sender"),
            ("send", {"capacity": waits.UNBOUNDED, "length": 7, "receivers": 1}, "7 in it"),
        ):
            at = image.put_channel(**fields)
            self.assertEqual(
                words_of(image, image.add(reason=reason, value=at)),
                f"{reason} on channel {at:#x} ({expected})",
            )

    def test_counts(self):
        image = Image()
        image.add("peer", state="ready")
        for reason, fields, expected in (
            ("condvar", {}, ""),
            ("condvar", {"owner": 1}, " (last #1 'peer')"),
            ("read lock", {"limit": 1, "owner": 1}, " held by #1 'peer' (one writes)"),
            ("write lock", {"count": 1, "owner": 9}, " held by #9 (ended) (1 read)"),
            # One of them, and not for certain one who still reads.
            ("write lock", {"count": 3, "owner": 1}, " (3 read, last #1 'peer')"),
            ("read lock", {}, " (free)"),
            ("semaphore", {"count": 1, "limit": 1500, "owner": 1}, " (1 of 1,500 permits left, last #1 'peer')"),
            ("barrier", {"count": 2, "limit": 3, "owner": PLAIN_THREAD | 12}, " (2 of 3 have come, last thread 12)"),
            ("wait group", {"count": 1}, " (1 member not done)"),
            ("wait group", {"count": 2}, " (2 members not done)"),
            ("once", {}, " (to be done)"),
            ("once", {"count": 1, "owner": 1}, " held by #1 'peer' (being done)"),
            ("once", {"count": 2}, " (done)"),
            ("once", {"count": 3}, " (poisoned)"),
            ("once", {"count": 4}, ""),
            ("event", {}, " (not set)"),
            ("event", {"count": 1, "owner": 1}, " (set, last #1 'peer')"),
        ):
            at = image.put_sync(**fields)
            self.assertEqual(words_of(image, image.add(reason=reason, value=at)), f"{reason} {at:#x}{expected}")
            lost = image.add(reason=reason, value=0xdead0000)
            self.assertEqual(words_of(image, lost), f"{reason} 0xdead0000")

    def test_selects(self):
        image = Image()
        image.add("peer", state="ready")
        channel, event = image.put_channel(capacity=4, senders=1), image.put_sync(count=0)
        both = [("receive", channel), ("event", event)]
        receive, wait = f"receive on channel {channel:#x} (empty, 1 sender)", f"event {event:#x} (not set)"
        for things, values, expected in (
            (both, {}, f"select on 2 things ({receive}; {wait})"),
            ([*both, ("sleep", NOW + SECOND)], {}, f"select on 3 things ({receive}; {wait}; a moment)"),
            ([("join", 1)], {}, "select on 1 thing (join #1 'peer')"),
            ([("send", 0xdead0000)], {}, "select on 1 thing (send on channel 0xdead0000)"),
            # What can't be read is left out.
            (both, {"count": 1}, f"select on 1 thing ({receive})"),
            (both, {"things": 0xdead0000}, "select on 0 things"),
        ):
            at = image.put_select(things, **values)
            self.assertEqual(words_of(image, image.add(reason="select", value=at)), expected)
    def test_families(self):
        image = Image()
        first = image.add("first", reason="sleep")
        for kind, reason, members, capacity, expected in (
            ("scope", "group", (1, 0, 1), 0, "scope at src/app.rs:30 (2 alive)"),
            ("group", "group", (1,), 0, "group {at:#x} (1 member alive)"),
            ("group", "group", (1, 1), 0, "group {at:#x} (2 members alive)"),
            ("pool", "group", (1, 0), 2, "pool {at:#x} (1 of 2 busy)"),
            ("pool", "place", (1, 1), 2, "place in pool {at:#x} (2 of 2 busy)"),
            # Damage: no such kind, and members that can't be read.
            (99, "group", (1,), 0, "group {at:#x}"),
        ):
            at = image.put_family(kind, members, capacity)
            number = image.add(reason=reason, value=at)
            self.assertEqual(words_of(image, number), expected.format(at=at))
        at = image.put_family("group", (first,), file=0xdead0000, places=1 << 60, count=3)
        self.assertEqual(words_of(image, image.add(reason="group", value=at)),
                         f"group {at:#x} (3 members alive)")
        self.assertEqual(words_of(image, image.add(reason="place", value=0xdead0000)), "place 0xdead0000")
        old = Image(has_objects=False)
        self.assertEqual(words_of(old, old.add(reason="group")), "group 0x0")

    def test_what_is_asked_is_told_of_who_waits_and_of_who_is_ready(self):
        image = Image()
        for state, requests, expected in (
            ("parked", 1, "sleep, for ever [cancel]"),
            ("parked", 1 | 32, "sleep, for ever [cancel, shield]"),
            ("parked", 16, "sleep, for ever"),
            ("ready", 1, "[cancel]"),
            ("new", 1 | 4, "[cancel, unwinding]"),
            ("exited", 1, ""),
        ):
            number = image.add(state=state, reason="sleep", requests=requests)
            self.assertEqual(words_of(image, number), expected)

    def test_programs_without_these_tables_are_read_too(self):
        image = Image(has_objects=False)
        self.assertEqual(words_of(image, image.add(reason="mutex", value=0x1234)), "mutex 0x1234")
        self.assertEqual(words_of(image, image.add(reason="read", value=7)), "read fd 7")
        self.assertEqual(words_of(image, image.add(reason="send", value=0x99)), "send on channel 0x99")

    def test_who_does_not_wait_waits_for_nothing(self):
        image = Image()
        number = image.add("busy", state="running", reason="read", value=7)
        _limit, top = image.stack_of(number)
        self.assertEqual(
            words_of(image, number, threads=[port.Thread(3, 901, top - 64, 1)]), "running on thread 3"
        )
        for state in ("ready", "new", "exited"):
            self.assertEqual(words_of(image, image.add(state=state, reason="read", value=7)), "")

    def test_states(self):
        image = Image()
        lent, ready = image.add(state="ready", flags=("lent",)), image.add(state="ready")
        session, _port = image.open()
        self.assertEqual([waits.state_in_words(session.registry().by_id(number)) for number in (lent, ready)],
                         ["ready (lent)", "ready"])

    def test_an_old_clock_gives_minimum_ages(self):
        image = Image()
        image.add(age=3_100_000_000)
        session, _port = image.open(now=None)
        # The worker looked at its clock a second before.
        self.assertEqual(waits.age_in_words(session.registry().by_id(1)), ">2.1 s")
