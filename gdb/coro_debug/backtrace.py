"""A coroutine's backtrace as lines, however deep its stack is: an overflow has thousands of frames.

The debugger is asked for the innermost frames. When these are in the midst of a recursion, where the same return addresses
come again and again at the same distances, the rest of it is followed in the stack's memory, each return address compared
with the one that has to be there. Where the recursion ends the debugger goes on, from the last round's frame: that it then
comes to the coroutine's first frame proves that all was right. If not, it is asked for every frame.
"""

import struct

from . import fold
from .memory import Unreadable
from .port import Start
from .text import plural

#: Frames after which a recursion is looked for, and looked for again each time there are twice as many.
PROBE = 256
#: Rounds by which a cycle is believed, and by which it is learnt where registers are saved.
ROUNDS = 8
#: No stack has more frames: the deepest class's 8 MiB, in frames of two words.
MOST_FRAMES = 1 << 19
#: Where a function pushes registers: so many bytes below its return address.
PUSHES = 64
READ = 1 << 20


class Stretch:
    """A part of a stack: the functions of one round (inlined ones not counted), how many rounds, the bytes of all."""

    __slots__ = ("functions", "rounds", "size")

    def __init__(self, functions, rounds, size):
        self.functions, self.rounds, self.size = functions, rounds, size


class Backtrace:
    """`lines`: what is shown. `count`: how many frames there are, inlined ones too. `stretches`: what the stack is made of,
    when that was asked for."""

    def __init__(self):
        self.lines, self.stretches, self.count = [], [], 0
        self.is_complete = False


class Cycle:
    """A recursion in the midst of which the innermost frames end."""

    __slots__ = ("start", "period", "rounds", "pcs", "sizes")

    def __init__(self, start, period, rounds, pcs, sizes):
        self.start, self.period, self.rounds = start, period, rounds  # in frames, inlined ones too
        self.pcs, self.sizes = pcs, sizes  # of a round's real frames


def take(port, coroutine, render, limit=0, is_exact=False, is_raw=False, names=None):
    """The `Backtrace` of a coroutine. `render`: a frame's lines; asked of those that are shown, while their stack is open.
    `limit`: most frames to show, 0 = all. `is_exact`: ask the debugger for each frame. `is_raw`: fold nothing. `names`: a
    function that names a frame's function; with it, `stretches` are told."""
    if not (is_exact or is_raw) and port.starts_within:
        found = _by_cycle(port, coroutine, render, limit, names)
        if found is not None:
            return found
    with port.open_stack(coroutine) as stack:
        return _whole(list(_bounded(stack)), coroutine, render, limit, is_raw, names)


def _bounded(stack):
    for count, frame in enumerate(stack):
        if count == MOST_FRAMES:
            return
        yield frame


def _whole(frames, coroutine, render, limit, is_raw, names):
    """Of a list with all frames."""
    found = Backtrace()
    found.count = len(frames)
    found.is_complete = bool(frames) and frames[-1].is_boundary
    runs = [fold.Run(0, len(frames), 1)] if is_raw else fold.fold(keys(frames))
    for part in _limited([part for run in runs for part in _shown(frames, run)], limit):
        found.lines += [part] if isinstance(part, str) else render(part)
    if names is not None:
        found.stretches = list(_stretches(frames, runs if not is_raw else fold.fold(keys(frames)), coroutine.stack_top,
                                          names))
    return found


def keys(frames):
    """What makes frames alike: the address, and of inlined ones the place in the row of those with one address."""
    found, depth = [], 0
    for i, frame in enumerate(frames):
        depth = depth + 1 if i and frames[i - 1].pc == frame.pc and frames[i - 1].is_inlined else 0
        found.append((frame.pc, depth))
    return found


def _note(count, period, first, size):
    """The line in place of all rounds but the first and the last; `first`: the level of the first one's first frame."""
    return (f"... {count:,} more {'round' if count == 1 else 'rounds'} of "
            f"{'this frame' if period == 1 else f'these {period} frames'} "
            f"(#{first + period} to #{first + period * (count + 1) - 1}), {plural(size, 'byte')} of stack each")


