"""`coro why`: what a coroutine waits for, what that waits for, and so on to the end."""

from .. import graph, text, waits
from .. import options as options_
from ..command import command
from ..port import CommandError


@command("why")
def run(session, arguments):
    """coro why ID|NAME

    Shows why a coroutine doesn't go on. It says what it waits for, and of the one who would have to act what
    that one waits for, to the end: one who runs, a descriptor, a deadline, a thread that is not a worker's,
    or a circle.
    """
    options = options_.parse(arguments, takes_rest=True)
    if len(options.rest) != 1:
        raise CommandError("`coro why` wants one coroutine's id or name")
    coroutine = session.coroutine(options.rest[0], options.runtime)
    for line in lines(coroutine.registry, coroutine):
        session.port.write(line + "\n")


def lines(registry, coroutine):
    """The chain's lines, each deeper by a step, and how it ends."""
    edges, circle = graph.chain(coroutine.id, lambda number: edge_from(registry, number))
    yield statement(coroutine)
    depth = 0
    for edge in edges:
        depth += 1
        indent = "  " * depth
        probably = "" if edge.is_certain else "probably "
        if edge.target is None:
            who = f"{indent}{probably}thread {edge.thread}"
            yield f"{who}, which runs none of the coroutines: its own backtrace says more"
            return
        other = registry.by_id(edge.target)
        if circle is not None and edge is edges[-1]:
            yield f"{indent}{probably}{text.who(edge.target, other.name if other else '')} again: a deadlock"
            return
        yield indent + probably + (statement(other) if other else f"#{edge.target} (ended)")
    last = registry.by_id(edges[-1].target) if edges else coroutine
    if last is not None:
        yield "  " * (depth + 1) + ending(last)


def edge_from(registry, number):
    """The edge from a coroutine to the one who has to act."""
    coroutine = registry.by_id(number)
    return graph.edge_of(number, waits.wait_of(coroutine)) if coroutine is not None else None


def statement(coroutine):
    """`#17 'conn' has waited 3.1 s: mutex 0x… held by #12 'holder'`"""
    who = text.who(coroutine.id, coroutine.name)
    if waits.wait_of(coroutine) is None:
        return f"{who} is {waits.summary(coroutine)}"
    age, words = waits.age_in_words(coroutine), waits.words(coroutine)
    return f"{who} has waited" + (f" {age}" if age else "") + (f": {words}" if words else "")


def ending(coroutine):
    """Why the chain ends with that one."""
    wait = waits.wait_of(coroutine)
    if wait is None:
        if coroutine.state == "exited":
            return "it has ended, and is about to wake who joins it"
        return (
            "it can go on: nothing holds it up"
            if not coroutine.is_running
            else "it runs: `coro bt` shows what it does"
        )
    if "fd" in wait:
        return f"it goes on when the kernel says that fd {wait['fd']} is ready"
    if wait["reason"] == "sleep" or "left" in wait:
        return "it goes on by itself when its time has come" if "left" in wait else "it sleeps for ever"
    if wait.get("has_ended"):
        return "what it waits for has ended: it is about to be woken"
    if wait.get("is_free"):
        return "the mutex is free: it is about to be woken"
    if wait["reason"] in ("send", "receive"):
        side = "receivers" if wait["reason"] == "send" else "senders"
        return (
            f"whoever has one of the channel's {wait[side]:,} {side} could act"
            if wait.get(side, 0) > 1
            else "nobody is known who would have to act"
        )
    if wait["reason"] == "offload":
        return (
            f"it goes on when thread {wait['thread']} has done its work"
            if "thread" in wait
            else "it goes on when a thread has taken up its work and done it"
        )
    if wait["reason"] == "future":
        return "it goes on when the future's waker is woken: its backtrace shows the future"
    if wait["reason"] == "shutdown":
        return "it waits for all other coroutines to end"
    return "nobody is known who would have to act"
