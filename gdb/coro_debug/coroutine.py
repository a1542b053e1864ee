"""One coroutine, as its record and the threads' stack pointers say."""

from .memory import decode

#: In a record's `worker`: on none.
NO_WORKER = 0xFFFF_FFFF
#: Nanoseconds. No real deadline is further away.
CENTURY = 100 * 365 * 86400 * 10 ** 9
#: Bytes above a saved stack pointer, which are more than what `switch` leaves there.
LEFT = 512
FREE = "free"
RUNNING, SWITCHING, LOST = "running", "switching", "lost (fork)"


class Worker:
    """An OS thread with its main, switch and io coroutines."""

    def __init__(self, number, values):
        self.number = number
        self.tid = values["thread"]
        self.values = values


class Coroutine:
    """One coroutine, or the rest of a record."""

    __slots__ = ("registry", "index", "_row", "state", "thread")

    def __init__(self, registry, index, row):
        self.registry = registry
        self.index = index
        self._row = row
        #: The record's state, or what the threads say: running, switching, lost (fork).
        self.state = registry.state_name(self.word)
        #: The `port.Thread` on whose stack pointer's word it runs, or None.
        self.thread = None

    def _field(self, name):
        return self._row[self.registry.index[name]]

    def _optional(self, name):
        """A number which older programs' records don't have: 0 then."""
        at = self.registry.index.get(name)
        return 0 if at is None else self._row[at]

    word = property(lambda self: self._field("state"), doc="The state word.")
    id = property(lambda self: self._field("id"))
    since = property(lambda self: self._field("since"))
    deadline = property(lambda self: self._field("wait_deadline"))
    parent = property(lambda self: self._field("parent"))
    link = property(
        lambda self: self._field("link"), doc="Where the context lies to which its backtrace goes on."
    )
    wait_object = property(lambda self: self._field("wait_object"))
    spawned_at = property(lambda self: self._field("spawned_at"))
    stack_limit = property(lambda self: self._field("stack_limit"))
    stack_top = property(lambda self: self._field("stack_top"))
    worker = property(lambda self: self._field("worker"), doc="The number of its worker.")

    @property
    def name(self):
        return decode(self._field("name"))

    @property
    def flags(self):
        return self.registry.flag_names(self.word)

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
        bits = self._optional("requests")
        return [name for bit, name in self.registry.layout.requests.items() if bits & bit]

    @property
    def extra(self):
        """What is known of its heap part, a dictionary; None: it has none, or it can't be read."""
        address = self._optional("extra")
        return self.registry.extra(address) if address and self.state != FREE else None

    @property
    def families(self):
        """The scopes, groups and pools whose member it is, each an `objects.Family`, the one that took it in last first."""
        extra = self.extra or {}
        heads = [extra[name] for name in ("family", "second_family") if extra.get(name)]
        return [family for family in map(self.registry.family, dict.fromkeys(heads)) if family is not None]

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
        """Bytes from its stack pointer to the top; None when not known, or when there is nothing on its stack
        any more. One that has overflowed its stack, and stands in its own redzone, uses all of it."""
        sp = self.sp
        if sp is None and self.thread is not None and self._is_in_own_redzone(self.thread.sp):
            sp = self.stack_limit
        return self.stack_top - sp if sp is not None and sp in self and self.state != "exited" else None

    def _is_in_own_redzone(self, address):
        place = self.registry.locate(address) if address is not None else None
        return place is not None and place.kind == "redzone" and place.index == self.index

    @property
    def is_running(self):
        return self.state == RUNNING

    @property
    def has_saved_registers(self):
        """Whether it can be unwound from where it was left."""
        return self.thread is None and self.state in ("new", "ready", "parked", SWITCHING)

    @property
    def has_stack(self):
        """Whether what it has left on its stack is there: a core may have zeros in its place. None: it has left
        nothing there, or its stack isn't the region's."""
        sp, _pc = self.context
        if not self.has_saved_registers or sp not in self or self.registry.locate(sp) is None:
            return None
        # Return addresses are among it.
        return any(self.registry.memory.readable(sp, min(self.stack_top - sp, LEFT)))

    @property
    def age(self):
        """Nanoseconds that it has been in its state; None when not known."""
        return self._elapsed(self.since)

    @property
    def lifetime(self):
        """Nanoseconds since it was spawned; None when not known."""
        return self._elapsed(self.spawned_at)

    def _elapsed(self, since):
        now = self.registry.now
        return None if not since or now is None else max(now - since, 0)

    @property
    def time_left(self):
        """Nanoseconds to its deadline, negative when that has passed; None: no deadline, or one which never
        comes (the longest duration there is)."""
        if not self.deadline or self.registry.now is None or self.deadline - self.registry.now > CENTURY:
            return None
        return self.deadline - self.registry.now

    @property
    def spawn_place(self):
        """(file, line) where it was spawned; ("", 0) when not known: main's own, or the executable's data
        isn't there."""
        file = self.registry.source_text(self._field("spawn_file"), self._field("spawn_file_length"))
        return (file, self._field("spawn_line")) if file else ("", 0)

    @property
    def spawn_site(self):
        """`file:line:column`, or ''."""
        file, line = self.spawn_place
        if not file:
            return ""
        column = self._optional("spawn_column")
        return f"{file}:{line}" + (f":{column}" if column else "")

    @property
    def record_address(self):
        address, stride, _ = self.registry.layout.tables["records"]
        return address + self.index * stride

    @property
    def oddities(self):
        """What can't be right in its record: sentences."""
        found = []
        place = self.registry.locate(self.stack_limit)
        if place is not None and place.klass is not None:
            limit, top = place.klass.stack(self.index)
            if (limit, top) != (self.stack_limit, self.stack_top):
                found.append(
                    f"its stack is said to be {self.stack_limit:#x}..{self.stack_top:#x}, and its slot has "
                    f"{limit:#x}..{top:#x}"
                )
        elif self.kind != "main":
            found.append(
                f"its stack is said to be {self.stack_limit:#x}..{self.stack_top:#x}, which is no slot's"
            )
        if self.has_saved_registers and self.context[0] not in self:
            found.append(f"its saved stack pointer {self.context[0]:#x} is not on its stack")
        if self.state.startswith("state "):
            found.append(f"`{self.state}` is no state")
        if self.id == 0:
            found.append("it has no id")
        return found

    def saved_registers(self):
        """DWARF register number -> value, of one that doesn't run; raises `memory.Unreadable`."""
        sp, _pc = self.context
        values = {}
        for register in self.registry.layout.registers:
            if register.kind == "saved register":
                values[register.extra] = self.registry.memory.word(sp + register.offset)
            else:
                values[register.extra] = sp + register.offset
        return values
