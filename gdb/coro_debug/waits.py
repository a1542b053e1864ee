"""What a coroutine waits for: as data, and in the words that every command uses.

The data is a dictionary with `reason` and what is known of the object; `words` makes the text of it. Both
come from one look at the program's memory, so that the JSON and the table can't disagree.
"""

from . import objects
from .text import duration, plural, who

IO = ("read", "write", "accept", "connect", "process", "signal")


def wait_of(coroutine):
    """What a coroutine waits for, a dictionary; None when it doesn't wait. Keys: `reason`; `fd`, `peer`,
    `own`; `coroutine`, `name`, `has_ended`; `address`, `holder`, `is_free`; `capacity`, `length`, `senders`,
    `receivers`, `last_sender`, `last_receiver`; `place`, `job_thread` (of an offloaded job; 0: not begun); `left`
    (nanoseconds to the deadline)."""
    if coroutine.state in ("free", "new", "ready", "exited") or coroutine.is_running:
        return None
    reason = coroutine.wait_reason
    wait = {"reason": reason}
    kind, value = coroutine.wait_object_kind, coroutine.wait_object
    if kind == "file descriptor":
        _describe_fd(coroutine, wait, value)
    elif kind == "coroutine id":
        other = coroutine.registry.by_id(value)
        wait.update(coroutine=value, name=other.name if other else "", has_ended=other is None)
    elif kind == "address":
        wait["address"] = value
        if reason == "mutex":
            _describe_mutex(coroutine.registry, wait, value)
        elif reason in ("send", "receive"):
            _describe_channel(coroutine.registry, wait, value)
        elif reason == "offload":
            _describe_job(coroutine.registry, wait, value)
    if coroutine.time_left is not None:
        wait["left"] = coroutine.time_left
    return wait


def _describe_fd(coroutine, wait, fd):
    wait["fd"] = fd & 0xFFFF_FFFF
    known = coroutine.registry.descriptor(wait["fd"])
    if known is not None and known.address:
        wait["own" if known.role == "listener" else "peer"] = known.address


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
    job = registry.offload(address)
    if job is None:
        return
    file = registry.source_text(job.get("file", 0), job.get("file_length", 0))
    if file:
        wait["place"] = f"{file}:{job.get('line', 0)}"
    wait["job_thread"] = job.get("thread", 0)


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
        return f"running on thread {number}" if number is not None else ""
    wait = wait_of(coroutine)
    text = in_words(wait) if wait else ""
    # A timeout is told by the time left.
    asked = [request for request in coroutine.requests if request != "timeout"]
    return f"{text} [{', '.join(asked)}]" if text and asked else text


def in_words(wait):
    """The text of what `wait_of` says."""
    reason = wait["reason"]
    if reason in ("none", "turn"):
        # switch and io rest so between their turns; of others nobody knows what for.
        text = "its turn" if reason == "turn" else ""
    elif "fd" in wait:
        text = f"{reason} fd {wait['fd']}" + (f" on {wait['own']}" if "own" in wait else "")
        text += f" -> {wait['peer']}" if "peer" in wait else ""
    elif "coroutine" in wait:
        text = f"{reason} #{wait['coroutine']} (ended)" if wait["has_ended"] else \
            f"{reason} {who(wait['coroutine'], wait['name'])}"
    elif reason == "mutex" and "address" in wait:
        text = f"mutex {wait['address']:#x}" + _holder_in_words(wait)
    elif reason in ("send", "receive") and "address" in wait:
        text = f"{reason} on channel {wait['address']:#x}" + _channel_in_words(reason, wait)
    elif reason == "offload" and "job_thread" in wait:
        text = f"offload at {wait['place']}" if "place" in wait else "offload"
        text += f" on thread {wait['job_thread']}" if wait["job_thread"] else ", not begun"
    elif reason == "sleep":
        text = "sleep" if "left" in wait else "sleep, for ever"
    else:
        text = reason + (f" {wait['address']:#x}" if "address" in wait else "")
    if "left" in wait:
        left = wait["left"]
        late = f"{duration(left)} left" if left >= 0 else f"{duration(-left)} late"
        text = f"{text}, {late}" if text else late
    return text


def _holder_in_words(wait):
    if wait.get("is_free"):
        return " free"
    holder = wait.get("holder")
    return f" held by {person_in_words(holder)}" if holder else ""


def _channel_in_words(reason, wait):
    facts = []
    if "length" in wait and "capacity" in wait:
        length, capacity = wait["length"], wait["capacity"]
        how = (
            "empty"
            if length == 0 and capacity
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
