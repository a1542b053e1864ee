"""Walks stacks by what was learnt of others: a hundred thousand in seconds.

Unwinding exactly, by the program's CFI, is the debugger's work and costs it a millisecond a stack. But most of a program's
coroutines stand where many others do. So one is unwound exactly, and teaches how large the frame is that each return
address belongs to; others are walked by these sizes in Python, from one memory read.

A chain counts only if each of its return addresses was learnt with one size, and if it ends exactly where a coroutine's
first frame lies: the frame of `entry`, with the start function's address at its stack pointer, just below the stack's
top. Whatever doesn't fit is unwound exactly. A return address that was seen with two sizes (a frame of variable size, a
realigned stack) is never guessed by.
"""

import struct

from . import backtrace
from .memory import Unreadable
from .port import CommandError

#: Bytes of a stack that are read at once.
READ = 65536
#: A coroutine's first frame lies in the uppermost bytes of its stack.
HIGHEST = 4096
#: Shapes that are compared before a stack is walked frame by frame.
MOST_SHAPES = 8


class Shape:
    """A way that many coroutines have gone: where the return addresses lie above the saved stack pointer, and which."""

    __slots__ = ("pcs", "offsets", "end", "_struct", "_words")

    def __init__(self, pcs, offsets, start_function):
        """`offsets`: of each frame but the first, the distance of its stack pointer from the first one's."""
        self.pcs, self.offsets, self.end = pcs, offsets, offsets[-1]
        code, at = "<", 0
        for offset in offsets:
            code += f"{offset - 8 - at}x" * (offset - 8 > at) + "Q"
            at = offset
        self._struct = struct.Struct(code + "Q")
        self._words = (*pcs[1:], start_function)

    def fits(self, data):
        """Whether a stack, read from its saved stack pointer on, has this shape."""
        return len(data) >= self._struct.size and self._struct.unpack_from(data) == self._words


class Walker:
    """What has been learnt of one program's stacks, in one stop."""

    def __init__(self, port, registry):
        self._port, self._registry, self._memory = port, registry, registry.memory
        #: Return address (or resume point) -> size of its frame; None: it has several.
        self._sizes = {}
        #: (pc of the first frame, the start function's address) of those that were unwound exactly.
        self._ends = set()
        self._shapes = {}
        self.exact = self.walked = 0

    def chain(self, coroutine):
        """The pcs of a coroutine's frames, innermost first, inlined ones not counted; () when it can't be unwound."""
        if coroutine.has_saved_registers:
            pcs = self._by_what_is_known(coroutine)
            if pcs is not None:
                self.walked += 1
                return pcs
        self.exact += 1
        return self._unwound(coroutine)

    def _by_what_is_known(self, coroutine):
        sp, pc = coroutine.context
        room = coroutine.stack_top - sp
        if sp not in coroutine or self._sizes.get(pc) is None:
            return None
        try:
            data = self._memory.read(sp, min(room, READ))
        except Unreadable:
            return None
        shapes = self._shapes.setdefault(_key(self._sizes[pc], pc, data), [])
        for i, shape in enumerate(shapes[:MOST_SHAPES]):
            if shape.fits(data) and room - shape.end <= HIGHEST:
                if i:
                    shapes.insert(0, shapes.pop(i))
                return shape.pcs
        return self._step_by_step(sp, pc, room, data, shapes)

    def _step_by_step(self, sp, pc, room, data, shapes):
        """By the frames' sizes, from one return address to the next."""
        pcs, offsets, at = [pc], [], 0
        boundaries = {end for end, _ in self._ends}
        while pc not in boundaries:
            size = self._sizes.get(pc)
            if size is None:
                return None
            at += size
            if at + 8 > len(data):
                if at + 8 > room or len(data) == room:
                    return None
                try:
                    data = self._memory.read(sp, room)
                except Unreadable:
                    return None
            pc, = struct.unpack_from("<Q", data, at - 8)
            pcs.append(pc)
            offsets.append(at)
        start_function, = struct.unpack_from("<Q", data, at)
        if not offsets or (pc, start_function) not in self._ends or room - at > HIGHEST:
            return None
        shape = Shape(tuple(pcs), offsets, start_function)
        if at < READ:
            shapes.insert(0, shape)
        return shape.pcs

    def _unwound(self, coroutine):
        """By the debugger; what it says is learnt."""
        try:
            frames = backtrace.addresses(self._port, coroutine)
        except CommandError:
            # Its thread runs (non-stop mode), or it has none: what is known besides is worth a row.
            return ()
        if coroutine.has_saved_registers:
            self._learn(frames)
        return tuple(pc for pc, _, _ in frames)

    def _learn(self, frames):
        try:
            for (pc, sp, _), (caller, above, _) in zip(frames, frames[1:]):
                size = above - sp
                is_plain = 8 <= size <= 1 << 32 and size % 8 == 0 and self._memory.word(above - 8) == caller
                if not is_plain or self._sizes.setdefault(pc, size) != size:
                    self._sizes[pc] = None
                    self._shapes.clear()
            if frames and frames[-1][2]:
                pc, sp, _ = frames[-1]
                self._ends.add((pc, self._memory.word(sp)))
        except Unreadable:
            # What was learnt before is right all the same.
            pass


def _key(size, pc, data):
    """Stacks with the same first return address are compared with each other."""
    return pc, data[size - 8:size]
