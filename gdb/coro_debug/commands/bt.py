"""`coro bt`: a coroutine's backtrace, whether it runs or not; a recursion is folded."""

from .. import backtrace, source, text, waits
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
        return ["it has ended: there is nothing on its stack any more"]
    found = backtrace.take(port, coroutine, lambda frame: frame_lines(port, frame, is_full, is_raw), limit,
                           is_exact=is_full, is_raw=is_raw)
    return found.lines or ["its stack can't be unwound"]


def frame_lines(port, frame, is_full=False, is_raw=False):
    """A frame's line, and those of its variables."""
    location = frame.location
    words = source.text(location)
    function, at, place = words.partition(" at ")
    arguments = ", ".join(f"{name}={value}" for name, value in port.arguments(frame))
    if location.function:
        function += f" ({arguments})"
    elif not is_raw:
        # Without symbols the address is all there is.
        function = f"{frame.pc:#x} in {function}"
    line = f"#{frame.level:<2} "
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
