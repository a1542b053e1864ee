"""The coroutines of a program, as its records and its threads' stack pointers say: a snapshot of one stop.

The rule by which a reader knows who runs: *a coroutine runs when a thread's stack pointer lies in its stack*.
What the record's state says is of the moment when it was stored; a record that says `running` while no thread
is on its stack is in the middle of a switch, and its saved registers are good: it reads as `switching`.
"""

import heapq
from collections import Counter

from . import objects
from .coroutine import FREE, LOST, RUNNING, SWITCHING, Coroutine, Worker
from .layout import BadRegistry, Layout, NotStarted
from .memory import Unreadable
from .objects import PLAIN_THREAD, Descriptor, socket_address  # noqa: F401
from .places import Place, StackClass, locate  # noqa: F401
from .records import Records
from .source import plain_function  # noqa: F401
from .text import listing, plural


class Registry:
    """What was read at one stop. Records are read when somebody asks, and then kept."""

    def __init__(self, port, header_address):
        self.port = port
        self.memory = port.memory
        self.layout = Layout(self.memory, header_address)
        #: Sentences about what is odd or could not be read.
        self.problems = []
        self.classes = [StackClass(self.layout.klass.unpack(data)) for data in self._table("classes")]
        self.workers = self._read_workers()
        self._check_classes()
        self._records = Records(self.memory, self.layout, self.classes, port.progress, self.problems)
        pids = port.process_ids()
        #: The process that a debugger looks at is a fork of the one whose runtime this was.
        self.is_forked = bool(pids) and self.header["pid"] not in pids
        shift, width = self.layout.state_word["state"]
        self._state_shift, self._state_mask = shift, (1 << width) - 1
        #: Field of a record -> its place in a row.
        self.index = self.layout.record.index
        self._texts = {}
        self._families = {}
        self._has_told_of_strange = False
        self._by_index = {}
        self._index_by_id = None
        self._all = None
        self._threads = None
        self._on_thread = None
        clocks = [worker.values["clock"] for worker in self.workers]
        now = port.now()
        #: True when `now` is the program's last look at the clock: ages are at least so much.
        self.is_clock_old = now is None or any(clock > now for clock in clocks)
        #: CLOCK_MONOTONIC, or None.
        self.now = now if not self.is_clock_old else max(clocks, default=None)

    header = property(lambda self: self.layout.header)

    def _table(self, name):
        """The bytes of a table's rows."""
        address, stride, count = self.layout.tables[name]
        try:
            data = self.memory.read(address, stride * count)
        except Unreadable as error:
            raise BadRegistry(f"the table `{name}` can't be read: {error}") from None
        return [data[at:at + stride] for at in range(0, stride * count, stride)]

    def _read_workers(self):
        """Those that there are: a row without a thread is nobody's."""
        row = self.layout.worker
        thread = row.fields["thread"]
        nobody = bytes(thread.size)
        return [Worker(i, row.unpack(data)) for i, data in enumerate(self._table("workers"))
                if data[thread.offset:thread.offset + thread.size] != nobody]

    def _check_classes(self):
        _, _, records = self.layout.tables["records"]
        for klass in self.classes:
            problem = klass.problem(records, self.header["region_base"], self.header["region_length"])
            if problem:
                raise BadRegistry(problem)
            if klass.used > klass.count:
                self.problems.append(
                    f"the stack class '{klass.name}' claims {klass.used} used slots of {klass.count}"
                )
                klass.used = klass.count

    # What numbers mean.

    def part(self, name, word):
        """A part of a state word."""
        shift, width = self.layout.state_word[name]
        return word >> shift & (1 << width) - 1

    def state_name(self, word):
        number = word >> self._state_shift & self._state_mask
        return self.layout.states.get(number) or f"state {number}"

    def flag_names(self, word):
        """The flags of a state word; their numbers are bits of the whole word."""
        return [name for bit, name in self.layout.flags.items() if word & bit]

    def source_text(self, address, length):
        """A path in the program's read-only data; kept, as few differ."""
        key = address, length
        if key not in self._texts:
            try:
                self._texts[key] = (
                    self.memory.text(address, length) if address and 0 < length <= 4096 else None
                )
            except Unreadable:
                self._texts[key] = None
        return self._texts[key]

    @property
    def source_prefix(self):
        """How the paths of the runtime's own source files begin; None when not known."""
        return self.source_text(
            self.header.get("source_prefix", 0), self.header.get("source_prefix_length", 0)
        )

    @property
    def source_exceptions(self):
        """What below the prefix is the user's all the same: names of files, and of folders with a `/`
        behind."""
        return self.layout.source_exceptions

    # Records.

    def count_states(self):
        """How many records are in each state, the free ones too: a `Counter` by the records' own states.
        Fast: a word of each record is looked at."""
        shift, mask = self._state_shift, self._state_mask
        numbers = Counter()
        for _, (words,) in self._records.columns("state"):
            numbers.update([word >> shift & mask for word in words])
        states = Counter()
        for number, count in numbers.items():
            states[self.state_name(number << self._state_shift)] += count
        self._tell_of_strange(states)
        return states

    def _tell_of_strange(self, states):
        """A sentence about records whose state is no known number, by how many are in each state."""
        strange = {state: count for state, count in states.items() if state.startswith("state ")}
        if strange and not self._has_told_of_strange:
            self._has_told_of_strange = True
            self.problems.append(
                f"{plural(sum(strange.values()), 'record')} of no known state "
                f"({listing(sorted(strange), 3)}): "
                "overwritten, or of a newer version of coro"
            )

    @property
    def record_count(self):
        """How many records the region has room for."""
        return self._records.count

    def count_ever(self):
        """How many records ever had a tenant."""
        return self._records.used()

    def records(self):
        """All records that ever had a tenant, free ones too, as the threads say what they do. One after the
        other: a million of them are not kept."""
        on_thread = self._runs_where()
        strange = Counter()
        for index, data in self._records.pieces():
            for row in self.layout.record.struct.iter_unpack(data):
                coroutine = Coroutine(self, index, row)
                self._place(coroutine, on_thread)
                if coroutine.state.startswith("state "):
                    strange[coroutine.state] += 1
                yield coroutine
                index += 1
        self._tell_of_strange(strange)

    def each(self):
        """All coroutines, one after the other, as `records`."""
        if self._all is not None:
            return iter(self._all)
        return (coroutine for coroutine in self.records() if coroutine.state != FREE)

    def coroutines(self):
        """All coroutines: a list, in the order of their records. Kept."""
        if self._all is None:
            self._all = list(self.each())
        return self._all

    def first_by_id(self, count):
        """The `count` coroutines with the lowest ids. Fast: only they become objects."""
        free = {number for number, name in self.layout.states.items() if name == FREE}
        shift, mask = self._state_shift, self._state_mask
        found = []
        for first, (words, ids) in self._records.columns("state", "id"):
            found += [
                (number, first + i)
                for i, (word, number) in enumerate(zip(words, ids))
                if word >> shift & mask not in free
            ]
            if len(found) > 4 * count:
                found = heapq.nsmallest(count, found)
        return [self.record(index) for _, index in heapq.nsmallest(count, found)]

    def record(self, index):
        """One record by its index, free or not."""
        if index not in self._by_index:
            coroutine = Coroutine(self, index, self._records.read(index))
            self._place(coroutine, self._runs_where())
            self._by_index[index] = coroutine
        return self._by_index[index]

    def by_id(self, number):
        """The coroutine of that id; None when there is none (any more)."""
        if self._index_by_id is None:
            free = {value for value, name in self.layout.states.items() if name == FREE}
            shift, width = self.layout.state_word["state"]
            mask = (1 << width) - 1
            found, count = {}, 0
            for first, (words, ids) in self._records.columns("state", "id"):
                alive = [
                    (id_, first + i)
                    for i, (word, id_) in enumerate(zip(words, ids))
                    if word >> shift & mask not in free
                ]
                count += len(alive)
                found.update(alive)
            self._index_by_id = found
            if len(found) < count:
                self.problems.append(
                    f"{plural(count - len(found), 'record')} with an id that another one has, too: "
                    "overwritten"
                )
        index = self._index_by_id.get(number)
        return None if index is None else self.record(index)

    def by_name(self, name):
        """All coroutines of that name, in the order of their records."""
        indices = self._records.with_bytes("name", name.encode("utf-8", "surrogateescape"))
        found = (self.record(index) for index in indices)
        return [coroutine for coroutine in found if coroutine.state != FREE and coroutine.name == name]

    # Who runs.

    def threads(self):
        """The program's threads; asked for once."""
        if self._threads is None:
            self._threads = list(self.port.threads())
        return self._threads

    def _runs_where(self):
        """Record index -> thread, of the threads that stand on a coroutine's stack."""
        if self._on_thread is None:
            self._on_thread = {}
            for thread in self.threads():
                index = self.record_index_of(thread)
                if index is not None:
                    self._on_thread.setdefault(index, thread)
        return self._on_thread

    def record_index_of(self, thread):
        """The record of the coroutine that runs on a thread, by its stack pointer; None: none does, or not
        known."""
        if thread.sp is None:
            return None
        place = self.locate(thread.sp)
        if place is not None:
            return place.index if place.kind in ("stack", "redzone") else None
        # On a native stack: a worker's main. By its bounds, and not by the thread's number, which in a PID
        # namespace is another one to the debugger.
        for worker in self.workers:
            main = self._raw_record(worker.values["main"])
            if main is not None and thread.sp in main:
                return worker.values["main"]
        return None

    def worker_of(self, thread):
        """The worker whose thread it is, or None."""
        return next((worker for worker in self.workers if worker.tid == thread.tid), None)

    def _raw_record(self, index):
        try:
            return Coroutine(self, index, self._records.read(index))
        except BadRegistry:
            return None

    def _place(self, coroutine, on_thread):
        """Says of a coroutine what the threads say of it."""
        thread = on_thread.get(coroutine.index)
        if thread is not None and coroutine.state != FREE:
            coroutine.thread, coroutine.state = thread, RUNNING
        elif coroutine.state == RUNNING:
            coroutine.state = LOST if self.is_forked else self._switching_or_elsewhere(coroutine)

    def _switching_or_elsewhere(self, coroutine):
        """No thread is on its stack, but it is said to run: either it is in the middle of a switch, or its
        thread stands on a signal's stack, or can't be asked since it runs on."""
        worker = next((worker for worker in self.workers if worker.number == coroutine.worker), None)
        if worker is None:
            return SWITCHING
        thread = next((thread for thread in self.threads() if thread.tid == worker.tid), None)
        if thread is None:
            return SWITCHING
        if thread.sp is None or (self.record_index_of(thread) is None and self.locate(thread.sp) is None):
            coroutine.thread = thread
            return RUNNING
        return SWITCHING

    def running_on(self, thread):
        """The coroutine that runs on a thread, or None."""
        index = self.record_index_of(thread)
        if index is not None:
            coroutine = self.record(index)
            return coroutine if coroutine.state != FREE else None
        worker = self.worker_of(thread)
        if worker is None:
            return None
        # Its thread stands on another stack, a signal's.
        for index in self.said_to_run(worker.number):
            coroutine = self.record(index)
            if coroutine.thread is not None and coroutine.thread.tid == thread.tid:
                return coroutine
        return None

    def said_to_run(self, worker):
        """The indices of the records which say that they run on a worker; it may be that no thread is on
        their stack."""
        shift, mask = self._state_shift, self._state_mask
        running = {number for number, name in self.layout.states.items() if name == RUNNING}
        for first, (words, workers) in self._records.columns("state", "worker"):
            for i, (word, number) in enumerate(zip(words, workers)):
                if number == worker and word >> shift & mask in running:
                    yield first + i

    # Addresses, and what is waited for.

    def parked_on(self, worker):
        """How many coroutines of a worker wait for what: {reason: count}, without zeros; None in programs
        which don't count them, or when it can't be read."""
        row = self.layout.parked
        if row is None:
            return None
        address, stride, count = self.layout.tables["parked"]
        if worker.number >= count:
            return None
        try:
            data = self.memory.read(address + worker.number * stride, stride)
        except Unreadable:
            return None
        return {reason: number for reason, number in row.unpack(data).items() if number}

    def locate(self, address):
        """What lies at an address, a `Place`; None: it is not the region's."""
        return locate(self.classes, self.header["region_base"], self.header["region_length"], address)

    def descriptor(self, fd):
        """What the runtime knows of a file descriptor, an `objects.Descriptor`; None: nothing."""
        return objects.descriptor(self.memory, self.layout, fd)

    def mutex(self, address):
        """The fields of the mutex there, a dictionary; None when it can't be read."""
        return objects.read(self.memory, self.layout.mutex, address)

    def channel(self, address):
        """The fields of the channel there, a dictionary; None when it can't be read."""
        return objects.read(self.memory, self.layout.channel, address)

    def job(self, address):
        """The fields of the offloaded work there, a dictionary; None when it can't be read."""
        return objects.read(self.memory, self.layout.job, address)

    def family(self, address):
        """The scope, group or pool whose head is there, an `objects.Family`; None when it can't be read."""
        if address not in self._families:
            self._families[address] = objects.family(self.memory, self.layout, address)
        return self._families[address]

    def extra(self, address):
        """The fields of a coroutine's heap part there, a dictionary; None when it can't be read."""
        return objects.read(self.memory, self.layout.extra, address)

    def timeouts(self, extra):
        """The timeout scopes of such a part, the outermost first: dictionaries."""
        return objects.timeouts(self.memory, self.layout, extra)

    def sync(self, address):
        """The fields of another object that coroutines wait for, a dictionary; None when it can't be read."""
        return objects.read(self.memory, self.layout.sync, address)

    def things(self, address):
        """Of a select's head: (number of the reason, object) of each thing, as far as they can be read."""
        return objects.things(self.memory, self.layout, address)


def open_registries(port):
    """A registry of each runtime in the program that has started, and sentences about those that can't be
    read."""
    registries, problems, seen = [], [], set()
    addresses = port.header_addresses()
    problems += port.remarks()
    for address in addresses:
        if address in seen:
            continue
        seen.add(address)
        try:
            registries.append(Registry(port, address))
        except NotStarted:
            problems.append("no runtime of this program has started yet: there are no coroutines")
        except BadRegistry as error:
            problems.append(str(error))
    return registries, problems
