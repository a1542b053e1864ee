"""`coro group`: coroutines that do the same, as one entry with their number."""

import heapq

from .. import options as options_
from .. import fold, source, text
from ..command import command
from ..port import CommandError
from .list import tell_problems

WAYS = ("bt", "spawn", "wait")
IDS = 10
#: Lines of a group's backtrace.
LINES = 60


class Group:
    """Coroutines that are alike."""

    __slots__ = ("count", "ids", "oldest", "example", "pcs")

    def __init__(self, example, pcs):
        self.count, self.ids, self.oldest, self.example, self.pcs = 0, [], None, example, pcs

    def add(self, coroutine):
        self.count += 1
        self.ids.append(coroutine.id)
        age = coroutine.age
        if age is not None and (self.oldest is None or age > self.oldest):
            self.oldest = age


@command("group", options_.HELP_UNSORTED)
def run(session, arguments):
    """coro group [bt|spawn|wait] [-all] [FILTERS]

    Shows the coroutines in groups of those that do the same. That is: those with the same backtrace (bt, the
    default), spawned at the same place (spawn), or waiting for the same reason (wait). The largest group
    comes first, each with its number, the first ids, and how long the oldest has been so.

    Of a backtrace your own functions are shown, and the one that they have called; -all shows the runtime's
    other frames too.
    """
    options = options_.parse(arguments, switches=("-all",), takes_rest=True, takes=options_.UNSORTED)
    way = options.rest.pop(0) if options.rest else "bt"
    if way not in WAYS or options.rest:
        raise CommandError(
            f"coroutines are grouped by {', '.join(WAYS)}: `coro group {' '.join([way, *options.rest])}` "
            "is none of them"
        )
    registry = session.registry(options.runtime)
    options_.check(options, registry)
    frames = session.frames(registry)
    found, total = groups(session.port, registry, frames, options, way)
    shown = found[:options.most()]
    for group in shown:
        session.port.write(describe(group, total, frames, way, "-all" in options.switches))
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


def describe(group, total, frames, way, is_whole=False):
    """A group's lines. `is_whole`: with all frames."""
    registry = group.example.registry
    age = (
        f", oldest {'>' if registry.is_clock_old else ''}{text.duration(group.oldest)}"
        if group.oldest is not None
        else ""
    )
    line = (f"{text.plural(group.count, 'coroutine')} ({100 * group.count / total:.1f} %){age}: "
            f"{text.listing((f'#{number}' for number in heapq.nsmallest(IDS + 1, group.ids)), IDS)}\n")
    if way == "spawn":
        return line + f"    spawned at {group.example.spawn_site or '(not known)'}\n"
    if way == "wait":
        return line + f"    {_wait_key(group.example)}\n"
    if not group.pcs:
        return line + "    (no backtrace)\n"
    found = list(frames.places(group.pcs))
    start, end = (0, len(found)) if is_whole else essential(frames, found)
    places = [
        source.text(location) if location is not None else f"{pc:#x}" for pc, location in found[start:end]
    ]
    lines = [f"    #{start + i:<2} {place}\n" for i, place in folded(places)]
    if len(lines) > LINES:
        left_out = len(lines) - LINES
        lines[LINES // 2 : LINES // 2 + left_out] = [
            f"    ... {left_out:,} lines left out: `coro bt {group.ids[0]}` shows them\n"
        ]
    return line + "".join(lines)


def essential(frames, places):
    """From where to where a backtrace's frames tell what a coroutine does: from the function which the
    user's innermost one has called, to the user's outermost one. Where there is none of the user's, all."""
    users = [
        i for i, (_, location) in enumerate(places) if location is not None and frames.is_users(location)
    ]
    return (max(users[0] - 1, 0), users[-1] + 1) if users else (0, len(places))


def folded(places):
    """(level, text) of the places, repeats folded."""
    for run_ in fold.fold(places):
        for i in range(run_.start, run_.start + run_.period):
            yield i, places[i]
        if run_.rounds > 1:
            yield run_.start + run_.period, f"... {run_.rounds - 1:,} more rounds of " + (
                "this frame" if run_.period == 1 else f"these {run_.period} frames")
