"""The report of a fault: what it means for the coroutines, as one line and at length.

`verdict` decides; here is what it decides by, and the words.
"""

from . import backtrace, source, text, verdict
from .coroutine import FREE
from .memory import Unreadable
from .rendering import frame_lines

BIGGEST = 4
#: Bytes of code that are looked at before the fault.
CODE = 64
FRAMES = 60


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
        below = f"{text.plural(distance, 'byte')} below"
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
            return f"{who} ran off the top of its stack, by {text.plural(distance, 'byte')}"
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

    def what(self, is_brief=False):
        """`SIGSEGV: touched 0x… in its redzone, 176 bytes below the stack, 8 bytes above the stack pointer,
        in f at src/f.rs:3`; `is_brief`: without the stack pointer."""
        if self.address is None:
            return f"{self.signal} on thread {self.thread.number}"
        words = f"{self.signal}: touched {self.address:#x}"
        if self.verdict.kind in ("overflow", "underrun") and self.verdict.distance > 0:
            words += f" in its redzone, {text.plural(self.verdict.distance, 'byte')} below the stack"
        elif self.verdict.kind == "native overflow" and self.verdict.distance > 0:
            words += f", {text.plural(self.verdict.distance, 'byte')} below the stack"
        apart = self.address - self.thread.sp
        if abs(apart) < 1 << 24 and not is_brief:
            words += (
                f", {text.plural(abs(apart), 'byte')} {'above' if apart >= 0 else 'below'} the stack pointer"
                if apart
                else ", at the stack pointer"
            )
        place = next(iter(self._session.frames(self._registry).locations(self.thread.pc, False)), None)
        return words + (f", in {source.text(place)}" if place is not None and place.function else "")

    def short(self):
        """One line, for a stop."""
        words = self.headline()
        if self.verdict.is_overflow and self.coroutine is not None:
            found = backtrace.take(self._session.port, self.coroutine, lambda frame: [], names=_Names())
            weight, _ = self._weighed(found)
            words += f": {weight_in_words(weight, self.coroutine.stack_size)}"
        return f"{words} ({self.what(is_brief=True)}); `coro crash` says more"

    def long(self):
        """The report's lines."""
        yield self.headline()
        yield f"  what      {self.what()}"
        if self.coroutine is None:
            return
        coroutine = self.coroutine
        size = coroutine.stack_size
        used = coroutine.stack_top - self.thread.sp
        yield (f"  stack     {text.size_in_words(size)} {coroutine.stack_limit:#x}..{coroutine.stack_top:#x}"
               + self._redzone() + (f"; {text.size_in_words(used)} in use" if used >= 0 else ""))
        if coroutine.spawn_site:
            lifetime = coroutine.lifetime
            parent = self._registry.by_id(coroutine.parent)
            yield (f"  spawned   {coroutine.spawn_site}"
                   + (f", {text.duration(lifetime)} ago" if lifetime is not None else "")
                   + (f", by coroutine {text.who(parent.id, parent.name)}" if parent is not None else ""))
        port = self._session.port
        found = backtrace.take(
            port, coroutine, lambda frame: frame_lines(port, frame), FRAMES, names=_Names()
        )
        weight, is_whole = self._weighed(found)
        if self.verdict.is_overflow:
            yield "  verdict   " + weight_in_words(weight, size)
        yield f"backtrace, innermost first ({text.plural(found.count, 'frame')}):"
        for line in found.lines:
            yield f"  {line}"
        biggest = biggest_frames(found.stretches)
        if biggest:
            yield "biggest frames: " + " | ".join(biggest)
        alive = sum(count for state, count in self._registry.count_states().items() if state != FREE)
        yield f"other coroutines: {alive - 1:,}"
        if self.verdict.is_overflow:
            used = sum(stretch.size for stretch in found.stretches)
            yield "advice    " + verdict.advice(weight, used, size, is_whole)

    def _weighed(self, found):
        """What filled the stack, and whether the size of a frame that is being made is known whole."""
        making = verdict.frame_being_made(self._code()) if self.verdict.is_overflow else None
        if making and found.stretches:
            # Of the frame that is being made only a part has been taken.
            found.stretches[0].size = max(found.stretches[0].size, making)
        return verdict.weigh(found.stretches, self.coroutine.stack_size), making is not None

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


def weight_in_words(weight, stack_size):
    """`runaway recursion: parse::odd <-> parse::even, 211 rounds of 928 B`"""
    share = f"{100 * weight.share:.0f} % of the stack"
    if weight.kind == "recursion":
        return (
            f"runaway recursion: {' <-> '.join(weight.functions)}, {text.plural(weight.rounds, 'round')} of "
            f"{text.plural(weight.size, 'byte')} ({share})"
        )
    if weight.kind == "frame":
        return f"a large frame: {weight.functions[0]}, {text.size_in_words(weight.size)} ({share})"
    return f"many frames together: {text.size_in_words(stack_size)} are not enough"


def biggest_frames(stretches):
    """`parse::odd 212 x 832 B`: the functions which took most of the stack."""
    by_function = {}
    for stretch in stretches:
        key = "/".join(dict.fromkeys(stretch.functions))
        count, total = by_function.get(key, (0, 0))
        by_function[key] = count + stretch.rounds, total + stretch.size
    ranked = sorted(by_function.items(), key=lambda item: -item[1][1])[:BIGGEST]
    return [f"{name} {count:,} x {total // count:,} = {text.size_in_words(total)}" if count > 1
            else f"{name} {text.size_in_words(total)}" for name, (count, total) in ranked if total > 0]
