"""`coro why`: what a coroutine waits for, what that waits for, and so on to the end."""

from .. import graph, text, waits
from .. import options as options_
from ..command import command
from ..port import CommandError

#: Of the members of one scope, group or pool so many are told; and scopes within scopes so many steps deep.
MEMBERS = 5
DEEPEST = 40


@command("why")
def run(session, arguments):
    """coro why ID|NAME

    Shows why a coroutine doesn't go on. It says what it waits for, and of the one who would have to act what
    that one waits for, to the end: one who runs, a descriptor, a deadline, a thread that is not a worker's,
    or a circle. Of a scope, a group or a pool it tells what the members wait for that have not ended.
    """
    options = options_.parse(arguments, takes_rest=True, takes=options_.FEW)
    if len(options.rest) != 1:
        raise CommandError("`coro why` wants one coroutine's id or name")
    coroutine = session.coroutine(options.rest[0], options.runtime)
    for line in lines(coroutine.registry, coroutine):
        session.port.write(line + "\n")


class Chain:
    """What is told of one coroutine's reasons. Where all members of a scope, a group or a pool are waited for, their
    chains stand below each other."""

    def __init__(self, registry):
        self._registry = registry
        #: Members that have been told, so that none is twice.
        self._told = set()

    def lines(self, coroutine, depth=0, probably="", before=()):
        """The chain's lines, each deeper by a step, and how it ends."""
        registry = self._registry
        edges, circle = graph.chain(coroutine.id, lambda number: edge_from(registry, number), before)
        yield "  " * depth + probably + statement(coroutine)
        for edge in edges:
            depth += 1
            start = "  " * depth + ("" if edge.is_certain else "probably ")
            if edge.target is None:
                yield f"{start}thread {edge.thread}, which runs none of the coroutines: its own backtrace says more"
                return
            other = registry.by_id(edge.target)
            if circle is not None and edge is edges[-1]:
                yield f"{start}{text.who(edge.target, other.name if other else '')} again: a deadlock"
                return
            yield start + (statement(other) if other else f"#{edge.target} (ended)")
        last = registry.by_id(edges[-1].target) if edges else coroutine
        if last is None:
            return
        members = graph.edges_of(last.id, waits.wait_of(last))
        if members:
            way = {*before, coroutine.id, *(edge.target for edge in edges)}
            yield from self._members(members, depth + 1, way)
        else:
            yield "  " * (depth + 1) + ending(last)

    def _members(self, edges, depth, way):
        indent, shown = "  " * depth, 0
        for edge in edges:
            if shown == MEMBERS or depth > DEEPEST:
                break
            shown += 1
            probably = "" if edge.is_certain else "probably "
            other = self._registry.by_id(edge.target)
            who = text.who(edge.target, other.name if other else "")
            if edge.target in way:
                yield f"{indent}{probably}{who} again: a deadlock"
            elif other is None:
                yield f"{indent}{probably}#{edge.target} (ended)"
            elif edge.target in self._told:
                yield f"{indent}{probably}{who}, as above"
            else:
                self._told.add(edge.target)
                yield from self.lines(other, depth, probably, way)
        if shown < len(edges):
            yield f"{indent}... and {text.plural(len(edges) - shown, 'member')} more"


def lines(registry, coroutine):
    """Why a coroutine doesn't go on: a line for each one who is waited for."""
    yield from Chain(registry).lines(coroutine)


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
            else f"it runs: `coro bt {coroutine.id}` shows what it does"
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
    if "family" in wait:
        return (
            "all members have ended, or are being spawned: it is about to be woken"
            if wait["reason"] == "group"
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
