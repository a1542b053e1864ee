"""The coroutines of a program, as its records and its threads' stack pointers say: a snapshot of one stop.

The rule by which a reader knows who runs: *a coroutine runs when a thread's stack pointer lies in its stack*. What the
record's state says is of the moment when it was stored; a record that says `running` while no thread is on its stack is
in the middle of a switch, and its saved registers are good: it reads as `switching`.
"""

import re
from collections import Counter

from .layout import BadRegistry, Layout, NotStarted
from .memory import Unreadable, decode

#: Records that are read at a time: a few mebibytes.
CHUNK = 16384

RUNNING, SWITCHING, LOST = "running", "switching", "lost (fork)"
ON_OTHER_STACK = "on another stack"


class Place:
    """What lies at an address of the region."""

    __slots__ = ("kind", "klass", "index", "distance")

    def __init__(self, kind, klass=None, index=None, distance=0):
        self.kind = kind  # "registry", "stack", "redzone", "behind", or "unused"
        self.klass = klass  # a StackClass
        self.index = index  # of the slot, and so of its record
        self.distance = distance  # stack: bytes below its top; redzone: bytes below the stack's limit


class StackClass:
    """A class of stacks: slot i lies at base + i * stride, its redzone first."""

    def __init__(self, values):
        self.name = decode(values["name"])
        self.base, self.stride, self.redzone = values["base"], values["stride"], values["redzone"]
        self.first, self.count, self.used = values["first_record"], values["count"], values["used"]
        self.values = values

    @property
    def end(self):
        """Where the redzone behind the last slot begins."""
        return self.base + self.count * self.stride

    def stack(self, index):
        """(limit, top) of a slot, by its record's index."""
        slot = self.base + (index - self.first) * self.stride
        return slot + self.redzone, slot + self.stride


class Worker:
    """An OS thread with its main, switch and io coroutines."""

    def __init__(self, number, values):
        self.number = number
        self.tid = values["thread"]
        self.values = values


class Descriptor:
    """A file descriptor of the program's, as its runtime knows it."""

    def __init__(self, fd, role, address, last_user):
        self.fd, self.role, self.address, self.last_user = fd, role, address, last_user


class Coroutine:
    """One coroutine, or the rest of a record."""

    __slots__ = ("registry", "index", "_row", "state", "thread", "flags")

    def __init__(self, registry, index, row):
        self.registry = registry
        self.index = index
        self._row = row
        #: The record's state, or what the threads say: running, switching, lost (fork).
        self.state = registry.state_name(self.word)
        #: The `port.Thread` on whose stack pointer's word it runs, or None.
        self.thread = None
        self.flags = registry.flag_names(self.word)

    def _field(self, name):
        return self._row[self.registry.layout.record.index[name]]

    word = property(lambda self: self._field("state"), doc="The state word.")
    id = property(lambda self: self._field("id"))
    since = property(lambda self: self._field("since"))
    deadline = property(lambda self: self._field("wait_deadline"))
    parent = property(lambda self: self._field("parent"))
    wait_object = property(lambda self: self._field("wait_object"))
    spawned_at = property(lambda self: self._field("spawned_at"))
    stack_limit = property(lambda self: self._field("stack_limit"))
    stack_top = property(lambda self: self._field("stack_top"))
    worker = property(lambda self: self._field("worker"), doc="The number of its worker.")

    @property
    def name(self):
        return decode(self._field("name"))

    @property
    def kind(self):
        return self.registry.layout.kinds.get(self._field("kind"), f"kind {self._field('kind')}")

    @property
    def wait_reason(self):
        number = self._field("wait_reason")
        return self.registry.layout.wait_reasons.get(number, f"reason {number}")

    @property
    def wait_object_kind(self):
        layout = self.registry.layout
        return layout.object_kinds.get(layout.wait_objects.get(self.wait_reason, 0), "nothing")

    @property
    def requests(self):
        """What others have asked of it: `cancel`, …"""
        bits = self._row[self.registry.layout.record.index["requests"]] if "requests" in self.registry.layout.record.index else 0
        return [name for bit, name in self.registry.layout.requests.items() if bits & bit]

    @property
    def context(self):
        """Where it was left, (sp, pc). Of one that runs it says nothing."""
        data = self._field("context")
        return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")

    @property
    def sp(self):
        """Its stack pointer now: its thread's, or the saved one."""
        if self.thread is not None and self.thread.sp is not None and self.thread.sp in self:
            return self.thread.sp
        return None if self.thread is not None else self.context[0]

    def __contains__(self, address):
        """Whether an address is on its stack."""
        return self.stack_limit <= address < self.stack_top

    @property
    def generation(self):
        return self.registry.part("generation", self.word)

    @property
    def stack_size(self):
        return max(self.stack_top - self.stack_limit, 0)

    @property
    def stack_used(self):
        """Bytes from its stack pointer to the top; None when not known, or when it has never run and has nothing there."""
        sp = self.sp
        return self.stack_top - sp if sp is not None and sp in self else None

    @property
    def is_running(self):
        return self.state == RUNNING

    @property
    def has_saved_registers(self):
        """Whether it can be unwound from where it was left."""
        return self.thread is None and self.state in ("new", "ready", "parked", SWITCHING)

    @property
    def age(self):
        """Nanoseconds that it has been in its state; None when not known."""
        now = self.registry.now
        return None if not self.since or now is None else max(now - self.since, 0)

    @property
    def time_left(self):
        """Nanoseconds to its deadline, negative when that has passed; None: no deadline."""
        return self.deadline - self.registry.now if self.deadline and self.registry.now is not None else None

    @property
    def spawn_site(self):
        """`file:line:column`, or '' (main's own, or the executable's data isn't there)."""
        address, length = self._field("spawn_file"), self._field("spawn_file_length")
        file = self.registry.source_text(address, length)
        if file is None:
            return ""
        column = self._row[self.registry.layout.record.index["spawn_column"]] if "spawn_column" in self.registry.layout.record.index else 0
        return f"{file}:{self._field('spawn_line')}" + (f":{column}" if column else "")

    @property
    def record_address(self):
        address, stride, _ = self.registry.layout.tables["records"]
        return address + self.index * stride

    def saved_registers(self):
        """DWARF register number -> value, of one that doesn't run."""
        sp, pc = self.context
        values = {}
        for register in self.registry.layout.registers:
            if register.kind == "saved register":
                values[register.extra] = self.registry.memory.word(sp + register.offset)
            else:
                values[register.extra] = sp + register.offset
        return values


