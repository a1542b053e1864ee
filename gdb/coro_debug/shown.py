"""What handles, locks and channels are shown as, where a debugger shows them among a program's variables."""

from . import text, waits


def coroutine(registry, number):
    """`coroutine #42 'conn', parked 3.1 s: read fd 7`. `registry`: None where there is none."""
    if number == 0:
        return "no coroutine"
    found = registry.by_id(number) if registry is not None else None
    if found is None:
        return f"coroutine #{number}, ended" if registry is not None else f"coroutine #{number}"
    age, words = waits.age_in_words(found), waits.words(found)
    who = f"coroutine {text.who(found.id, found.name)}"
    if found.is_running and words:
        return f"{who}, {words}"
    state = waits.state_in_words(found)
    return f"{who}, {state}" + (f" {age}" if age else "") + (f": {words}" if words else "")


def mutex(registry, address):
    """`free`, `locked by #12 'name', contended`, and whether it is poisoned; `?` where it can't be read."""
    fields = registry.mutex(address) if registry is not None and address else None
    if fields is None:
        return "?"
    poisoned = ", poisoned" if fields.get("poisoned") else ""
    if fields.get("word") == 0:
        return f"free{poisoned}"
    waiting = {2: ", contended", 3: ", just handed over"}.get(fields.get("word"), "")
    holder = waits.person(registry, fields.get("owner", 0))
    by = f" by {waits.person_in_words(holder)}" if holder else ""
    return f"locked{by}{waiting}{poisoned}"


def channel(registry, address):
    """`3 of 10, 2 senders, 1 receiver, last sent by #3`; `?` where it can't be read."""
    fields = registry.channel(address) if registry is not None and address else None
    if fields is None:
        return "?"
    length, capacity = fields["length"], fields["capacity"]
    if capacity == waits.UNBOUNDED:
        filled = f"{length} in it, no bound" if length else "empty, no bound"
    elif capacity == 0:
        filled = f"no room, {length} left behind" if length else "no room"
    else:
        filled = f"{length} of {capacity}" if length else f"empty, room for {capacity}"
    parts = [filled, text.plural(fields["senders"], "sender"), text.plural(fields["receivers"], "receiver")]
    for name, words in (("last_sender", "last sent by"), ("last_receiver", "last received by")):
        who = waits.person(registry, fields.get(name, 0))
        if who:
            parts.append(f"{words} {waits.person_in_words(who)}")
    return ", ".join(parts)


def sync(registry, reason, address):
    """`2 of 3 permits left, last #7 'user'`, of an object for which coroutines wait by that reason; `?` where
    it can't be read."""
    fields = registry.sync(address) if registry is not None and address else None
    if fields is None:
        return "?"
    words = waits.sync_in_words(reason, fields.get("count", 0), fields.get("limit", 0))
    who = waits.person(registry, fields.get("owner", 0))
    return ", ".join(part for part in (words, f"last {waits.person_in_words(who)}" if who else "") if part) or "-"


def is_made(registry, address):
    """Whether the value of a `OnceLock` has been made."""
    fields = registry.sync(address) if registry is not None and address else None
    return fields is not None and waits.sync_in_words("once", fields.get("count", 0), 0) == "done"

