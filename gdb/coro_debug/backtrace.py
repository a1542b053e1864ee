"""A coroutine's backtrace as lines, however deep its stack is: an overflow has thousands of frames.

Repeats are shown as one round, a line that counts them, and the last round. Of a recursion the debugger is
asked for the innermost and the outermost frames alone: see `deep`.
"""

from . import deep, fold
from .deep import keys
from .text import exact_size, plural


class Stretch:
    """A part of a stack: the functions of one round (inlined ones not counted), how many rounds, the bytes of
    all. `sizes`: what each of the functions takes in all rounds together."""

    __slots__ = ("functions", "rounds", "size", "sizes")

    def __init__(self, functions, rounds, size, sizes=None):
        self.functions, self.rounds, self.size = functions, rounds, size
        self.sizes = sizes or (size,)


class Backtrace:
    """`lines`: what is shown. `count`: how many frames there are, inlined ones too. `stretches`: what the
    stack is made of, when that was asked for. `is_complete`: whether it comes to the coroutine's first frame.
    `beyond`: the bytes from the last frame's stack pointer to the stack's top."""

    def __init__(self):
        self.lines, self.stretches, self.count = [], [], 0
        self.is_complete = False
        self.beyond = 0


def take(port, coroutine, render, limit=0, is_exact=False, is_raw=False, names=None, first=0):
    """The `Backtrace` of a coroutine. `render`: a frame's lines; asked of those that are shown, while their
    stack is open. `limit`: most frames to show, 0 = all. `is_exact`: ask the debugger for each frame.
    `is_raw`: fold nothing. `names`: a function that names a frame's function; with it, `stretches` are
    told. `first`: the innermost frame's number."""
    if not (is_exact or is_raw) and port.starts_within:
        found = _by_cycle(port, coroutine, render, limit, names, first)
        if found is not None:
            return found
    with port.open_stack(coroutine) as stack:
        return _whole(_numbered(list(deep.bounded(stack)), first), coroutine, render, limit, is_raw, names)


def _numbered(frames, first):
    for frame in frames:
        frame.level += first
    return frames


def _whole(frames, coroutine, render, limit, is_raw, names):
    """Of a list with all frames."""
    found = Backtrace()
    found.count = len(frames)
    found.is_complete = bool(frames) and frames[-1].is_boundary
    found.beyond = coroutine.stack_top - frames[-1].sp if frames else coroutine.stack_size
    runs = [fold.Run(0, len(frames), 1)] if is_raw else fold.fold(keys(frames))
    for part in _limited([part for run in runs for part in _shown(frames, run)], limit):
        found.lines += [part] if isinstance(part, str) else render(part)
    if names is not None:
        found.stretches = _stretches(frames, coroutine.stack_top, names)
    return found


def _note(count, period, first, size):
    """The line in place of all rounds but the first and the last; `first`: the level of the first one's first
    frame."""
    return (
        f"... {count:,} more {'round' if count == 1 else 'rounds'} of "
        f"{'this frame' if period == 1 else f'these {period} frames'} "
        f"(#{first + period} to #{first + period * (count + 1) - 1}), {exact_size(size)} a round"
    )


def _limited(shown, limit):
    """At most `limit` of the frames: most of them the innermost ones, some the outermost. The lines between them
    that tell of repeats count for nothing."""
    frames = [at for at, part in enumerate(shown) if not isinstance(part, str)]
    if not limit or len(frames) <= limit:
        return shown
    outer = limit // 4
    start, end = frames[limit - outer], frames[len(frames) - outer - 1]
    first, last = shown[start].level, shown[end].level
    note = f"... {plural(last - first + 1, 'frame')} (#{first} to #{last}) left out: `-limit 0` shows all"
    return [*shown[:start], note, *shown[end + 1:]]


class _Rendered:
    """A frame of a stack that is closed by now."""

    __slots__ = ("level", "lines")

    def __init__(self, level, lines):
        self.level, self.lines = level, lines