class Registry:
    """A snapshot: what was read at one stop. Records are read when somebody asks, and then kept."""

    def __init__(self, port, header_address):
        self.port = port
        self.memory = port.memory
        self.layout = Layout(self.memory, header_address)
        #: Sentences about what could not be read.
        self.problems = []
        self.classes = [StackClass(values) for values in self._table("classes", self.layout.klass)]
        self.workers = [Worker(i, values) for i, values in enumerate(self._table("workers", self.layout.worker))
                        if values["thread"] != 0]
        self._check_classes()
        pids = port.process_ids()
        #: The process that a debugger looks at is a fork of the one whose runtime this was.
        self.is_forked = bool(pids) and self.header["pid"] not in pids
        self._texts = {}
        self._by_id = None
        self._all = None
        self._on_thread = None
        clocks = [worker.values["clock"] for worker in self.workers]
        now = port.now()
        #: True when `now` is the program's last look at the clock: ages are at least so much.
        self.is_clock_old = now is None or any(clock > now for clock in clocks)
        #: CLOCK_MONOTONIC, or None.
        self.now = now if not self.is_clock_old else max(clocks, default=None)

    header = property(lambda self: self.layout.header)

    def _table(self, name, row):
        address, stride, count = self.layout.tables[name]
        try:
            data = self.memory.read(address, stride * count)
        except Unreadable as error:
            raise BadRegistry(f"the table `{name}` can't be read: {error}") from None
        return [row.unpack(data, stride * i) for i in range(count)]

    def _check_classes(self):
        _, _, records = self.layout.tables["records"]
        base, length = self.header["region_base"], self.header["region_length"]
        for klass in self.classes:
            fits = klass.first + klass.count <= records and (
                klass.stride == 0 or klass.redzone < klass.stride
                and base <= klass.base and klass.end + klass.redzone <= base + length)
            if not fits:
                raise BadRegistry(f"the stack class '{klass.name}' claims {klass.count} slots of {klass.stride} bytes at "
                                  f"{klass.base:#x}, which do not fit into the region: its row has been overwritten")
            if klass.used > klass.count:
                self.problems.append(f"the stack class '{klass.name}' claims {klass.used} used slots of {klass.count}")
                klass.used = klass.count

    # What numbers mean.

    def part(self, name, word):
        """A part of a state word."""
        shift, width = self.layout.state_word[name]
        return word >> shift & (1 << width) - 1

    def state_name(self, word):
        number = self.part("state", word)
        return self.layout.states.get(number, f"state {number}")

    def flag_names(self, word):
        """The flags of a state word; their numbers are bits of the whole word."""
        return [name for bit, name in self.layout.flags.items() if word & bit]

    def source_text(self, address, length):
        """A path in the program's read-only data; kept, as few differ."""
        key = address, length
        if key not in self._texts:
            try:
                self._texts[key] = self.memory.text(address, length) if address and 0 < length <= 4096 else None
            except Unreadable:
                self._texts[key] = None
        return self._texts[key]

    @property
    def source_prefix(self):
        """How the paths of the runtime's own source files begin; None when not known."""
        return self.source_text(self.header.get("source_prefix", 0), self.header.get("source_prefix_length", 0))

    # Records.

    def _chunks(self):
        """(index of the first, bytes) of all records that ever had a tenant."""
        address, stride, _ = self.layout.tables["records"]
        for klass in self.classes:
            index, end = klass.first, klass.first + klass.used
            while index < end:
                count = min(CHUNK, end - index)
                try:
                    data = self.memory.read(address + index * stride, count * stride)
                except Unreadable:
                    data = self._readable_rows(address + index * stride, count, stride)
                    lost = count - len(data) // stride
                    if lost:
                        self.problems.append(f"{lost} records of the class '{klass.name}' from index {index + count - lost} "
                                             "on can't be read")
                yield index, data
                index += count
                self.port.progress(f"{index} records read")

    def _readable_rows(self, address, count, stride):
        data = self.memory.readable(address, count * stride)
        return data[: len(data) // stride * stride]

    def count_states(self):
        """How many records are in each state, the free ones too: a `Counter` by the records' own states. Fast: a byte of
        each record is looked at."""
        offset = self.layout.record.fields["state"].offset
        stride = self.layout.record.stride
        shift, width = self.layout.state_word["state"]
        counts = Counter()
        if shift // 8 != (shift + width - 1) // 8:
            raise BadRegistry("the state lies in two bytes of its word")
        for _, data in self._chunks():
            counts.update(data[offset + shift // 8::stride])
        states = Counter()
        for byte, count in counts.items():
            number = byte >> shift % 8 & (1 << width) - 1
            states[self.layout.states.get(number, f"state {number}")] += count
        return states

    def records(self):
        """All records that ever had a tenant, free ones too, as the threads say what they do."""
        on_thread = self._runs_where()
        for index, data in self._chunks():
            for row in self.layout.record.struct.iter_unpack(data):
                coroutine = Coroutine(self, index, row)
                self._place(coroutine, on_thread)
                yield coroutine
                index += 1

    def coroutines(self):
        """All coroutines: a list, in the order of their records. Kept."""
        if self._all is None:
            self._all = [coroutine for coroutine in self.records() if coroutine.state != "free"]
        return self._all

    def record(self, index):
        """One record by its index, free or not."""
        address, stride, count = self.layout.tables["records"]
        if not 0 <= index < count:
            raise BadRegistry(f"there is no record {index}: there are {count}")
        try:
            data = self.memory.read(address + index * stride, stride)
        except Unreadable as error:
            raise BadRegistry(f"the record {index} can't be read: {error}") from None
        coroutine = Coroutine(self, index, self.layout.record.struct.unpack(data))
        self._place(coroutine, self._runs_where())
        return coroutine

    def by_id(self, number):
        """The coroutine of that id; None when there is none (any more)."""
        if self._by_id is None:
            self._by_id = {coroutine.id: coroutine for coroutine in self.coroutines()}
        return self._by_id.get(number)

    # Who runs.

    def _runs_where(self):
        """Record index -> thread, of the threads that stand on a coroutine's stack."""
        if self._on_thread is None:
            self._on_thread = {}
            for thread in self.port.threads():
                index = self.record_index_of(thread)
                if index is not None:
                    self._on_thread.setdefault(index, thread)
        return self._on_thread

    def record_index_of(self, thread):
        """The record of the coroutine that runs on a thread, by its stack pointer; None: none does, or not known."""
        if thread.sp is None:
            return None
        place = self.locate(thread.sp)
        if place is not None:
            return place.index if place.kind in ("stack", "redzone") else None
        worker = self.worker_of(thread)
        if worker is None:
            return None
        main = self._raw_record(worker.values["main"])
        return worker.values["main"] if main is not None and main.stack_limit <= thread.sp < main.stack_top else None

    def worker_of(self, thread):
        """The worker whose thread it is, or None."""
        return next((worker for worker in self.workers if worker.tid == thread.tid), None)

    def _raw_record(self, index):
        address, stride, count = self.layout.tables["records"]
        if not 0 <= index < count:
            return None
        try:
            return Coroutine(self, index, self.layout.record.struct.unpack(self.memory.read(address + index * stride, stride)))
        except Unreadable:
            return None

    def _place(self, coroutine, on_thread):
        """Says of a coroutine what the threads say of it."""
        thread = on_thread.get(coroutine.index)
        if thread is not None and coroutine.state != "free":
            coroutine.thread, coroutine.state = thread, RUNNING
        elif coroutine.state == RUNNING:
            coroutine.state = LOST if self.is_forked else self._switching_or_elsewhere(coroutine, on_thread)

    def _switching_or_elsewhere(self, coroutine, on_thread):
        """No thread is on its stack, but it is said to run: either it is in the middle of a switch, or its thread stands on
        a signal's stack, or can't be asked since it runs on."""
        worker = next((worker for worker in self.workers if worker.number == coroutine.worker), None)
        if worker is None:
            return SWITCHING
        thread = next((thread for thread in self.port.threads() if thread.tid == worker.tid), None)
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
            return coroutine if coroutine.state != "free" else None
        worker = self.worker_of(thread)
        if worker is None:
            return None
        return next((coroutine for coroutine in self.coroutines()
                     if coroutine.thread is not None and coroutine.thread.tid == thread.tid), None)

    # Addresses.

    def locate(self, address):
        """What lies at an address, a `Place`; None: it is not the region's."""
        base, length = self.header["region_base"], self.header["region_length"]
        if not base <= address < base + length:
            return None
        for klass in self.classes:
            if klass.stride == 0 or not klass.base <= address < klass.end + klass.redzone:
                continue
            number, offset = divmod(address - klass.base, klass.stride)
            if number >= klass.count:
                return Place("behind", klass)
            index = klass.first + number
            if offset < klass.redzone:
                return Place("redzone", klass, index, klass.redzone - offset)
            return Place("stack", klass, index, klass.stride - offset)
        first = min((klass.base for klass in self.classes if klass.stride), default=base + length)
        return Place("registry" if address < first else "unused")

    # What is waited for.

    def descriptor(self, fd):
        """What the runtime knows of a file descriptor; None: nothing."""
        row = self.layout.descriptor
        if row is None or "role" not in row.fields:
            return None
        address, stride, count = self.layout.tables["descriptors"]
        if not 0 <= fd < count:
            return None
        try:
            values = row.unpack(self.memory.read(address + fd * stride, stride))
        except Unreadable:
            return None
        role = self.layout.descriptor_roles.get(values["role"], "")
        if values["role"] == 0 or not role:
            return None
        data = values.get("address", b"")[: values.get("address_length", 0)]
        return Descriptor(fd, role, socket_address(data), values.get("last_user", 0))

    def mutex(self, address):
        """The fields of the mutex there, a dictionary; None when it can't be read."""
        return self._object(self.layout.mutex, address)

    def channel(self, address):
        """The fields of the channel there, a dictionary; None when it can't be read."""
        return self._object(self.layout.channel, address)

    def _object(self, row, address):
        if row is None:
            return None
        try:
            return row.unpack(self.memory.read(address, row.stride))
        except Unreadable:
            return None


#: In a field of the kind `owner`: the rest is a thread's number, and no coroutine's.
PLAIN_THREAD = 1 << 63


def socket_address(data):
    """`127.0.0.1:8080` or `[::1]:8080` of a sockaddr's bytes; '' when it is neither."""
    import socket
    family = int.from_bytes(data[:2], "little")
    if family == socket.AF_INET and len(data) >= 8:
        return f"{socket.inet_ntop(socket.AF_INET, data[4:8])}:{int.from_bytes(data[2:4], 'big')}"
    if family == socket.AF_INET6 and len(data) >= 24:
        return f"[{socket.inet_ntop(socket.AF_INET6, data[8:24])}]:{int.from_bytes(data[2:4], 'big')}"
    return ""


def open_registries(port):
    """A registry of each runtime in the program that has started, and sentences about those that can't be read."""
    registries, problems, seen = [], [], set()
    for address in port.header_addresses():
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


_CRATE_HASH = re.compile(r"::h[0-9a-f]{16}$")


def plain_function(name):
    """A function's name without the hash that symbol tables have."""
    return _CRATE_HASH.sub("", name)
