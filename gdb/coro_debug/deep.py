"""Deep stacks, without asking the debugger for each of their frames.

The debugger gives the innermost frames. When these are in the midst of a recursion, where the same return
addresses come again and again at the same distances, the rest of it is followed in the stack's memory, each
return address compared with the one that has to be there. Where the recursion ends the debugger goes on, from
the last round's frame: that it then comes to the coroutine's first frame proves that all was right. If not,
it has to be asked for every frame.
"""

import struct

from . import fold
from .memory import Unreadable
from .port import Start

#: Frames after which a recursion is looked for, and looked for again each time there are twice as many.
PROBE = 256
#: Rounds by which a cycle is believed, and by which it is learnt where registers are saved.
ROUNDS = 8
#: No stack has more frames: the deepest class's 8 MiB, in frames of two words.
MOST_FRAMES = 1 << 19
#: Where a function pushes registers: so many bytes below its return address.
PUSHES = 64
READ = 1 << 20


class Cycle:
    """A recursion in the midst of which the innermost frames end."""

    __slots__ = ("start", "period", "rounds", "pcs", "sizes")

    def __init__(self, start, period, rounds, pcs, sizes):
        self.start, self.period, self.rounds = start, period, rounds  # in frames, inlined ones too
        self.pcs, self.sizes = pcs, sizes  # of a round's real frames


def bounded(stack):
    for count, frame in enumerate(stack):
        if count == MOST_FRAMES:
            return
        yield frame


def keys(frames):
    """What makes frames alike: the address, and of inlined ones the place in the row of those with one
    address."""
    found, depth = [], 0
    for i, frame in enumerate(frames):
        depth = depth + 1 if i and frames[i - 1].pc == frame.pc and frames[i - 1].is_inlined else 0
        found.append((frame.pc, depth))
    return found


def addresses(port, coroutine):
    """(pc, sp, whether it is the boundary) of all frames of a coroutine but the inlined ones."""
    if port.starts_within:
        with port.open_stack(coroutine) as stack:
            frames, cycle = innermost(stack)
            found = [(frame.pc, frame.sp, frame.is_boundary) for frame in frames if not frame.is_inlined]
            if cycle is None:
                return found
            rounds, start = follow(port, cycle, frames, coroutine.stack_top)
            if start is not None:
                found = [
                    (frame.pc, frame.sp, False) for frame in frames[: cycle.start] if not frame.is_inlined
                ]
                at = frames[cycle.start].sp
                for _ in range(rounds - 1):
                    for pc, size in zip(cycle.pcs, cycle.sizes):
                        found.append((pc, at, False))
                        at += size
        if start is not None:
            with port.open_stack(coroutine, at=start) as stack:
                tail = list(bounded(stack))
            if is_continued(cycle, tail):
                return found + [
                    (frame.pc, frame.sp, frame.is_boundary) for frame in tail if not frame.is_inlined
                ]
    with port.open_stack(coroutine) as stack:
        return [(frame.pc, frame.sp, frame.is_boundary) for frame in bounded(stack) if not frame.is_inlined]


def innermost(stack):
    """(the innermost frames, the cycle in whose midst they end); (all frames, None) where there is no
    cycle."""
    frames, stack, wanted = [], iter(bounded(stack)), PROBE
    while True:
        for frame in stack:
            frames.append(frame)
            # Not between an inlined frame and its caller.
            if len(frames) >= wanted and not frame.is_inlined:
                break
        else:
            return frames, None
        cycle = _cycle_at_end(frames)
        if cycle is not None:
            return frames, cycle
        wanted *= 2


