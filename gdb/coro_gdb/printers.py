"""How values of the runtime's types are shown: a handle as the coroutine that it is of, a lock by who has
it, a channel by what is in it.

By the type's name; the fields by theirs, as far as they are there. What can't be told is left out, and what
can't be read at all is shown as GDB would without this: a printer that fails spoils the backtrace in which
it stands.
"""

import re

import gdb

from coro_debug import shown
from coro_debug.port import CommandError
from coro_debug.session import guarded

from . import sessions, values

#: Depth at which a number is looked for in its wrappers: `CoroutineId { 0: 42 }`, atomics.
MOST_WRAPPERS = 8


class Printer:
    """A value with a text of its own; its fields are shown besides, where GDB would."""

    def __init__(self, words, value=None):
        self._words = words
        self._value = value

    def to_string(self):
        return self._words


class PrinterWithValue(Printer):
    """One that has something inside which is the user's."""

    def children(self):
        if self._value is not None:
            yield "value", self._value


def _coroutine_id(value):
    return Printer(coroutine_text(_number(value)))


def _join_handle(value):
    return Printer(f"JoinHandle of {coroutine_text(int(value['target']['id']))}")


def _mutex(value):
    inside = value["value"]["value"]
    return PrinterWithValue(f"Mutex ({_mutex_text(value)})", inside)


def _guard(value):
    mutex = value["mutex"].dereference()
    inside = mutex["value"]["value"]
    return PrinterWithValue(f"MutexGuard ({_mutex_text(mutex)})", inside)


def _sender(value):
    return Printer(f"Sender ({_channel_text(value)})")


def _receiver(value):
    return Printer(f"Receiver ({_channel_text(value)})")


def _sync(name, reason, inside=None):
    """The printer of a type whose address is its head's; `inside`: the fields that lead to what it guards."""

    def make(value):
        text = shown.sync(_registry(), reason, int(value.address) if value.address is not None else 0)
        found = value
        for field in inside or ():
            found = found[field]
        return PrinterWithValue(f"{name} ({text})", found) if inside else Printer(f"{name} ({text})")

    return make


def _once_lock(value):
    text = shown.sync(_registry(), "once", int(value.address) if value.address is not None else 0)
    inside = value["value"]["value"]
    # Only the variant that it is has a field, beside what tells which.
    some = next((field for field in inside.type.fields() if field.name == "Some"), None)
    return PrinterWithValue(f"OnceLock ({text})", inside[some]["__0"] if some is not None else None)


def _rwlock_guard(name):
    def make(value):
        lock = value["lock"].dereference()
        text = shown.sync(_registry(), "write lock", int(lock.address))
        return PrinterWithValue(f"{name} ({text})", lock["value"]["value"])

    return make


def _wait_group(value):
    head = value["shared"]["ptr"]["pointer"].dereference()["data"].address
    return Printer(f"WaitGroup ({shown.sync(_registry(), 'wait group', int(head))})")


def _permit(value):
    text = shown.sync(_registry(), "semaphore", int(value["semaphore"]))
    return Printer(f"SemaphorePermit of {int(value['count'])} ({text})")


def _oneshot(name, end):
    return lambda value: Printer(f"{name} ({_channel_text(value[end])})")


_PRINTERS = {
    "coro::coroutine::current::CoroutineId": _coroutine_id,
    "coro::runtime::handle::JoinHandle": _join_handle,
    "coro::sync::mutex::Mutex": _mutex,
    "coro::sync::mutex::MutexGuard": _guard,
    "coro::sync::channel::sender::Sender": _sender,
    "coro::sync::channel::receiver::Receiver": _receiver,
    "coro::sync::oneshot::OneshotSender": _oneshot("OneshotSender", "sender"),
    "coro::sync::oneshot::OneshotReceiver": _oneshot("OneshotReceiver", "receiver"),
    "coro::sync::condvar::Condvar": _sync("Condvar", "condvar"),
    "coro::sync::rwlock::RwLock": _sync("RwLock", "write lock", ("value", "value")),
    "coro::sync::rwlock::RwLockReadGuard": _rwlock_guard("RwLockReadGuard"),
    "coro::sync::rwlock::RwLockWriteGuard": _rwlock_guard("RwLockWriteGuard"),
    "coro::sync::semaphore::Semaphore": _sync("Semaphore", "semaphore"),
    "coro::sync::semaphore::SemaphorePermit": _permit,
    "coro::sync::barrier::Barrier": _sync("Barrier", "barrier"),
    "coro::sync::wait_group::WaitGroup": _wait_group,
    "coro::sync::once::Once": _sync("Once", "once"),
    "coro::sync::once::OnceLock": _once_lock,
    "coro::sync::event::Event": _sync("Event", "event"),
}


class Lookup:
    """Finds the printer of a type, for GDB."""

    name = "coro"
    enabled = True

    def __call__(self, value):
        try:
            make = _PRINTERS.get(re.sub(r"<.*", "", value.type.strip_typedefs().name or ""))
            return make(value) if make is not None else None
        except (gdb.error, RuntimeError, CommandError, TypeError, ValueError, KeyError):
            return None


def register():
    """Adds it to those of all programs."""
    lookups = [Lookup(), values.MissingLookup()]
    names = [lookup.name for lookup in lookups]
    gdb.pretty_printers[:] = [
        printer for printer in gdb.pretty_printers if getattr(printer, "name", "") not in names
    ] + lookups


# What the texts are made of.


def coroutine_text(number):
    return shown.coroutine(_registry(), number)


def _mutex_text(value):
    return shown.mutex(_registry(), int(value.address) if value.address is not None else 0)


def _channel_text(value):
    head = value["shared"]["ptr"]["pointer"].dereference()["data"].address
    return shown.channel(_registry(), int(head) if head is not None else 0)


def _registry():
    try:
        return next(iter(guarded(sessions.session().registries)), None)
    except (CommandError, gdb.error):
        return None


def _number(value):
    """The number in a value, whatever it is wrapped in."""
    for _ in range(MOST_WRAPPERS):
        if value.type.strip_typedefs().code == gdb.TYPE_CODE_INT:
            return int(value)
        value = value[value.type.strip_typedefs().fields()[0]]
    raise ValueError("no number in it")