def _limited(shown, limit):
    """At most `limit` of the frames and lines: most of them the innermost ones, some the outermost."""
    if not limit or len(shown) <= limit:
        return shown
    outer = limit // 4
    left_out = [part for part in shown[limit - outer:len(shown) - outer] if not isinstance(part, str)]
    if not left_out:
        return shown
    first, last = left_out[0].level, left_out[-1].level
    note = f"... {plural(last - first + 1, 'frame')} (#{first} to #{last}) left out: `-limit 0` shows all"
    return [*shown[:limit - outer], note, *shown[len(shown) - outer:]]


def _stretches(frames, runs, top, names):
    """What a list of frames with its runs is made of."""
    for run in runs:
        if run.rounds > 1:
            functions = tuple(names(frame) for frame in frames[run.start:run.start + run.period] if not frame.is_inlined)
            yield Stretch(functions, run.rounds, _sp(frames, run.end, top) - frames[run.start].sp)
            continue
        for i in range(run.start, run.end):
            if not frames[i].is_inlined:
                yield Stretch((names(frames[i]),), 1, _sp(frames, i + 1, top) - frames[i].sp)


def _sp(frames, i, top):
    return frames[i].sp if i < len(frames) else top


# Deep stacks.

def _by_cycle(port, coroutine, render, limit, names):
    """The backtrace of a stack which ends, as far as was looked, in the midst of a recursion; None: it is not so, or what was
    found so doesn't hold."""
    found = Backtrace()
    with port.open_stack(coroutine) as stack:
        frames, cycle = _innermost(stack)
        if cycle is None:
            return _whole(frames, coroutine, render, limit, False, names)
        reached = _follow(port.memory, cycle, frames, coroutine.stack_top)
        if reached is None:
            return None
        rounds, sp = reached
        start = Start(sp, cycle.pcs[0], _registers(port, cycle, frames, sp))
        head = frames[:cycle.start + cycle.period]
        runs = fold.fold(keys(frames[:cycle.start]))
        shown = _limited([part for run in runs for part in _shown(frames, run)]
                         + frames[cycle.start:cycle.start + cycle.period], limit and max(limit - limit // 4, cycle.period))
        for part in shown:
            found.lines += [part] if isinstance(part, str) else render(part)
        if names is not None:
            found.stretches = list(_stretches(head[:cycle.start], runs, frames[cycle.start].sp, names))
            functions = tuple(names(frame) for frame in frames[cycle.start:cycle.start + cycle.period]
                              if not frame.is_inlined)
        first, level = frames[cycle.start].sp, frames[cycle.start].level
    size = sum(cycle.sizes)
    found.lines.append(_note(rounds - 2, cycle.period, level, size))
    with port.open_stack(coroutine, at=start) as stack:
        tail = list(_bounded(stack))
        if not _is_continued(cycle, tail):
            return None
        # In the last round, too, the recursion's frames are its own; what called it comes behind.
        for frame in tail:
            frame.level += level + cycle.period * (rounds - 1)
        runs = fold.fold(keys(tail))
        shown = _limited([part for run in runs for part in _shown(tail, run)], limit // 4)
        for part in shown:
            found.lines += [part] if isinstance(part, str) else render(part)
        if names is not None:
            after = cycle.period
            found.stretches.append(Stretch(functions, rounds, _sp(tail, after, coroutine.stack_top) - first))
            rest = tail[after:]
            found.stretches += _stretches(rest, fold.fold(keys(rest)), coroutine.stack_top, names)
    found.count = tail[-1].level + 1
    found.is_complete = True
    return found


def addresses(port, coroutine):
    """(pc, sp, whether it is the boundary) of all frames of a coroutine but the inlined ones."""
    if port.starts_within:
        with port.open_stack(coroutine) as stack:
            frames, cycle = _innermost(stack)
            found = [(frame.pc, frame.sp, frame.is_boundary) for frame in frames if not frame.is_inlined]
            reached = _follow(port.memory, cycle, frames, coroutine.stack_top) if cycle is not None else None
            if reached is not None:
                rounds, sp = reached
                start = Start(sp, cycle.pcs[0], _registers(port, cycle, frames, sp))
                found = [(frame.pc, frame.sp, False) for frame in frames[:cycle.start] if not frame.is_inlined]
                at = frames[cycle.start].sp
                for _ in range(rounds - 1):
                    for pc, size in zip(cycle.pcs, cycle.sizes):
                        found.append((pc, at, False))
                        at += size
        if cycle is None:
            return found
        if reached is not None:
            with port.open_stack(coroutine, at=start) as stack:
                tail = list(_bounded(stack))
            if _is_continued(cycle, tail):
                return found + [(frame.pc, frame.sp, frame.is_boundary) for frame in tail if not frame.is_inlined]
    with port.open_stack(coroutine) as stack:
        return [(frame.pc, frame.sp, frame.is_boundary) for frame in _bounded(stack) if not frame.is_inlined]


def _innermost(stack):
    """(the innermost frames, the cycle in whose midst they end); (all frames, None) where there is no cycle."""
    frames, stack, wanted = [], iter(_bounded(stack)), PROBE
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


def _shown(frames, run):
    """Of a run: frames, with a line in place of those left out. A line in place of one frame is no gain."""
    if (run.rounds - 2) * run.period <= 1:
        return frames[run.start:run.end]
    size = (frames[run.end - run.period].sp - frames[run.start].sp) // (run.rounds - 1)
    return [*frames[run.start:run.start + run.period],
            _note(run.rounds - 2, run.period, frames[run.start].level, size),
            *frames[run.end - run.period:run.end]]


def _cycle_at_end(frames):
    """The cycle in the midst of which the frames end; None: there is none, or its rounds differ in size."""
    runs = fold.fold(keys(frames))
    last = runs[-1]
    if last.rounds == 1:
        # The end of the frames may have cut the last round short.
        if len(runs) < 2 or runs[-2].rounds == 1 or last.period >= runs[-2].period:
            return None
        last = runs[-2]
    if last.rounds < ROUNDS:
        return None
    sizes = None
    for number in range(last.rounds - 1):
        start = last.start + number * last.period
        sps = [frame.sp for frame in frames[start:start + last.period] if not frame.is_inlined]
        sps.append(frames[start + last.period].sp)
        now = [above - sp for sp, above in zip(sps, sps[1:])]
        if sizes is not None and now != sizes:
            return None
        sizes = now
    if not sizes or any(size < 8 or size % 8 for size in sizes):
        return None
    pcs = [frame.pc for frame in frames[last.start:last.start + last.period] if not frame.is_inlined]
    return Cycle(last.start, last.period, last.rounds, pcs, sizes)


def _follow(memory, cycle, frames, top):
    """How far the recursion goes: (rounds that are complete, the stack pointer of the last one's first frame); None: not
    beyond what is known already."""
    size = sum(cycle.sizes)
    sp, rounds = frames[cycle.start].sp, 1
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
    # A round counts when all its frames go on as they have to: of the last one only the first frame is proved.
    if rounds <= cycle.rounds:
        return None
    return rounds - 1, sp - size


def _registers(port, cycle, frames, sp):
    """The callee-saved registers at the last round's first frame, by where the rounds before save them."""
    real = [frame for frame in frames[cycle.start:cycle.start + cycle.period * cycle.rounds] if not frame.is_inlined]
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
    """A register's value in the frame whose stack pointer that is: where the nearest frame inside saves it."""
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
    """How far below its CFA the frame at that position of a round saves its caller's register: where in each round its
    value lies; None: nowhere."""
    for offset in range(16, min(PUSHES, size) + 1, 8):
        try:
            if all(memory.word(real[i + 1].sp - offset) == values[i + 1][register]
                   for i in range(position, len(real) - 1, count)):
                return offset
        except Unreadable:
            return None
    return None


def _is_continued(cycle, tail):
    """Whether the outer frames begin with a round of the recursion, and end where a coroutine's stack does."""
    pcs = [frame.pc for frame in tail if not frame.is_inlined]
    return pcs[:len(cycle.pcs)] == cycle.pcs and tail[-1].is_boundary