def _cycle_at_end(frames):
    """The cycle in the midst of which the frames end; None: there is none. Its sizes are those of one round:
    where others differ, it can't be followed."""
    runs = fold.fold(keys(frames))
    last = runs[-1]
    if last.rounds == 1:
        # The end of the frames may have cut the last round short.
        if len(runs) < 2 or runs[-2].rounds == 1 or last.period >= runs[-2].period:
            return None
        last = runs[-2]
    if last.rounds < ROUNDS:
        return None
    round_ = frames[last.start:last.start + last.period + 1]
    sps = [frame.sp for frame in round_[:-1] if not frame.is_inlined] + [round_[-1].sp]
    sizes = [above - sp for sp, above in zip(sps, sps[1:])]
    if any(size < 8 or size % 8 for size in sizes):
        return None
    pcs = [frame.pc for frame in round_[:-1] if not frame.is_inlined]
    return Cycle(last.start, last.period, last.rounds, pcs, sizes)


def follow(port, cycle, frames, top):
    """Follows a recursion in the memory of an open stack: (how many of its rounds are complete, the `Start`
    at the last one's first frame); the latter None where it doesn't go beyond what is known already."""
    rounds, sp = _count(port.memory, cycle, frames[cycle.start].sp, top)
    # Of the last one only the first frame is proved.
    if rounds <= cycle.rounds:
        return rounds, None
    sp -= sum(cycle.sizes)
    return rounds - 1, Start(sp, cycle.pcs[0], _registers(port, cycle, frames, sp))


def _count(memory, cycle, sp, top):
    """From a round's first frame on: (how many rounds begin, the stack pointer of the last one's first
    frame)."""
    size = sum(cycle.sizes)
    rounds = 1
    # From the first frame's stack pointer: where each return address of a round lies, and which it is.
    offsets, at = [], 0
    for i, step in enumerate(cycle.sizes):
        at += step
        offsets.append((at - 8, cycle.pcs[(i + 1) % len(cycle.pcs)]))
    data, base = b"", sp
    while sp + 2 * size <= top:
        if sp - base + size > len(data):
            base = sp
            data = memory.readable(base, min(max(READ, 2 * size), top - base))
            if len(data) < size:
                break
        at = sp - base
        if any(struct.unpack_from("<Q", data, at + offset)[0] != pc for offset, pc in offsets):
            break
        sp += size
        rounds += 1
    return rounds, sp


def _registers(port, cycle, frames, sp):
    """The callee-saved registers at the last round's first frame, by where the rounds before save them."""
    real = [
        frame
        for frame in frames[cycle.start : cycle.start + cycle.period * cycle.rounds]
        if not frame.is_inlined
    ]
    count = len(cycle.pcs)
    real = real[: count * min(cycle.rounds, ROUNDS)]
    values = [port.registers(frame) for frame in real]
    if not values[0]:
        return {}
    known = {}
    for register in values[0]:
        if all(register in row for row in values):
            value = _register(port.memory, register, values, real, count, cycle.sizes, sp)
            if value is not None:
                known[register] = value
    return known


def _register(memory, register, values, real, count, sizes, sp):
    """A register's value in the frame whose stack pointer that is: where the nearest frame inside saves
    it."""
    above = sp
    for position in reversed(range(count)):
        offset = _saved_at(memory, register, values, real, position, count, sizes[position])
        try:
            if offset is not None:
                return memory.word(above - offset)
        except Unreadable:
            return None
        above -= sizes[position]
    # No frame of the round saves it: it is as it was in the first one, if it is in all.
    first = values[0][register]
    return first if all(row[register] == first for row in values) else None


def _saved_at(memory, register, values, real, position, count, size):
    """How far below its CFA the frame at that position of a round saves its caller's register: where in each
    round its value lies; None: nowhere."""
    for offset in range(16, min(PUSHES, size) + 1, 8):
        try:
            if all(memory.word(real[i + 1].sp - offset) == values[i + 1][register]
                   for i in range(position, len(real) - 1, count)):
                return offset
        except Unreadable:
            return None
    return None


def is_continued(cycle, tail):
    """Whether the outer frames begin with a round of the recursion, and end where a coroutine's stack
    does."""
    pcs = [frame.pc for frame in tail if not frame.is_inlined]
    return pcs[:len(cycle.pcs)] == cycle.pcs and tail[-1].is_boundary
