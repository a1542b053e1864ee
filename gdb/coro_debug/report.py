"""The report of a fault: what it means for the coroutines, as one line and at length.

`verdict` decides; here is what it decides by, and the words.
"""

from . import access, backtrace, source, text, verdict
from .coroutine import FREE
from .memory import Unreadable
from .rendering import frame_lines

BIGGEST = 4
#: Bytes of code that are looked at before the fault.
CODE = 64
LONGEST_INSTRUCTION = 15
FRAMES = 60
NOT_UNWOUND = (
    "its stack can't be unwound: the executable is missing or another build's, or the stack has been overwritten"
)


def report_of(session, registry):
    """The report of the fault at which the program stands; None: it stands at none."""
    fault = session.port.fault()
    if fault is None:
        return None
    signal, address, number = fault
    thread = next((thread for thread in registry.threads() if thread.number == number), None)
    if thread is None or thread.sp is None:
        return None
    return Report(session, registry, signal, address, thread)


class Report:
    """One fault."""

    def __init__(self, session, registry, signal, address, thread):
        self._session, self._registry = session, registry
        self.signal, self.address, self.thread = signal, address, thread
        #: The coroutine that runs on the thread, by its stack pointer, or by its record where that jumped
        #: over a redzone.
        self.coroutine = registry.running_on(thread)
        self.facts = self._facts()
        self.verdict = verdict.classify(self.facts)
        if self.verdict.kind in ("jumped", "astray"):
            self.coroutine = registry.record(self.verdict.slot)
            # Its frames are those of the thread, wherever that stands.
            self.coroutine.thread = thread

    def _facts(self):
        registry, address = self._registry, self.address
        place = registry.locate(address) if address is not None else None
        is_free = False
        if place is not None and place.index is not None:
            is_free = (place.index - place.klass.first >= place.klass.used
                       or registry.record(place.index).state == FREE)
        own = registry.locate(self.thread.sp)
        facts = {"place": place, "is_free": is_free, "jumped": self._jumped(own),
                 "astray": self._astray(own, place)}
        if own is not None and own.kind in ("stack", "redzone"):
            limit, top = own.klass.stack(own.index)
            facts.update(own=own.index, limit=limit, top=top, redzone=own.klass.redzone)
        else:
            facts["native"] = self._native()
        return verdict.Facts(address, self.thread.sp, **facts)

    def _native(self):
        """The bounds of the worker's own stack on which the thread stands, or just below."""
        for worker in self._registry.workers:
            if worker.values["main"] >= self._registry.record_count:
                continue
            main = self._registry.record(worker.values["main"])
            if main.stack_limit - (1 << 20) <= self.thread.sp < main.stack_top:
                return main.stack_limit, main.stack_top
        return None

    def _jumped(self, own):
        """The slot of the one that the records say to run on this thread, when the stack pointer is in
        another's, below it: a frame larger than the redzone has jumped over that."""
        worker = self._registry.worker_of(self.thread)
        if worker is None or own is None or own.klass is None:
            return None
        for index in self._registry.said_to_run(worker.number):
            limit, _top = own.klass.stack(index)
            is_of_class = own.klass.first <= index < own.klass.first + own.klass.count
            if is_of_class and index != own.index and self.thread.sp < limit - own.klass.redzone:
                return index
        return None

    def _astray(self, own, place):
        """The slot of the one that the records say to run on this thread, when its own redzone was touched,
        and the stack pointer is not near that at all. The runtime does so itself, when such a one is about to
        give way."""
        worker = self._registry.worker_of(self.thread)
        if worker is None or place is None or place.kind != "redzone":
            return None
        if own is not None and own.index == place.index:
            return None
        return place.index if place.index in self._registry.said_to_run(worker.number) else None

    @property
    def concerns_coroutines(self):
        return self.verdict.kind not in ("elsewhere", "null", "none")

    def who(self):
        return (
            f"coroutine {text.who(self.coroutine.id, self.coroutine.name)}"
            if self.coroutine is not None
            else f"thread {self.thread.number}"
        )

    def headline(self):
        """What happened, without the address."""
        kind, slot, distance = self.verdict.kind, self.verdict.slot, self.verdict.distance
        who = self.who()
        below = f"{text.exact_size(distance)} below"
        if kind == "overflow":
            return f"{who} overflowed its stack"
        if kind == "jumped":
            return f"{who} overflowed its stack, and jumped over its redzone into another's"
        if kind == "astray":
            return f"{who} left its stack: its stack pointer is elsewhere"
        if kind == "native overflow":
            return f"{who} overflowed its thread's own stack"
        if kind == "underrun":
            return (
                f"{who} used a wild pointer: into its own redzone, {below} its stack, while its stack "
                "pointer is far above"
            )
        if kind == "above":
            return f"{who} ran off the top of its stack, by {text.exact_size(distance)}"
        if kind == "stranger":
            return f"{who} used a wild pointer: into the redzone of {self._tenant(slot)}"
        if kind == "freed":
            return f"{who} used a freed stack: {self._tenant(slot)}"
        if kind == "registry":
            return f"{who} used a wild pointer: into the coroutines' registry"
        if kind == "null":
            return f"{who} used a null pointer"
        if kind == "none":
            return f"{who} got {self.signal}, which touched no memory"
        return f"{who} touched memory that is no coroutine's redzone: not a matter of its stack"

    def _tenant(self, slot):
        """Who has a slot, or had it last."""
        if slot is None:
            return "no coroutine, behind the last stack"
        tenant = self._registry.record(slot)
        name = (
            f"coroutine {text.who(tenant.id, tenant.name)}"
            if tenant.id
            else f"slot {slot}, which was never used"
        )
        if tenant.state != FREE or not tenant.id:
            return name
        return f"of {name}, which has ended" + (
            f" (spawned at {tenant.spawn_site})" if tenant.spawn_site else ""
        )

    def what(self):
        """`write at 0x…, 176 B below the stack, by f (src/f.rs:3)`"""
        if self.address is None:
            return f"{self.signal} on thread {self.thread.number}"
        words = f"{self._access()} at {self.address:#x}"
        distance = self.verdict.distance
        if self.verdict.kind == "jumped":
            distance = self.coroutine.stack_limit - self.address
        if self.verdict.kind in ("overflow", "jumped", "underrun", "native overflow") and distance > 0:
            words += f", {text.exact_size(distance)} below the stack"
        if self.signal != "SIGSEGV":
            words += f", {self.signal}"
        here = self._session.frames(self._registry).locations(self.thread.pc, False)
        place = next(iter(here), None)
        if place is None or not place.function:
            return words + f", by {self.thread.pc:#x}" + self._caller(here)
        # A library's function says little; who called it says more.
        return words + f", by {source.by(place)}" + ("" if source.is_own(place) else self._caller(here))

    def _caller(self, here):
        """The innermost function whose source is known, and which isn't of Rust's own libraries. `here`: those at
        the thread's pc, of which GDB leaves out some of its frames where they only begin."""
        places = list(here)
        if self.coroutine is not None:
            found = backtrace.take(self._session.port, self.coroutine, lambda frame: [frame.location], FRAMES)
            places += [place for place in found.lines if not isinstance(place, str)]
        caller = next((place for place in places if place.function and source.is_own(place)), None)
        return f", called by {source.by(caller)}" if caller is not None else ""

    def _access(self):
        code = self._registry.memory.readable(self.thread.pc, LONGEST_INSTRUCTION)
        return access.access(code, self.thread.pc, self.address, self.thread.sp)

    def short(self):
        """One line, for a stop."""
        words = self.headline()
        if self.verdict.is_overflow and self.coroutine is not None:
            found = backtrace.take(self._session.port, self.coroutine, lambda frame: [], names=_Names())
            words += f": {self._why(found)}" if self._is_whole(found) else f"; {NOT_UNWOUND}"
        return f"{words} ({self.what()}); `coro crash` says more"

    def long(self):
        """The report's lines."""
        yield self.headline()
        yield f"  what      {self.what()}"
        if self.coroutine is None:
            return
        coroutine = self.coroutine
        size = coroutine.stack_size
        used = coroutine.stack_top - max(self.thread.sp, coroutine.stack_limit)
        yield (f"  stack     {text.size_in_words(size)} {coroutine.stack_limit:#x}..{coroutine.stack_top:#x}"
               + self._redzone()
               + (f"; {text.size_in_words(used)} in use" if used >= 0 and self.verdict.kind != "astray" else ""))
        if coroutine.spawn_site:
            lifetime = coroutine.lifetime
            parent = self._registry.by_id(coroutine.parent)
            at_least = ">" if self._registry.is_clock_old else ""
            yield (f"  spawned   {coroutine.spawn_site}"
                   + (f", {at_least}{text.duration(lifetime)} ago" if lifetime is not None else "")
                   + (f", by coroutine {text.who(parent.id, parent.name)}" if parent is not None else ""))
        port = self._session.port
        found = backtrace.take(
            port, coroutine, lambda frame: frame_lines(port, frame), FRAMES, names=_Names()
        )
        is_weighed = self.verdict.is_overflow and self._is_whole(found)
        if self.verdict.is_overflow:
            yield "  verdict   " + (self._why(found) if is_weighed else NOT_UNWOUND)
        yield f"backtrace, innermost first ({text.plural(found.count, 'frame')}):"
        for line in found.lines:
            yield f"  {line}"
        if is_weighed:
            biggest = biggest_frames(found.stretches)
            if biggest:
                yield "biggest frames: " + " | ".join(biggest)
        alive = sum(1 for one in self._registry.each() if one.kind == "user" and one.id != coroutine.id)
        yield f"other coroutines: {alive:,} alive"
        if is_weighed:
            weight, is_whole = self._weighed(found)
            used = sum(stretch.size for stretch in found.stretches)
            largest = max(klass.stack_size for klass in self._registry.classes if klass.stride)
            yield "advice    " + verdict.advice(weight, used, size, largest, is_whole)

    def _is_whole(self, found):
        """Whether a backtrace says what the stack is full of. The last frame of one that breaks off would be
        taken for all that lies above it."""
        if found.is_complete:
            return True
        # A thread's own stack has no boundary; above its first frame there is little.
        return self.coroutine.kind == "main" and found.beyond < verdict.FRAME_SHARE * self.coroutine.stack_size

    def _why(self, found):
        weight, _ = self._weighed(found)
        return verdict.weight_in_words(weight, self.coroutine.stack_size)

    def _weighed(self, found):
        """What filled the stack, and whether the size of a frame that is being made is known whole."""
        making = verdict.frame_being_made(self._code()) if self.verdict.is_overflow else None
        if making and found.stretches:
            # Of the frame that is being made only a part has been taken.
            found.stretches[0].size = max(found.stretches[0].size, making)
        weight = verdict.weigh(found.stretches, self.coroutine.stack_size)
        is_innermost = bool(found.stretches) and found.stretches[0].functions == weight.functions
        return weight, making is not None or not is_innermost

    def _code(self):
        """The code just before the fault."""
        try:
            return self._registry.memory.read(self.thread.pc - CODE, CODE)
        except Unreadable:
            return b""

    def _redzone(self):
        place = self._registry.locate(self.coroutine.stack_limit)
        return (
            f", redzone {text.size_in_words(place.klass.redzone)}"
            if place is not None and place.klass is not None
            else ""
        )


class _Names:
    """Names of frames' functions; each address is asked for once."""

    def __init__(self):
        self._known = {}

    def __call__(self, frame):
        if frame.pc not in self._known:
            function = frame.location.function
            self._known[frame.pc] = source.short_function(function) if function else f"{frame.pc:#x}"
        return self._known[frame.pc]


def biggest_frames(stretches):
    """`parse::odd 212 x 832 B = 172 KiB`: the functions which took most of the stack."""
    by_function = {}
    for stretch in stretches:
        for function, size in zip(stretch.functions, stretch.sizes):
            count, total = by_function.get(function, (0, 0))
            by_function[function] = count + stretch.rounds, total + size
    whole = sum(total for _, total in by_function.values())
    ranked = sorted(by_function.items(), key=lambda item: -item[1][1])[:BIGGEST]
    return [f"{name} {count:,} x {text.exact_size(total // count)} = {text.size_in_words(total)}" if count > 1
            else f"{name} {text.size_in_words(total)}" for name, (count, total) in ranked if total * 50 >= whole]
