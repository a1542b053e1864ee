"""What a coroutine waits for: as data, and in the words that every command uses.

The data is a dictionary with `reason` and what is known of the object; `words` makes the text of it. Both
come from one look at the program's memory, so that the JSON and the table can't disagree.
"""

from . import objects
from .text import duration, plural, size_in_words, who

IO = ("read", "write", "accept", "connect", "process", "signal")
#: Reasons whose objects somebody has, as long as others wait for them.
HELD = ("read lock", "write lock", "once")


def wait_of(coroutine):
    """What a coroutine waits for, a dictionary; None when it doesn't wait. Keys: `reason`; `fd`, `peer`,
    `own`, `buffered`, `low`, `high` (a sender's buffer and its watermarks); `coroutine`, `name`, `has_ended`;
    `address`, `holder`, `is_free`; `capacity`, `length`, `senders`, `receivers`, `last_sender`, `last_receiver`;
    `count`, `limit`, `last`; `place`, `thread`; `family` (scope, group or pool), `made`, `alive`, `room`, `members`
    (ids); `things` (of a select: a list of such dictionaries); `left`
    (nanoseconds to the deadline)."""
    if coroutine.state in ("free", "new", "ready", "exited") or coroutine.is_running:
        return None
    reason = coroutine.wait_reason
    wait = {"reason": reason}
    _describe(coroutine.registry, wait, coroutine.wait_object_kind, coroutine.wait_object)
    if coroutine.time_left is not None:
        wait["left"] = coroutine.time_left
    return wait


def _describe(registry, wait, kind, value):
    """Adds what is known of the object."""
    reason = wait["reason"]
    if kind == "file descriptor":
        _describe_fd(registry, wait, value)
    elif kind == "coroutine id":
        other = registry.by_id(value)
        wait.update(coroutine=value, name=other.name if other else "", has_ended=other is None)
    elif kind == "address":
        wait["address"] = value
        if reason == "mutex":
            _describe_mutex(registry, wait, value)
        elif reason in ("send", "receive"):
            _describe_channel(registry, wait, value)
        elif reason == "select":
            wait["things"] = [_thing(registry, *thing) for thing in registry.things(value)]
        elif reason == "offload":
            _describe_job(registry, wait, value)
        elif reason in ("group", "place"):
            _describe_family(registry, wait, value)
        else:
            _describe_sync(registry, wait, value)


def _thing(registry, number, value):
    """One of several things that are waited for, as `wait_of` would tell it if it were alone."""
    reason = registry.layout.wait_reasons.get(number, f"reason {number}")
    wait = {"reason": reason}
    kind = registry.layout.object_kinds.get(registry.layout.wait_objects.get(reason, 0), "nothing")
    if reason != "select":
        _describe(registry, wait, kind, value)
    return wait


def _describe_sync(registry, wait, address):
    head = registry.sync(address)
    if head is None:
        return
    wait["count"], wait["limit"] = head.get("count", 0), head.get("limit", 0)
    owner = person(registry, head.get("owner", 0))
    if owner is None:
        return
    # Who has to act, for certain; or only the last who did something.
    has_it = wait["reason"] == "once" or wait["limit"] or wait["count"] == 1
    wait["holder" if wait["reason"] in HELD and has_it else "last"] = owner


def _describe_fd(registry, wait, fd):
    wait["fd"] = fd & 0xFFFF_FFFF
    known = registry.descriptor(wait["fd"])
    if known is not None and known.address:
        wait["own" if known.role in ("listener", "datagram") else "peer"] = known.address
    if known is not None and known.high and wait["reason"] == "write":
        wait.update(buffered=known.buffered, low=known.low, high=known.high)


def _describe_mutex(registry, wait, address):
    mutex = registry.mutex(address)
    if mutex is None:
        return
    wait["is_free"] = mutex.get("word", 1) == 0
    wait["is_poisoned"] = bool(mutex.get("poisoned", 0))
    wait["holder"] = person(registry, mutex.get("owner", 0))


def _describe_channel(registry, wait, address):
    channel = registry.channel(address)
    if channel is None:
        return
    for name in ("capacity", "length", "senders", "receivers"):
        if name in channel:
            wait[name] = channel[name]
    for name in ("last_sender", "last_receiver"):
        wait[name] = person(registry, channel.get(name, 0))


