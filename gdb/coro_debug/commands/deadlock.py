"""`coro deadlock`: circles of coroutines that wait for each other, and programs in which nobody can go on."""

from .. import graph, text, waits
from .. import options as options_
from ..command import command
from .list import tell_problems
from .why import lines as why_lines
from .why import statement

SHOWN = 20
#: What other threads do.
ELSEWHERE = ("offload", "future")


@command("deadlock")
def run(session, arguments):
    """coro deadlock

    Looks for coroutines that wait for each other in a circle. They may do so by mutexes, joins, scopes,
    groups, pools, and channels of which one end is left. It also says when all of the program is stuck:
    nobody is ready or runs, and nothing from outside is waited for.
    """
    options = options_.parse(arguments, takes=options_.FEW)
    registry = session.registry(options.runtime)
    write = session.port.write
    edges, waiting, can_go_on = survey(registry)
    circles = graph.cycles([edge for edge in edges if edge.target is not None])
    for circle in circles[:SHOWN]:
        for line in circle_lines(registry, circle):
            write(line + "\n")
    if len(circles) > SHOWN:
        write(f"... and {len(circles) - SHOWN:,} more circles\n")
    if can_go_on is None and waiting:
        write(
            "nobody can go on: no coroutine is ready or runs, and none waits for a descriptor or a deadline\n"
        )
        for coroutine in waiting[:SHOWN]:
            write(f"  {statement(coroutine)}\n")
        if len(waiting) > SHOWN:
            write(f"  ... and {len(waiting) - SHOWN:,} more\n")
    elif not circles:
        write("no deadlock: no coroutines wait for each other in a circle\n")
        if waiting:
            write("who has waited longest:\n")
            for line in why_lines(registry, waiting[0]):
                write(f"  {line}\n")
    tell_problems(session, registry)


def survey(registry):
    """(all edges, the user's coroutines which wait, the longest first, one that can go on, or that something
    outside can wake, or None)."""
    edges, waiting, can_go_on = [], [], None
    for coroutine in registry.each():
        wait = waits.wait_of(coroutine)
        if coroutine.kind in ("switch", "io"):
            continue
        if wait is None:
            can_go_on = can_go_on or coroutine
            continue
        things = [wait, *wait.get("things", ())]
        if "left" in wait or any("fd" in one or one["reason"] in ELSEWHERE for one in things):
            can_go_on = can_go_on or coroutine
        for edge in graph.edges_of(coroutine.id, wait):
            edges.append(edge)
            if edge.thread is not None:
                can_go_on = can_go_on or coroutine
        waiting.append(coroutine)
    waiting.sort(key=lambda coroutine: (-(coroutine.age or 0), coroutine.id))
    return edges, waiting, can_go_on


def circle_lines(registry, circle):
    """A circle's lines."""
    is_certain = all(edge.is_certain for edge in circle)
    yield f"{'deadlock' if is_certain else 'probably a deadlock'}: " + (
        f"{text.plural(len(circle), 'coroutine')} wait for each other in a circle" if len(circle) > 1
        else "a coroutine waits for itself")
    for edge in circle:
        coroutine = registry.by_id(edge.waiter)
        if coroutine is None:
            continue
        yield "  " + statement(coroutine) + (
            f" (spawned at {coroutine.spawn_site})" if coroutine.spawn_site else ""
        )
