"""`coro list`: the coroutines of a program, one a line."""

from .. import options as options_
from .. import text, waits
from ..command import command
from ..coroutine import NO_WORKER
from ..registry import FREE
from ..remarks import remarks

COLUMNS = ("", ">ID", "NAME", "STATE", "WAITS FOR", ">AGE", ">WORKER", ">PARENT", ">STACK", "FRAME")


@command("list", options_.HELP)
def run(session, arguments):
    """coro list [FILTERS]

    Lists the coroutines. It says what each does, what it waits for and since when, how much of its stack is
    in use, and the first function on it that is yours. A `*` marks the selected one: the one that the selected
    thread runs, unless `coro select` has selected another.
    """
    options = options_.parse(arguments)
    registry = session.registry(options.runtime)
    options_.check(options, registry)
    frames = session.frames(registry)
    rows, count, counts = _select(registry, frames, options)
    current = _current(session, registry)
    table = text.Table(*COLUMNS)
    for i, coroutine in enumerate(rows):
        table.add(*row(coroutine, frames, current))
        if i % 1000 == 999:
            session.port.progress(f"{i + 1:,} of {len(rows):,} stacks walked")
    if rows:
        session.port.write(table.text(session.port.width()))
    session.port.write(_last_line(len(rows), count, counts, options))
    odd = [coroutine.id for coroutine in rows if coroutine.oddities]
    if odd:
        session.port.write(f"coro: {text.plural(len(odd), 'record')} with something that can't be right "
                           f"({text.listing(odd)}): `coro info {odd[0]}` says what\n")
    tell_problems(session, registry)


def row(coroutine, frames, current=None):
    """The cells of a coroutine's row."""
    used = coroutine.stack_used
    return (
        "*" if coroutine.id == current else "",
        coroutine.id,
        coroutine.name,
        waits.state_in_words(coroutine),
        waits.words(coroutine),
        waits.age_in_words(coroutine),
        coroutine.worker if coroutine.worker != NO_WORKER else "",
        coroutine.parent or "",
        "/".join(text.size(part) for part in (used, coroutine.stack_size) if part is not None),
        frames.user_frame(coroutine) or "-",
    )


def _current(session, registry):
    """The id of the selected coroutine."""
    found = session.selected(registry)
    return found.id if found is not None else None


def _select(registry, frames, options):
    """(the rows to show, how many pass the filters, how many are in each state)."""
    if not options.is_filtered and options.most() is not None and options.sort in (None, "id"):
        counts = registry.count_states()
        count = sum(counts.values()) - counts.pop(FREE, 0)
        return registry.first_by_id(options.most()), count, counts
    return selected(registry, frames, options)


def selected(registry, frames, options):
    """The coroutines that pass the filters, in the order that was asked for, and no more than that: (list,
    how many there were before the limit, how many in each state)."""
    counts, kept, count = {}, [], 0
    for coroutine in registry.each():
        if not options.matches(coroutine) or options.fn and not frames.has_function(coroutine, options.fn):
            continue
        counts[coroutine.state] = counts.get(coroutine.state, 0) + 1
        count += 1
        kept.append(coroutine)
        # A million rows are not kept for the sake of twenty.
        if options.most() is not None and len(kept) > 4 * options.most() + 1000:
            kept = _sorted(kept, options.sort)[:options.most()]
    return _sorted(kept, options.sort)[:options.most()], count, counts


def _sorted(coroutines, sort):
    if sort == "age":
        return sorted(coroutines, key=lambda coroutine: (-(coroutine.age or 0), coroutine.id))
    if sort == "stack":
        return sorted(coroutines, key=lambda coroutine: (-(coroutine.stack_used or 0), coroutine.id))
    return sorted(coroutines, key=lambda coroutine: coroutine.id)


def _last_line(shown, count, counts, options):
    states = ", ".join(
        f"{number:,} {state}" for state, number in sorted(counts.items(), key=lambda item: -item[1])
    )
    states = f": {states}" if states else ""
    if shown < count:
        return f"showing {shown:,} of {count:,} coroutines{states}\n"
    if not count:
        return "no coroutine passes the filters\n" if options.is_filtered else "there are no coroutines\n"
    return f"{text.plural(count, 'coroutine')}{states}\n"


def tell_problems(session, registry):
    """One line for each thing that is to be known of the process or the core, and for each in the registry that is
    odd or could not be read."""
    for problem in [*remarks(registry), *registry.problems[:10]]:
        session.port.write(f"coro: {problem}\n")
