"""`coro bt`: a coroutine's backtrace, whether it runs or not; a recursion is folded."""

from .. import backtrace, text, waits
from .. import options as options_
from ..command import command
from ..port import STACK_IS_MISSING, CommandError
from ..rendering import frame_lines

#: Frames that are shown unless another limit is asked for: most of them the innermost ones.
LIMIT = 200


@command("bt")
def run(session, arguments):
    """coro bt ID|NAME|. [-full] [-limit N] [-raw]

    Shows the backtrace of a coroutine, whether it runs or not. `.`, or no ID, is the selected one: the one that
    the selected thread runs, unless `coro select` has selected another. No register is written for it.

    -full shows the local variables of each frame, -limit N at most N frames (0: all), -raw each frame by
    itself with its address and its stack pointer, where otherwise a recursion is folded.
    """
    options = options_.parse(arguments, switches=("-full", "-raw"), takes_rest=True, takes=options_.LINES)
    if len(options.rest) > 1:
        raise CommandError("`coro bt` shows one coroutine: use `coro apply ... -- bt` for several")
    coroutine = session.coroutine(options.rest[0] if options.rest else ".", options.runtime)
    session.port.write(header(coroutine))
    limit = options.most(LIMIT) or 0
    for line in lines(
        session.port, coroutine, limit, "-full" in options.switches, "-raw" in options.switches
    ):
        session.port.write(line + "\n")


def header(coroutine):
    """`coroutine #42 'conn', parked for 3.1 s: read fd 7 -> 127.0.0.1:8080`"""
    return f"coroutine {text.who(coroutine.id, coroutine.name)}, {waits.summary(coroutine)}\n"


def lines(port, coroutine, limit=LIMIT, is_full=False, is_raw=False):
    """The backtrace's lines."""
    if coroutine.state == "exited":
        return ["it has ended: there is nothing on its stack any more"]
    found = backtrace.take(port, coroutine, lambda frame: frame_lines(port, frame, is_full, is_raw), limit,
                           is_exact=is_full, is_raw=is_raw, first=port.first_level(coroutine))
    if coroutine.has_stack is False and not port.is_live():
        return [STACK_IS_MISSING]
    return found.lines or ["its stack can't be unwound"]
