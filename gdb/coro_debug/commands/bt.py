"""`coro bt`: a coroutine's backtrace, whether it runs or not; a recursion is folded."""

from .. import fold, source, text, waits
from .. import options as options_
from ..command import command
from ..port import CommandError

#: Frames that are shown unless another limit is asked for: most of them the innermost ones.
LIMIT = 200


@command("bt")
def run(session, arguments):
    """coro bt ID|NAME|. [-full] [-limit N] [-raw]

    Shows the backtrace of a coroutine, whether it runs or not. `.` is the one that the selected thread runs. No register is
    written for it.

    -full shows the local variables of each frame, -limit N at most N frames (0: all), -raw each frame by itself with
    its address and its stack pointer, where otherwise a recursion is folded.
    """
    options = options_.parse(arguments, switches=("-full", "-raw"), takes_rest=True)
    if len(options.rest) > 1:
        raise CommandError("`coro bt` shows one coroutine: use `coro apply ... -- bt` for several")
    coroutine = session.coroutine(options.rest[0] if options.rest else ".", options.runtime)
    session.port.write(header(coroutine))
    limit = LIMIT if options.limit is None else options.limit
    for line in lines(session.port, coroutine, limit, "-full" in options.switches, "-raw" in options.switches):
        session.port.write(line + "\n")


def header(coroutine):
    """`coroutine #42 'conn', parked 3.1 s: read fd 7 -> 127.0.0.1:8080`"""
    line = f"coroutine {text.who(coroutine.id, coroutine.name)}, {waits.state_in_words(coroutine)}"
    age, words = waits.age_in_words(coroutine), waits.words(coroutine)
    if coroutine.is_running:
        return f"{line} {words[len('running '):]}\n" if words else line + "\n"
    return line + (f" for {age}" if age else "") + (f": {words}" if words else "") + "\n"


def lines(port, coroutine, limit=LIMIT, is_full=False, is_raw=False):
    """The backtrace's lines."""
    if coroutine.state == "exited":
        yield "it has ended: there is nothing on its stack any more"
        return
    with port.open_stack(coroutine) as stack:
        frames = list(stack)
        if not frames:
            yield "its stack can't be unwound"
        for part in parts(frames, limit, is_raw):
            if isinstance(part, str):
                yield part
            else:
                yield from frame_lines(port, part, is_full, is_raw)


def parts(frames, limit=0, is_raw=False):
    """What is shown of a list of frames: frames, and lines in place of those which are left out."""
    runs = fold.fold(keys(frames)) if not is_raw else [fold.Run(0, len(frames), 1)]
    shown = []
    for run_ in runs:
        if run_.rounds == 1:
            shown += frames[run_.start:run_.end]
            continue
        shown += frames[run_.start:run_.start + run_.period]
        shown.append(_folded(frames, run_))
        shown += frames[run_.end - run_.period:run_.end]
    if not limit or len(shown) <= limit:
        return shown
    outer = limit // 4
    left_out = [part for part in shown[limit - outer:len(shown) - outer] if not isinstance(part, str)]
    first, last = left_out[0].level, left_out[-1].level
    note = f"... {text.plural(last - first + 1, 'frame')} (#{first} to #{last}) left out: `-limit 0` shows all"
    return [*shown[:limit - outer], note, *shown[len(shown) - outer:]]


def keys(frames):
    """What makes frames alike: the address, and of inlined ones the place in the row of those with one address."""
    found, depth = [], 0
    for i, frame in enumerate(frames):
        depth = depth + 1 if i and frames[i - 1].pc == frame.pc and frames[i - 1].is_inlined else 0
        found.append((frame.pc, depth))
    return found


def _folded(frames, run_):
    """The line in place of all rounds but the first and the last."""
    first, last = run_.start + run_.period, run_.end - run_.period - 1
    count = run_.rounds - 2
    size = (frames[run_.end - run_.period].sp - frames[run_.start].sp) // (run_.rounds - 1)
    return (f"... {count:,} more {'round' if count == 1 else 'rounds'} of "
            f"{'this frame' if run_.period == 1 else f'these {run_.period} frames'} "
            f"(#{frames[first].level} to #{frames[last].level}), {text.plural(size, 'byte')} of stack each")


def frame_lines(port, frame, is_full=False, is_raw=False):
    """A frame's line, and those of its variables."""
    location = frame.location
    words = source.text(location)
    function, at, place = words.partition(" at ")
    arguments = ", ".join(f"{name}={value}" for name, value in port.arguments(frame))
    if location.function:
        function += f" ({arguments})"
    else:
        function = f"{frame.pc:#x} in ??"
    line = f"#{frame.level:<3} "
    if is_raw:
        line += f"{frame.pc:#018x} sp {frame.sp:#x} "
    line += function + at + place
    if frame.is_inlined:
        line += " (inlined)"
    if not frame.is_certain:
        line += " (?)"
    yield line
    if is_full:
        variables = port.locals(frame)
        for name, value in variables:
            yield f"        {name} = {value}"
        if not variables:
            yield "        no locals"
