"""What coroutines wait for, beside coroutines: descriptors, mutexes, channels, read from the program's
memory."""

import socket

from .memory import Unreadable

#: In a field of the kind `owner`: the rest is a thread's number, and no coroutine's.
PLAIN_THREAD = 1 << 63


class Descriptor:
    """A file descriptor of the program's, as its runtime knows it."""

    def __init__(self, fd, role, address, values):
        self.fd, self.role, self.address = fd, role, address
        self.last_user = values.get("last_user", 0)
        #: What a `BufferedSender` holds for it, and that one's watermarks; a high one of 0: there is none.
        self.buffered = values.get("buffered", 0)
        self.low, self.high = values.get("low_watermark", 0), values.get("high_watermark", 0)


def descriptor(memory, layout, fd):
    """What the runtime knows of a file descriptor; None: nothing."""
    row = layout.descriptor
    if row is None or "role" not in row.fields:
        return None
    address, stride, count = layout.tables["descriptors"]
    if not 0 <= fd < count:
        return None
    values = read(memory, row, address + fd * stride)
    if values is None or values["role"] == 0:
        return None
    role = layout.descriptor_roles.get(values["role"], f"role {values['role']}")
    data = values.get("address", b"")
    data = data[: values.get("address_length", 0)] if isinstance(data, bytes) else b""
    return Descriptor(fd, role, socket_address(data), values)


def read(memory, row, address):
    """The fields of a row, a dictionary; None when the program has no such row, or it can't be read."""
    if row is None or not 0 < address < 1 << 64:
        return None
    try:
        return row.unpack(memory.read(address, row.stride))
    except Unreadable:
        return None


#: More things in one select are damage.
MOST_THINGS = 256


def things(memory, layout, address):
    """Of the head of a select: (number of the reason, object) of each thing; what can't be read is left out."""
    head = read(memory, layout.select, address)
    if head is None or layout.thing is None:
        return []
    found, row = [], layout.thing
    for i in range(min(head.get("count", 0), MOST_THINGS)):
        thing = read(memory, row, head.get("things", 0) + i * row.stride)
        if thing is None:
            break
        found.append((thing.get("reason", 0), thing.get("object", 0)))
    return found


#: More places in one family are not looked at.
MOST_PLACES = 1 << 16


def rows(memory, row, address, count):
    """An array of rows, as dictionaries; none when it can't be read."""
    if row is None or not count or not 0 < address < 1 << 64:
        return []
    try:
        data = memory.read(address, row.stride * count)
    except Unreadable:
        return []
    return [row.unpack(data, row.stride * i) for i in range(count)]


class Family:
    """The members of a scope, a group or a pool."""

    def __init__(self, address, kind, values, members):
        self.address, self.kind = address, kind
        #: For how many there is room, 0: for any number; how many have not ended.
        self.capacity, self.alive = values.get("capacity", 0), values.get("count", 0)
        self.values = values
        #: The ids of those that are known, the lowest first.
        self.members = members


def family(memory, layout, address):
    """The family whose head is there; None: it can't be read."""
    head = read(memory, layout.family, address)
    if head is None:
        return None
    kind = layout.family_kinds.get(head.get("kind", 0))
    if kind is None:
        return None
    places = rows(memory, layout.member, head.get("members", 0), min(head.get("places", 0), MOST_PLACES))
    return Family(address, kind, head, sorted(place["coroutine"] for place in places if place.get("coroutine")))


#: A coroutine in more timeout scopes is damage.
MOST_TIMEOUTS = 256


def timeouts(memory, layout, extra):
    """The timeout scopes of a coroutine's heap part (the fields of its head), the outermost first."""
    count = min(extra.get("timeout_count", 0), MOST_TIMEOUTS)
    return rows(memory, layout.timeout, extra.get("timeouts", 0), count)


def owner(value):
    """Of a field of the kind `owner`: ("coroutine", id), ("thread", tid), or None for nobody."""
    if not value:
        return None
    return ("thread", value & 0xFFFF_FFFF) if value & PLAIN_THREAD else ("coroutine", value)


def socket_address(data):
    """`127.0.0.1:8080`, `[::1]:8080`, `/run/a.sock`, `@abstract`, `unnamed unix socket` of a sockaddr's bytes; '' when it is
    none of these."""
    family = int.from_bytes(data[:2], "little")
    if family == socket.AF_INET and len(data) >= 8:
        return f"{socket.inet_ntop(socket.AF_INET, data[4:8])}:{int.from_bytes(data[2:4], 'big')}"
    if family == socket.AF_INET6 and len(data) >= 24:
        return f"[{socket.inet_ntop(socket.AF_INET6, data[8:24])}]:{int.from_bytes(data[2:4], 'big')}"
    if family == socket.AF_UNIX and len(data) >= 2:
        name = data[2:]
        if not name.strip(b"\0"):
            return "unnamed unix socket"
        is_abstract = name[:1] == b"\0"
        name = name[1:] if is_abstract else name.split(b"\0")[0]
        shown = "".join(c if c.isprintable() else "?" for c in name.decode("utf-8", "replace"))
        return ("@" if is_abstract else "") + shown
    return ""
