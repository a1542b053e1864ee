"""Walks stacks by what was learnt of others: a hundred thousand in seconds.

Unwinding exactly, by the program's CFI, is the debugger's work and costs it a millisecond a stack. But most
of a program's coroutines stand where many others do. So one is unwound exactly, and teaches how large the
frame is that each return address belongs to; others are walked by these sizes in Python, from one memory
read.

A chain counts only if each of its return addresses was learnt with one size, and if it ends exactly where a
coroutine's first frame lies: the frame of `entry`, with the start function's address at its stack pointer,
just below the stack's top. Whatever doesn't fit is unwound exactly. A return address that was seen with two
sizes (a frame of variable size, a realigned stack) is never guessed by.
"""

import struct

from . import deep
from .memory import Unreadable
from .port import CommandError

#: Bytes of a stack that are read at once.
READ = 65536
_word = struct.Struct("<Q").unpack_from
#: A coroutine's first frame lies in the uppermost bytes of its stack.
HIGHEST = 4096


class Shape:
    """A way that many coroutines have gone: where the return addresses lie above the saved stack pointer, and
    which."""

    __slots__ = ("pcs", "offsets", "end", "words", "_struct")

    def __init__(self, pcs, offsets, start_function):
        """`offsets`: of each frame but the first, the distance of its stack pointer from the first one's."""
        self.pcs, self.offsets, self.end = pcs, offsets, offsets[-1]
        code, at = "<", 0
        for offset in offsets:
            code += f"{offset - 8 - at}x" * (offset - 8 > at) + "Q"
            at = offset
        self._struct = struct.Struct(code + "Q")
        #: The return addresses, and at last the start function's address at the first frame's stack pointer.
        self.words = (*pcs[1:], start_function)

    def place(self, position):
        """The offset at which a word lies."""
        return self.offsets[position] - 8 if position < len(self.offsets) else self.end

    def fits(self, data):
        """Whether a stack, read from its saved stack pointer on, has this shape."""
        return len(data) >= self._struct.size and self._struct.unpack_from(data) == self.words


class Fork:
    """Where shapes part: at that offset lies another return address for each."""

    __slots__ = ("position", "offset", "ways")

    def __init__(self, position, offset):
        self.position, self.offset, self.ways = position, offset, {}


class Shapes:
    """All shapes, found by the few return addresses in which they differ."""

    def __init__(self):
        self._root = None

    def find(self, data):
        """The one shape that a stack may have, or None."""
        node = self._root
        try:
            while type(node) is Fork:
                node = node.ways.get(_word(data, node.offset)[0])
        except struct.error:
            return None
        return node

    def add(self, shape):
        """Shapes with one beginning have the same offsets there, since a return address has one size."""
        if self._root is None:
            self._root = shape
            return
        # Any one that lies below where the new one belongs.
        other = self._root
        while type(other) is Fork:
            other = other.ways.get(_at(shape, other.position)) or next(iter(other.ways.values()))
        position = next((i for i, (a, b) in enumerate(zip(shape.words, other.words)) if a != b), None)
        if position is None:
            return
        above, node = None, self._root
        while type(node) is Fork and node.position < position:
            above, node = node, node.ways[_at(shape, node.position)]
        if type(node) is Fork and node.position == position:
            node.ways[_at(shape, position)] = shape
            return
        fork = Fork(position, shape.place(position))
        fork.ways = {_at(other, position): node, _at(shape, position): shape}
        if above is None:
            self._root = fork
        else:
            above.ways[_at(shape, above.position)] = fork


def _at(shape, position):
    return shape.words[position] if position < len(shape.words) else None


class Walker:
    """What has been learnt of one program's stacks, in one stop."""

    def __init__(self, port, registry):
        self._port, self._registry, self._memory = port, registry, registry.memory
        #: Return address (or resume point) -> size of its frame; None: it has several.
        self._sizes = {}
        #: (pc of the first frame, the start function's address) of those that were unwound exactly.
        self._ends = set()
        self._shapes = Shapes()
        self.exact = self.walked = 0

    def chain(self, coroutine):
        """The pcs of a coroutine's frames, innermost first, inlined ones not counted; () when it can't be
        unwound."""
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
        shape = self._shapes.find(data)
        if shape is not None and shape.pcs[0] == pc and shape.fits(data) and room - shape.end <= HIGHEST:
            return shape.pcs
        return self._step_by_step(sp, pc, room, data)

    def _step_by_step(self, sp, pc, room, data):
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
            self._shapes.add(shape)
        return shape.pcs

    def _unwound(self, coroutine):
        """By the debugger; what it says is learnt."""
        try:
            frames = deep.addresses(self._port, coroutine)
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
                    self._shapes = Shapes()
            if frames and frames[-1][2]:
                pc, sp, _ = frames[-1]
                self._ends.add((pc, self._memory.word(sp)))
        except Unreadable:
            # What was learnt before is right all the same.
            pass
