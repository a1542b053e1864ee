"""What a fault means: from the address that was touched, the stack pointer, and what lies there. Values in,
values out.

By the address, never by the signal's code: a guard page, a protected one and one that isn't mapped differ in
that alone.
"""

import re

from .text import exact_size, size_in_words

#: How far below its stack pointer a function touches its stack: the ABI's red zone, and a probe of the next
#: page.
REACH = 8192
#: An address as small is what a null pointer with a field's offset gives.
NULL_PAGE = 65536
#: A cycle that covers so much of the stack, in so many rounds, is a runaway recursion; a frame of so much is
#: a large one.
RECURSION_SHARE, RECURSION_ROUNDS, FRAME_SHARE = 0.8, 50, 0.5
#: Functions of a cycle that are named.
MOST_OF_CYCLE = 4


class Facts:
    """What is known of a fault. Of the coroutine that the stack pointer says runs: `own` (its slot), `limit`,
    `top`, `redzone` (bytes); None on a native stack, whose bounds are `native` then, if it is a worker's.
    `place`: where the address lies, as `places.locate` says. `is_free`: whether that slot has no tenant.
    `astray`: the slot of such a one, whose own redzone was touched while its stack pointer is anywhere else.
    `jumped`: the slot of one that the records say to run on this thread, while its stack pointer is below
    that one's redzone."""

    def __init__(
        self,
        address,
        sp,
        own=None,
        limit=0,
        top=0,
        redzone=0,
        place=None,
        is_free=False,
        native=None,
        jumped=None,
        astray=None,
    ):
        self.address, self.sp, self.own = address, sp, own
        self.limit, self.top, self.redzone = limit, top, redzone
        self.place, self.is_free, self.native = place, is_free, native
        self.jumped, self.astray = jumped, astray


class Verdict:
    """`kind`: overflow, jumped, astray, underrun, above, stranger, freed, registry, native overflow, null, elsewhere,
    none. `slot`: the one whose stack or redzone was touched, where another than the running coroutine's;
    `distance`: bytes, as the kind says: below the stack's limit (overflow, underrun, stranger), above its top
    (above)."""

    def __init__(self, kind, slot=None, distance=0):
        self.kind, self.slot, self.distance = kind, slot, distance

    @property
    def is_overflow(self):
        return self.kind in ("overflow", "jumped", "native overflow")

    def __repr__(self):
        return f"Verdict({self.kind!r}, slot={self.slot}, distance={self.distance})"


def classify(facts):
    """The verdict on a fault."""
    address, sp, place = facts.address, facts.sp, facts.place
    if facts.jumped is not None:
        return Verdict("jumped", facts.jumped)
    if facts.astray is not None:
        return Verdict("astray", facts.astray)
    if address is None:
        return Verdict("none")
    if place is None:
        return _outside(facts)
    if place.kind == "registry":
        return Verdict("registry")
    if place.kind == "unused":
        return Verdict("elsewhere")
    if facts.own is not None and place.kind == "redzone" and place.index == facts.own:
        is_near = sp < facts.limit or address >= sp - REACH
        return Verdict("overflow" if is_near else "underrun", facts.own, facts.limit - address)
    if facts.own is not None and facts.top <= address < facts.top + facts.redzone:
        return Verdict("above", place.index, address - facts.top)
    if place.kind == "behind":
        return Verdict("stranger", None, 0)
    if facts.is_free:
        return Verdict("freed", place.index)
    if place.kind == "redzone":
        return Verdict("stranger", place.index, place.distance)
    return Verdict("elsewhere", place.index)


