"""`coro info`: everything that is known of one coroutine."""

from .. import options as options_
from .. import text, waits
from ..command import command
from ..memory import Unreadable
from ..port import CommandError

FRAMES = 200


@command("info")
def run(session, arguments):
    """coro info ID|NAME|.

    Shows everything that is known of a coroutine. That is: state, what it waits for, where it was spawned,
    its stack, its record and its saved registers, and the variables of the first function on its stack that
    is yours.
    """
    options = options_.parse(arguments, takes_rest=True, takes=options_.FEW)
    if len(options.rest) > 1:
        raise CommandError("`coro info` describes one coroutine: `coro list` shows all")
    coroutine = session.coroutine(options.rest[0] if options.rest else ".", options.runtime)
    frames = session.frames(coroutine.registry)
    width = 14
    for label, value in facts(coroutine, frames, session.port):
        session.port.write(f"{label:<{width}}{value}\n")


def facts(coroutine, frames, port):
    """(label, text) of each thing that is known."""
    registry = coroutine.registry
    yield "coroutine", text.who(coroutine.id, coroutine.name) + f", {coroutine.kind}"
    age = waits.age_in_words(coroutine)
    yield "state", waits.state_in_words(coroutine) + (f" for {age}" if age else "")
    words = waits.words(coroutine)
    if words:
        yield ("runs" if coroutine.is_running else "waits for"), words
    yield from _about_fd(coroutine, port)
    if coroutine.flags:
        yield "flags", ", ".join(coroutine.flags)
    if coroutine.requests:
        yield "requests", ", ".join(coroutine.requests)
    yield from _about_its_end(coroutine)
    site = coroutine.spawn_site
    parent = registry.by_id(coroutine.parent) if coroutine.parent else None
    lifetime = coroutine.lifetime
    by = "" if not coroutine.parent else (
        f", by {text.who(parent.id, parent.name) if parent else f'#{coroutine.parent} (ended)'}")
    ago = (
        f", {'>' if registry.is_clock_old else ''}{text.duration(lifetime)} ago"
        if lifetime is not None
        else ""
    )
    yield "spawned", (site or "(not known where)") + ago + by
    worker = next((worker for worker in registry.workers if worker.number == coroutine.worker), None)
    yield "worker", f"{coroutine.worker} (thread {worker.tid})" if worker else "none"
    used = coroutine.stack_used
    place = registry.locate(coroutine.stack_limit)
    of_class = (
        f", class '{place.klass.name}'"
        if place is not None and place.klass is not None
        else ", the thread's own"
    )
    yield "stack", (f"{coroutine.stack_limit:#x}..{coroutine.stack_top:#x}, "
                    + (f"{text.size_in_words(used)} of " if used is not None else "")
                    + text.size_in_words(coroutine.stack_size)
                    + (" in use" if used is not None else "") + of_class)
    slot = f"slot {coroutine.index}, generation {coroutine.generation}"
    yield "record", f"{coroutine.record_address:#x}, {slot}"
    for oddity in coroutine.oddities:
        yield "odd", oddity
    if coroutine.has_saved_registers:
        yield "registers", _registers(coroutine)
    place = frames.user_frame(coroutine)
    if place:
        yield "frame", place
        yield from _variables(coroutine, frames, port)


def _about_its_end(coroutine):
    """To whom it belongs, whether it was cancelled, and which timeouts may end it."""
    requests, extra = coroutine.requests, coroutine.extra or {}
    label = "member of"
    for family in coroutine.families:
        made = waits.made_at(coroutine.registry, family)
        words = waits.family_in_words(family.kind, family.address, made, family.alive, family.capacity)
        yield label, words + (f", made at {made}" if made and family.kind != "scope" else "")
        label = ""
    shields = extra.get("shields", 0)
    if "unwinding" in requests:
        yield "unwinding", "its values are being dropped, because of a " + (
            "cancel" if "cancel" in requests else "timeout")
    elif "cancel" in requests:
        yield "cancelled", (
            "held back by a shield; it unwinds at its first wait after that"
            if "shield" in requests
            else "it is not unwinding yet: it does at its next wait, and if it has not begun it is not run"
        )
    if "shield" in requests:
        yield "shielded", "what is asked of it is held back" + (
            f", by {text.plural(shields, 'shield')}" if shields > 1 else "")
    label = "timeouts"
    for row in coroutine.registry.timeouts(extra):
        yield label, _timeout_in_words(coroutine, row, shields)
        label = ""


def _timeout_in_words(coroutine, row, shields):
    """`scope 3: 1.2 s left`"""
    words, now = f"scope {row.get('scope', 0)}", coroutine.registry.now
    if now is not None and row.get("deadline"):
        left = row["deadline"] - now
        words += f": {text.duration(left)} left" if left >= 0 else f": {text.duration(-left)} late"
    return words + (", held back by a shield" if row.get("shields", 0) < shields else "")


def _about_fd(coroutine, port):
    wait = waits.wait_of(coroutine)
    if wait and "fd" in wait:
        known = port.describe_fd(wait["fd"])
        if known:
            yield "descriptor", f"fd {wait['fd']} is {known}"


def _registers(coroutine):
    if coroutine.has_stack is False:
        return "not to be had: its stack is not in this core"
    names = {register.extra: register.name for register in coroutine.registry.layout.registers}
    try:
        return ", ".join(
            f"{names[number]} {value:#x}" for number, value in coroutine.saved_registers().items()
        )
    except Unreadable as error:
        return f"not to be had: {error}"


def _variables(coroutine, frames, port):
    """Those of the first frame that is the user's."""
    with port.open_stack(coroutine) as stack:
        for count, frame in enumerate(stack):
            if count == FRAMES:
                return
            if frames.is_users(frame.location):
                for name, value in (*port.arguments(frame), *port.locals(frame)):
                    yield "", f"{name} = {value}"
                return