def _describe_job(registry, wait, address):
    job = registry.job(address)
    if job is None:
        return
    file = registry.source_text(job.get("file", 0), job.get("file_length", 0))
    if file:
        wait["place"] = f"{file}:{job.get('line', 0)}"
    if job.get("thread", 0):
        wait["thread"] = job["thread"]


def _describe_family(registry, wait, address):
    family = registry.family(address)
    if family is None:
        return
    wait.update(family=family.kind, alive=family.alive, room=family.capacity, members=family.members)
    made = made_at(registry, family)
    if made:
        wait["made"] = made


def made_at(registry, family):
    """`src/app.rs:12`: where a scope, a group or a pool was made; '' when not known."""
    values = family.values
    file = registry.source_text(values.get("file", 0), values.get("file_length", 0))
    return f"{file}:{values.get('line', 0)}" if file else ""


def person(registry, value):
    """Of a field of the kind `owner`: {"coroutine": id, "name": …} or {"thread": tid}; None: nobody."""
    found = objects.owner(value)
    if found is None:
        return None
    if found[0] == "thread":
        return {"thread": found[1]}
    other = registry.by_id(found[1])
    return {"coroutine": found[1], "name": other.name if other else "", "has_ended": other is None}


def person_in_words(somebody):
    """`#12 'name'`, `#12 (ended)` or `thread 4711`"""
    if "thread" in somebody:
        return f"thread {somebody['thread']}"
    return (
        f"#{somebody['coroutine']} (ended)"
        if somebody["has_ended"]
        else who(somebody["coroutine"], somebody["name"])
    )


def words(coroutine):
    """The column WAITS FOR; '' when it doesn't wait."""
    if coroutine.is_running:
        number = coroutine.thread.number if coroutine.thread is not None else None
        text = f"running on thread {number}" if number is not None else ""
    else:
        wait = wait_of(coroutine)
        text = in_words(wait) if wait else ""
    # A timeout is told by the time left.
    asked = [request for request in coroutine.requests if request != "timeout"]
    if not text and coroutine.state not in ("new", "ready"):
        return ""
    return f"{text} [{', '.join(asked)}]".lstrip() if asked else text


def in_words(wait):
    """The text of what `wait_of` says."""
    reason = wait["reason"]
    if reason in ("none", "turn"):
        # switch and io rest so between their turns; of others nobody knows what for.
        text = "its turn" if reason == "turn" else ""
    elif "fd" in wait:
        text = f"{reason} fd {wait['fd']}" + (f" on {wait['own']}" if "own" in wait else "")
        text += f" -> {wait['peer']}" if "peer" in wait else ""
        text += _buffer_in_words(wait) if "high" in wait else ""
    elif "coroutine" in wait:
        text = f"{reason} #{wait['coroutine']} (ended)" if wait["has_ended"] else \
            f"{reason} {who(wait['coroutine'], wait['name'])}"
    elif reason == "mutex" and "address" in wait:
        text = f"mutex {wait['address']:#x}" + _holder_in_words(wait)
    elif reason in ("send", "receive") and "address" in wait:
        text = f"{reason} on channel {wait['address']:#x}" + _channel_in_words(reason, wait)
    elif reason == "offload" and "address" in wait:
        text = f"offload at {wait['place']}" if "place" in wait else f"offload {wait['address']:#x}"
        if "thread" in wait:
            text += f", on thread {wait['thread']}"
        elif "place" in wait:
            text += ", no thread yet"
    elif "family" in wait:
        text = ("place in " if reason == "place" else "") + family_in_words(
            wait["family"], wait["address"], wait.get("made"), wait["alive"], wait["room"])
    elif reason == "sleep":
        text = "sleep" if "left" in wait else "sleep, for ever"
    elif "things" in wait:
        # Of a moment that is one of the things the deadline tells.
        shown = ["a moment" if thing["reason"] == "sleep" else in_words(thing) for thing in wait["things"]]
        text = f"select on {plural(len(shown), 'thing')}" + (f" ({'; '.join(shown)})" if shown else "")
    elif "count" in wait:
        text = f"{reason} {wait['address']:#x}" + _sync_in_words(reason, wait)
    else:
        text = reason + (f" {wait['address']:#x}" if "address" in wait else "")
    if "left" in wait:
        left = wait["left"]
        late = f"{duration(left)} left" if left >= 0 else f"{duration(-left)} late"
        text = f"{text}, {late}" if text else late
    return text


