"""Who waits for whom: edges between coroutines, chains along them, and cycles. Values in, values out.

An edge is *certain* where the object names who has to act: a mutex its holder, a join its coroutine, a scope all of its
members. It is *probable* where there is only a trace: of a channel, who last used the other end, and only if that end is the
last one left.
"""


class Edge:
    """Somebody waits for somebody: a coroutine's id, or a plain thread's number."""

    __slots__ = ("waiter", "target", "thread", "is_certain", "why")

    def __init__(self, waiter, target=None, thread=None, is_certain=True, why=""):
        self.waiter, self.target, self.thread, self.is_certain, self.why = (
            waiter,
            target,
            thread,
            is_certain,
            why,
        )

    def __repr__(self):
        to = f"thread {self.thread}" if self.target is None else f"#{self.target}"
        return f"#{self.waiter} -> {to}" + ("" if self.is_certain else " (probably)")


def edge_of(waiter, wait):
    """The edge that a wait (as `waits.wait_of` says it) makes; None: nobody in particular has to act."""
    if wait is None:
        return None
    reason = wait["reason"]
    if "coroutine" in wait:
        return None if wait["has_ended"] else Edge(waiter, wait["coroutine"], why=reason)
    if reason == "mutex" and not wait.get("is_free"):
        return _edge_to(waiter, wait.get("holder"), True, reason)
    if reason in ("read lock", "write lock", "once") and "holder" in wait:
        return _edge_to(waiter, wait["holder"], True, reason)
    if reason == "semaphore" and wait.get("limit") == 1 or reason == "write lock":
        # Who took it last may have given it to somebody else.
        return _edge_to(waiter, wait.get("last"), False, reason)
    things = wait.get("things", ())
    if len(things) == 1:
        return edge_of(waiter, things[0])
    if reason == "send" and wait.get("receivers", 0) <= 1:
        return _edge_to(waiter, wait.get("last_receiver"), False, reason)
    if reason == "receive" and wait.get("senders", 0) <= 1:
        return _edge_to(waiter, wait.get("last_sender"), False, reason)
    return None


def edges_of(waiter, wait):
    """All edges that a wait makes: one, or none; or one to each member of a scope, a group or a pool."""
    if wait is not None and "members" in wait:
        # All have to end; or one of them, and of one alone it is known which.
        is_certain = wait["reason"] == "group" or wait["alive"] == 1
        return [Edge(waiter, member, is_certain=is_certain, why=wait["reason"]) for member in wait["members"]]
    edge = edge_of(waiter, wait)
    return [edge] if edge is not None else []


def _edge_to(waiter, somebody, is_certain, why):
    if somebody is None or somebody.get("has_ended"):
        return None
    if "thread" in somebody:
        return Edge(waiter, thread=somebody["thread"], is_certain=is_certain, why=why)
    return Edge(waiter, somebody["coroutine"], is_certain=is_certain, why=why)


def chain(start, edge_from, before=()):
    """The edges from a coroutine on, to where nobody in particular is waited for, or to the first that comes
    again, one of those `before` or of the chain: (edges, id at which the cycle begins or None)."""
    edges, seen, at = [], {start, *before}, start
    while True:
        edge = edge_from(at)
        if edge is None:
            return edges, None
        edges.append(edge)
        at = edge.target
        if at is None:
            return edges, None
        if at in seen:
            return edges, at
        seen.add(at)


def cycles(edges):
    """The cycles: lists of edges, each from its lowest id on, in the order of these ids. Of those that share
    somebody one is told."""
    by_waiter = {}
    for edge in edges:
        by_waiter.setdefault(edge.waiter, []).append(edge)
    found, seen, told = [], set(), set()
    for start in sorted(by_waiter):
        if start in seen:
            continue
        seen.add(start)
        # The way that is gone along: how deep each lies in it, by which edges, and what is left to be tried.
        depth, way, left = {start: 0}, [], [iter(by_waiter[start])]
        while left:
            edge = next(left[-1], None)
            if edge is None:
                left.pop()
                if way:
                    del depth[way.pop().target]
                continue
            at = edge.target
            if at in depth:
                cycle = [*way[depth[at]:], edge]
                members = [step.waiter for step in cycle]
                if told.isdisjoint(members):
                    told.update(members)
                    first = members.index(min(members))
                    found.append(cycle[first:] + cycle[:first])
            elif at in by_waiter and at not in seen:
                seen.add(at)
                way.append(edge)
                depth[at] = len(way)
                left.append(iter(by_waiter[at]))
    return sorted(found, key=lambda cycle: cycle[0].waiter)