def _outside(facts):
    """Of an address that is not the region's."""
    if facts.address < NULL_PAGE:
        return Verdict("null")
    if facts.native is not None:
        limit, top = facts.native
        # The kernel lets such a stack grow to its limit, whose last pages it keeps free.
        is_low = limit - (1 << 20) <= facts.address < limit + min(256 << 10, (top - limit) // 4)
        if is_low and facts.sp - REACH <= facts.address and facts.sp < top:
            return Verdict("native overflow", distance=limit - facts.address)
    return Verdict("elsewhere")


class Weight:
    """Where a stack's bytes went. `size`: of one round, or of the frame."""

    def __init__(self, kind, functions=(), rounds=0, size=0, percent=0):
        self.kind = kind  # "recursion", "frame", or "depth"
        self.functions, self.rounds, self.size, self.percent = functions, rounds, size, percent


def weigh(stretches, stack_size):
    """What filled a stack, by its stretches (`backtrace.Stretch`)."""
    if not stretches or stack_size <= 0:
        return Weight("depth")
    most = max(stretches, key=lambda stretch: stretch.size if stretch.rounds > 1 else -1)
    if most.rounds >= RECURSION_ROUNDS and most.size >= RECURSION_SHARE * stack_size:
        percent = min(100 * most.size // stack_size, 100)
        return Weight("recursion", most.functions, most.rounds, most.size // most.rounds, percent)
    most = max(stretches, key=lambda stretch: stretch.size if stretch.rounds == 1 else -1)
    if most.rounds == 1 and most.size >= FRAME_SHARE * stack_size:
        return Weight("frame", most.functions, 1, most.size, 100 * most.size // stack_size)
    return Weight("depth")


def cycle_in_words(functions, between):
    """The functions of a cycle, each once; of a long one the first few."""
    functions = list(dict.fromkeys(functions))
    return between.join(functions[:MOST_OF_CYCLE] + ["..."] * (len(functions) > MOST_OF_CYCLE))


def weight_in_words(weight, stack_size):
    """`runaway recursion: parse::odd <-> parse::even, 211 rounds of 928 B = 191.2 KiB (99 % of the stack)`"""
    share = f"{weight.percent} % of the stack"
    if weight.kind == "recursion":
        return (
            f"runaway recursion: {cycle_in_words(weight.functions, ' <-> ')}, {weight.rounds:,} rounds of "
            f"{exact_size(weight.size)} = {size_in_words(weight.size * weight.rounds)} ({share})"
        )
    if weight.kind == "frame":
        return f"a large frame: {weight.functions[0]}, {size_in_words(weight.size)} ({share})"
    return f"many frames together: {size_in_words(stack_size)} are not enough"


def advice(weight, used, stack_size, largest, is_whole=False):
    """What to do about an overflow: one sentence. `used`: bytes that were in use or asked for; `largest`: the
    largest stack that can be had; `is_whole`: the large frame's size is that of all of it, and not of as much
    as had been taken."""
    if weight.kind == "recursion":
        return ("unbounded recursion: a bigger stack will not help; limit the depth of "
                + cycle_in_words(weight.functions, "/"))
    wanted = roomy(used, largest)
    if weight.kind == "frame":
        size = ("" if is_whole else "more than ") + size_in_words(weight.size)
        words = f"`{weight.functions[0]}` has a frame of {size} (a large array or a buffer by value): box it"
        if not is_whole:
            return words + ", or give the coroutine a stack_size(...) of twice the array"
        return words + (f", or give the coroutine stack_size({wanted} * 1024)" if wanted else "")
    if wanted and wanted << 10 > stack_size:
        return f"it needs more than {size_in_words(stack_size)}: give the coroutine stack_size({wanted} * 1024)"
    return (f"it needs more than {size_in_words(stack_size)}, and no stack is larger: limit the depth of its "
            "calls")


#: How LLVM's loop begins that probes a large frame page by page: r11 = rsp - size.
_PROBES = re.compile(rb"\x49\x89\xe3\x49\x81\xeb(.{4})|\x4c\x8d\x9c\x24(.{4})", re.S)


def frame_being_made(code):
    """How large the frame is that a function is about to take, when it is probing its stack page by page: by
    the code just before the fault (`mov r11, rsp; sub r11, size`, or `lea r11, [rsp - size]`). None: it is
    not doing so."""
    found = list(_PROBES.finditer(code))
    if not found:
        return None
    subtracted, added = found[-1].groups()
    if subtracted:
        return int.from_bytes(subtracted, "little")
    distance = int.from_bytes(added, "little", signed=True)
    return -distance if distance < 0 else None


def roomy(size, largest):
    """KiB of a stack on which so many bytes have room, and as many besides: a power of two. None: no stack is
    so large."""
    wanted = 64
    while wanted < 2 * size >> 10:
        wanted *= 2
    if wanted * 1024 <= largest:
        return wanted
    # The largest one will do without as much to spare.
    return largest >> 10 if size * 5 // 4 <= largest else None