def family_in_words(kind, address, made, alive, room):
    """`scope at src/app.rs:12 (2 alive)`, `group 0x... (3 members alive)`, `pool 0x... (8 of 8 busy)`"""
    if kind == "scope" and made:
        return f"scope at {made} ({alive:,} alive)"
    if kind == "pool":
        return f"pool {address:#x} ({alive:,} of {room:,} busy)"
    return f"{kind} {address:#x} ({plural(alive, 'member')} alive)"


def _holder_in_words(wait):
    if wait.get("is_free"):
        return " free"
    holder = wait.get("holder")
    return f" held by {person_in_words(holder)}" if holder else ""


def _buffer_in_words(wait):
    """`, 256 KiB buffered, above high watermark`: of one who drains, how far."""
    level = (
        "above high watermark"
        if wait["buffered"] >= wait["high"]
        else "above low watermark" if wait["buffered"] > wait["low"] else "below low watermark"
    )
    return f", {size_in_words(wait['buffered'])} buffered, {level}"


def _sync_in_words(reason, wait):
    words = sync_in_words(reason, wait["count"], wait["limit"])
    facts = [words] if words else []
    if "last" in wait:
        facts.append(f"last {person_in_words(wait['last'])}")
    return _holder_in_words(wait) + (f" ({', '.join(facts)})" if facts else "")


def sync_in_words(reason, count, limit):
    """What the two numbers of such an object say; '' when nothing."""
    if reason in ("read lock", "write lock"):
        return "one writes" if limit else (f"{count:,} read" if count else "free")
    if reason == "semaphore":
        return f"{count:,} of {limit:,} permits left"
    if reason == "barrier":
        return f"{count:,} of {limit:,} have come"
    if reason == "wait group":
        return plural(count, "member") + " not done"
    if reason == "once":
        return ("to be done", "being done", "done", "poisoned")[count] if count < 4 else ""
    if reason == "event":
        return "set" if count else "not set"
    return ""


#: The capacity of a channel without a bound.
UNBOUNDED = (1 << 64) - 1


def _channel_in_words(reason, wait):
    facts = []
    if "length" in wait and wait.get("capacity") == UNBOUNDED:
        facts.append(f"{wait['length']} in it" if wait["length"] else "empty")
    elif wait.get("capacity") == 0:
        facts.append("no room")
    elif "length" in wait and "capacity" in wait:
        length, capacity = wait["length"], wait["capacity"]
        how = (
            "empty"
            if length == 0
            else f"{length} of {capacity}" + (" full" if length >= capacity else "")
        )
        facts.append(how)
    others, verb = ("receivers", "last received by") if reason == "send" else ("senders", "last")
    if reason == "receive" and others in wait:
        facts.append(plural(wait[others], others[:-1]))
    last = wait.get("last_receiver" if reason == "send" else "last_sender")
    if last:
        facts.append(f"{verb} {'#%d' % last['coroutine'] if 'coroutine' in last else person_in_words(last)}")
    return f" ({', '.join(facts)})" if facts else ""


def summary(coroutine):
    """`parked for 3.1 s: read fd 7 -> 127.0.0.1:8080`, `running on thread 2`"""
    told = words(coroutine)
    if coroutine.is_running:
        return told or state_in_words(coroutine)
    age = age_in_words(coroutine)
    return state_in_words(coroutine) + (f" for {age}" if age else "") + (f": {told}" if told else "")


def state_in_words(coroutine):
    """The column STATE: `ready (lent)` for one that has lent its worker."""
    return "ready (lent)" if coroutine.state == "ready" and "lent" in coroutine.flags else coroutine.state


def age_in_words(coroutine):
    """The column AGE; `>` before what is known as a minimum only."""
    age = coroutine.age
    if age is None:
        return ""
    return (">" if coroutine.registry.is_clock_old else "") + duration(age)
