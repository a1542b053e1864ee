"""`coro stacks`: how much of the region is in use, class by class, and whose stacks are deepest."""

from .. import options as options_
from .. import text
from ..command import command
from .list import tell_problems

DEEPEST, SITES = 10, 10


@command("stacks", options_.HELP_UNSORTED)
def run(session, arguments):
    """coro stacks [FILTERS]

    Shows how the region's stacks are used. That is: of each class how many are in use, free, and ever were
    used; the deepest saved stacks; and how many there are, and how deep, by the place where they were
    spawned.
    """
    options = options_.parse(arguments, takes=options_.UNSORTED)
    registry = session.registry(options.runtime)
    options_.check(options, registry)
    write = session.port.write
    method = registry.layout.redzone_methods.get(registry.header["redzone_method"], "unknown")
    write(
        f"region {registry.header['region_base']:#x}, "
        f"{text.size_in_words(registry.header['region_length'])} of address space; "
        f"redzones by {method}\n"
    )
    used, deepest, sites = survey(registry, session.frames(registry), options)
    table = text.Table(
        "CLASS", ">STACK", ">REDZONE", ">SLOTS", ">EVER USED", ">IN USE", ">FREE", ">BYTES IN USE"
    )
    for klass in registry.classes:
        count, bytes_ = used.get(klass.name, (0, 0))
        table.add(
            klass.name,
            text.size(klass.stack_size) if klass.stride else "native",
            text.size(klass.redzone),
            f"{klass.count:,}",
            f"{klass.used:,}",
            f"{count:,}",
            f"{klass.used - count:,}",
            text.size(bytes_),
        )
    write(table.text(session.port.width()))
    if deepest:
        write("deepest:\n")
        table = text.Table(">  ID", "NAME", "STATE", ">USED", ">OF", ">%", "SPAWNED AT")
        for coroutine in deepest:
            share = 100 * coroutine.stack_used / coroutine.stack_size
            table.add(coroutine.id, coroutine.name, coroutine.state, text.size(coroutine.stack_used),
                      text.size(coroutine.stack_size), f"{share:.1f}", coroutine.spawn_site)
        write(table.text(session.port.width()))
    if sites:
        write("by spawn site:\n")
        table = text.Table(">  COUNT", ">DEEPEST", ">MEAN", "SPAWNED AT")
        shown = options.most(SITES)
        ranked = sorted(sites.items(), key=lambda item: (-item[1][1], item[0]))
        for site, (count, most, total) in ranked[:shown]:
            table.add(f"{count:,}", text.size(most), text.size(total // count), site or "(not known)")
        write(table.text(session.port.width()))
        if shown is not None and len(sites) > shown:
            write(f"({len(sites):,} sites; `-limit N` shows more)\n")
    tell_problems(session, registry)


def survey(registry, frames, options):
    """({class: (how many are in use, bytes in use)}, the deepest, {site: (count, deepest, sum)})."""
    used, deepest, sites = {}, [], {}
    for coroutine in registry.each():
        place = registry.locate(coroutine.stack_limit)
        klass = place.klass if place is not None and place.klass is not None else None
        name = (
            klass.name
            if klass is not None
            else next((k.name for k in registry.classes if not k.stride), "native")
        )
        depth = coroutine.stack_used or 0
        count, bytes_ = used.get(name, (0, 0))
        used[name] = count + 1, bytes_ + depth
        if not options.matches(coroutine) or options.fn and not frames.has_function(coroutine, options.fn):
            continue
        if depth:
            deepest.append(coroutine)
            if len(deepest) > 1000:
                deepest = _deepest(deepest, options)
        count, most, total = sites.get(coroutine.spawn_site, (0, 0, 0))
        sites[coroutine.spawn_site] = count + 1, max(most, depth), total + depth
    return used, _deepest(deepest, options), sites


def _deepest(coroutines, options):
    return sorted(coroutines, key=lambda one: (-one.stack_used, one.id))[:options.most(DEEPEST)]
