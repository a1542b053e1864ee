"""`coro thread`: what the workers do."""

from collections import Counter

from .. import options as options_
from .. import text, waits
from ..command import command
from ..port import CommandError
from .list import tell_problems

COUNTERS = ("alive", "most_alive", "spawns", "switches", "polls", "heartbeats", "free_slots")


@command("thread")
def run(session, arguments):
    """coro thread [N]

    Shows what each worker does, or worker N. It says its thread, the coroutine that runs on it, how many of
    its coroutines are in each state, the one that has been ready longest, and its counters.
    """
    options = options_.parse(arguments, takes_rest=True, takes=options_.FEW)
    if len(options.rest) > 1:
        raise CommandError("`coro thread` shows all workers, or one: it takes one number")
    registry = session.registry(options.runtime)
    workers = registry.workers
    if options.rest:
        number = options_.number("coro thread", options.rest[0])
        workers = [worker for worker in workers if worker.number == number]
        if not workers:
            numbers = [str(worker.number) for worker in registry.workers]
            there = f"there {'is' if len(numbers) == 1 else 'are'} worker{'s' * (len(numbers) > 1)} {', '.join(numbers)}"
            raise CommandError(f"there is no worker {number}" + (f"; {there}" if numbers else ": the runtime has ended"))
    states, readiest, running = survey(registry)
    for worker in workers:
        for label, value in facts(registry, worker, states, readiest, running):
            session.port.write(f"{label:<14}{value}\n")
    if not workers:
        session.port.write("no worker runs: the runtime has ended\n")
    tell_problems(session, registry)


def survey(registry):
    """({worker: counts of states}, {worker: the oldest ready one}, {worker: who runs})."""
    states, readiest, running = {}, {}, {}
    for coroutine in registry.each():
        states.setdefault(coroutine.worker, Counter())[coroutine.state] += 1
        if coroutine.is_running:
            running[coroutine.worker] = coroutine
        if coroutine.state == "ready" and "lent" not in coroutine.flags:
            known = readiest.get(coroutine.worker)
            if known is None or (coroutine.age or 0) > (known.age or 0):
                readiest[coroutine.worker] = coroutine
    return states, readiest, running


def facts(registry, worker, states, readiest, running):
    thread = next((thread for thread in registry.threads() if thread.tid == worker.tid), None)
    yield f"worker {worker.number}", (
        f"thread {worker.tid}" + (f", the debugger's {thread.number}" if thread else "")
    )
    one = running.get(worker.number)
    if one is not None:
        what = {"switch": " (seeks who may run)", "io": " (waits for events)"}.get(one.kind, "")
        yield "  runs", text.who(one.id, one.name) + what
    else:
        yield "  runs", (
            "none: it is between two coroutines" if not registry.is_forked else "nothing: this is a fork"
        )
    counts = states.get(worker.number, {})
    yield "  coroutines", ", ".join(f"{count:,} {state}" for state, count in sorted(
        counts.items(), key=lambda item: (-item[1], item[0]))) or "none"
    ready = readiest.get(worker.number)
    if ready is not None:
        yield "  oldest", f"{text.who(ready.id, ready.name)}, ready for {waits.age_in_words(ready)}"
    counters = [
        f"{name.replace('_', ' ')} {worker.values[name]:,}" for name in COUNTERS if name in worker.values
    ]
    if counters:
        yield "  counters", ", ".join(counters)
    if "policy" in worker.values:
        yield "  policy", registry.layout.policies.get(worker.values["policy"], f"{worker.values['policy']}")
    if registry.now is not None:
        yield "  clock", f"read {text.duration(max(registry.now - worker.values['clock'], 0))} ago"