def _stretches(frames, top, names):
    """What a list of frames is made of. Where a function calls itself from several places, its calls have no
    order, but it comes again and again."""
    frames = [frame for frame in frames if not frame.is_inlined]
    functions = [names(frame) for frame in frames]
    sps = [frame.sp for frame in frames] + [top]
    runs, by_function = fold.fold([frame.pc for frame in frames]), fold.fold(functions)
    if _longest(by_function) > _longest(runs) * 5 // 4:
        runs = by_function
    found = []
    for run in runs:
        if run.rounds > 1:
            sizes = [sum(sps[i + 1] - sps[i] for i in range(run.start + at, run.end, run.period))
                     for at in range(run.period)]
            functions_of = tuple(functions[run.start:run.start + run.period])
            found.append(Stretch(functions_of, run.rounds, sps[run.end] - sps[run.start], sizes))
        else:
            found += [Stretch((functions[i],), 1, sps[i + 1] - sps[i]) for i in range(run.start, run.end)]
    return found


def _longest(runs):
    """How many frames are in the cycle that has most."""
    return max((run.period * run.rounds for run in runs if run.rounds > 1), default=0)


def _by_cycle(port, coroutine, render, limit, names, number):
    """The backtrace of a stack which ends, as far as was looked, in the midst of a recursion; None: it is not
    so, or what was found so doesn't hold."""
    found = Backtrace()
    with port.open_stack(coroutine) as stack:
        frames, cycle = deep.innermost(stack)
        _numbered(frames, number)
        if cycle is None:
            return _whole(frames, coroutine, render, limit, False, names)
        rounds, start = deep.follow(port, cycle, frames, coroutine.stack_top)
        if start is None:
            return None
        head = frames[:cycle.start + cycle.period]
        runs = fold.fold(keys(frames[:cycle.start]))
        inner = [part for run in runs for part in _shown(frames, run)]
        parts = _rendered(inner + frames[cycle.start : cycle.start + cycle.period], render)
        if names is not None:
            found.stretches = _stretches(head[:cycle.start], frames[cycle.start].sp, names)
            functions = tuple(names(frame) for frame in frames[cycle.start:cycle.start + cycle.period]
                              if not frame.is_inlined)
        first, level = frames[cycle.start].sp, frames[cycle.start].level
    with port.open_stack(coroutine, at=start) as stack:
        tail = list(deep.bounded(stack))
        if not deep.is_continued(cycle, tail):
            return None
        # The recursion's outermost function is called by another one, so its round was not counted by
        # `_follow`.
        names_of = keys(tail)
        while names_of[cycle.period:2 * cycle.period] == names_of[:cycle.period]:
            del tail[:cycle.period], names_of[:cycle.period]
            rounds += 1
        parts.append(_note(rounds - 2, cycle.period, level, sum(cycle.sizes)))
        for i, frame in enumerate(tail):
            frame.level = level + cycle.period * (rounds - 1) + i
        runs = fold.fold(keys(tail))
        parts += _rendered([part for run in runs for part in _shown(tail, run)], render)
        for part in _limited(parts, limit):
            found.lines += [part] if isinstance(part, str) else part.lines
        if names is not None:
            after = cycle.period
            size = (tail[after].sp if after < len(tail) else coroutine.stack_top) - first
            sizes = [rounds * part for part in cycle.sizes]
            found.stretches.append(Stretch(functions, rounds, size, sizes))
            found.stretches += _stretches(tail[after:], coroutine.stack_top, names)
    found.count = tail[-1].level + 1 - number
    found.is_complete = True
    found.beyond = coroutine.stack_top - tail[-1].sp
    return found


def _rendered(parts, render):
    """Frames and lines, with what is shown of each frame, for which its stack has to be open."""
    return [part if isinstance(part, str) else _Rendered(part.level, render(part)) for part in parts]


def _shown(frames, run):
    """Of a run: frames, with a line in place of those left out. A line in place of one frame is no gain."""
    if (run.rounds - 2) * run.period <= 1:
        return frames[run.start:run.end]
    size = (frames[run.end - run.period].sp - frames[run.start].sp) // (run.rounds - 1)
    return [*frames[run.start:run.start + run.period],
            _note(run.rounds - 2, run.period, frames[run.start].level, size),
            *frames[run.end - run.period:run.end]]
