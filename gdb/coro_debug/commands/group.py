"""`coro group`: coroutines that do the same, as one entry with their number."""

from .. import options as options_
from .. import fold, source, text
from ..command import command
from ..port import CommandError
from .list import tell_problems

WAYS = ("bt", "spawn", "wait")
IDS = 10


class Group:
    """Coroutines that are alike."""

    __slots__ = ("count", "ids", "oldest", "example", "pcs")

    def __init__(self, example, pcs):
        self.count, self.ids, self.oldest, self.example, self.pcs = 0, [], None, example, pcs

    def add(self, coroutine):
        self.count += 1
        if len(self.ids) <= IDS:
            self.ids.append(coroutine.id)
        age = coroutine.age
        if age is not None and (self.oldest is None or age > self.oldest):
            self.oldest = age


@command("group", options_.HELP)
def run(session, arguments):
    """coro group [bt|spawn|wait] [FILTERS]

    Shows the coroutines in groups of those that do the same. That is: those with the same backtrace (bt, the default), spawned at the same place (spawn), or
    waiting for the same reason (wait). The largest group comes first, each with its number, the first ids, and how long
    the oldest has been so.
    """
    options = options_.parse(arguments, takes_rest=True)
    way = options.rest.pop(0) if options.rest else "bt"
    if way not in WAYS or options.rest:
        raise CommandError(f"coroutines are grouped by {', '.join(WAYS)}: `coro group {' '.join([way, *options.rest])}` "
                           "is none of them")
    registry = session.registry(options.runtime)
    options_.check(options, registry)
    frames = session.frames(registry)
    found, total = groups(session.port, registry, frames, options, way)
    shown = found[:options.limit]
    for group in shown:
        session.port.write(describe(group, total, frames, way))
    session.port.write(f"{text.plural(total, 'coroutine')} in {text.plural(len(found), 'group')}"
                       + (f", {len(shown)} shown" if len(shown) < len(found) else "") + "\n")
    tell_problems(session, registry)


def groups(port, registry, frames, options, way):
    """(the groups, largest first, how many coroutines are in them)."""
    by_key, total = {}, 0
    for coroutine in registry.each():
        if not options.matches(coroutine) or options.fn and not frames.has_function(coroutine, options.fn):
            continue
        pcs = frames.walker.chain(coroutine) if way == "bt" else ()
        key = pcs if way == "bt" else coroutine.spawn_site if way == "spawn" else _wait_key(coroutine)
        group = by_key.get(key)
        if group is None:
            group = by_key[key] = Group(coroutine, pcs)
        group.add(coroutine)
        total += 1
        if total % 2000 == 0:
            port.progress(f"{total:,} of {registry.count_ever():,} coroutines")
    return sorted(by_key.values(), key=lambda group: (-group.count, group.ids[0])), total


def _wait_key(coroutine):
    return coroutine.wait_reason if coroutine.state == "parked" else coroutine.state


def describe(group, total, frames, way):
    """A group's lines."""
    registry = group.example.registry
    age = f", oldest {'>' if registry.is_clock_old else ''}{text.duration(group.oldest)}" if group.oldest is not None else ""
    line = (f"{text.plural(group.count, 'coroutine')} ({100 * group.count / total:.1f} %){age}: "
            f"{text.listing((f'#{number}' for number in group.ids), IDS)}\n")
    if way == "spawn":
        return line + f"    spawned at {group.example.spawn_site or '(not known)'}\n"
    if way == "wait":
        return line + f"    {_wait_key(group.example)}\n"
    if not group.pcs:
        return line + "    (no backtrace)\n"
    places = [source.text(location) if location is not None else f"{pc:#x}"
              for pc, location in frames.places(group.pcs)]
    return line + "".join(f"    #{i:<2} {place}\n" for i, place in folded(places))


def folded(places):
    """(number, text) of the places, repeats folded."""
    for run_ in fold.fold(places):
        for i in range(run_.start, run_.start + run_.period):
            yield i, places[i]
        if run_.rounds > 1:
            yield run_.start + run_.period, f"... {run_.rounds - 1:,} more rounds of " + (
                "this frame" if run_.period == 1 else f"these {run_.period} frames")
