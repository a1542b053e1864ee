"""`coro tree`: who spawned whom."""

from .. import options as options_
from .. import text, waits
from ..command import command
from ..port import CommandError
from .list import tell_problems

LIMIT = 1000


@command("tree")
def run(session, arguments):
    """coro tree [ID] [-limit N]

    Shows the coroutines below those which spawned them. With an ID, that one's descendants. A parent that has
    ended, and still has children, is shown by its number.
    """
    options = options_.parse(arguments, takes_rest=True, takes=options_.LINES)
    if len(options.rest) > 1:
        raise CommandError("`coro tree` shows all, or those below one: it takes one id or name")
    registry = session.registry(options.runtime)
    limit = options.most(LIMIT)
    root = session.coroutine(options.rest[0], options.runtime).id if options.rest else None
    count = 0
    for depth, number, coroutine in nodes({one.id: one for one in registry.each()}, root):
        if limit and count == limit:
            session.port.write(f"(showing {count:,}; `-limit 0` shows all)\n")
            break
        count += 1
        session.port.write("  " * depth + describe(number, coroutine) + "\n")
    tell_problems(session, registry)


def describe(number, coroutine):
    if coroutine is None:
        return f"#{number} (ended)"
    return f"{text.who(number, coroutine.name)}, {waits.summary(coroutine)}"


def nodes(by_id, root=None):
    """(depth, id, coroutine or None when it has ended), each parent before its children, by id. Damaged
    parents may form a circle: it is entered once, at its lowest id."""
    children = {}
    for number, coroutine in by_id.items():
        children.setdefault(coroutine.parent, []).append(number)
    for numbers in children.values():
        numbers.sort()
    tops = [root] if root is not None else sorted(
        {number for number, coroutine in by_id.items() if not coroutine.parent}
        | {parent for parent in children if parent and parent not in by_id})
    seen = set()
    # What hangs in a circle is below no top.
    for top in tops if root is not None else [*tops, *sorted(by_id)]:
        stack = [(0, top)]
        while stack:
            depth, number = stack.pop()
            if number in seen:
                continue
            seen.add(number)
            yield depth, number, by_id.get(number)
            stack += [(depth + 1, child) for child in reversed(children.get(number, []))]
