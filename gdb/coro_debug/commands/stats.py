"""`coro stats`: the runtime's counters, worker by worker and in all."""

from .. import options as options_
from .. import text
from ..command import command
from .list import tell_problems

#: Heading -> a worker's field.
COUNTERS = (("ALIVE", "alive"), ("SPAWNED", "spawns"), ("ENDED", "exits"), ("STOLEN", "steals"),
            ("SWITCHES", "switches"), ("POLLS", "polls"), ("HEARTBEATS", "heartbeats"))


@command("stats")
def run(session, arguments):
    """coro stats

    Shows the runtime's counters, worker by worker and in all. They are: coroutines that are alive there,
    those that it has spawned, that have ended there, and that it has stolen before they began; switches from
    one to another; looks at I/O and timers; heartbeats; and how many wait for what, its main among them.
    """
    options = options_.parse(arguments, takes=options_.FEW)
    registry = session.registry(options.runtime)
    write = session.port.write
    workers = registry.workers
    if not workers:
        write("no worker runs: the runtime has ended\n")
        tell_problems(session, registry)
        return
    counters = [(heading, field) for heading, field in COUNTERS if field in registry.layout.worker.fields]
    table = text.Table("WORKER", *(f">{heading}" for heading, _ in counters), "PARKED")
    in_all, parked_in_all = dict.fromkeys((field for _, field in counters), 0), {}
    for worker in workers:
        parked = registry.parked_on(worker)
        for field in in_all:
            in_all[field] += worker.values[field]
        for reason, count in (parked or {}).items():
            parked_in_all[reason] = parked_in_all.get(reason, 0) + count
        table.add(worker.number, *(f"{worker.values[field]:,}" for _, field in counters), _words(parked))
    fresh = not_begun(in_all)
    if fresh is not None:
        in_all["alive"] += fresh
    if len(workers) > 1:
        is_counted = registry.layout.parked is not None
        table.add("all", *(f"{in_all[field]:,}" for _, field in counters),
                  _words(parked_in_all if is_counted else None))
    write(table.text(session.port.width()))
    if fresh:
        write(f"{text.plural(fresh, 'coroutine')} nobody has begun: alive, and on no worker\n")
    tell_problems(session, registry)


def not_begun(in_all):
    """How many have been spawned, and neither have ended nor live on a worker; None: not known."""
    if not {"alive", "spawns", "exits"} <= in_all.keys():
        return None
    # While the program runs, or ends, the counts are not of one moment.
    return max(in_all["spawns"] - in_all["exits"] - in_all["alive"], 0)


def _words(parked):
    if parked is None:
        return "not known"
    return ", ".join(f"{count:,} {reason}" for reason, count in parked.items()) or "-"
