"""How values of the runtime's types are shown: a handle as the coroutine that it is of, a lock by who has it,
a channel by what is in it. By the types' names; what can't be told is shown as LLDB would without this."""

import re

import lldb

from coro_debug import shown

from . import sessions

CATEGORY = "coro"
#: Depth at which a number is looked for in its wrappers: `CoroutineId { 0: 42 }`, atomics.
MOST_WRAPPERS = 8
#: The type of a variant of an Option's.
SOME = re.compile(r"::Some(<.*>)?$")


def coroutine_id(value, _dictionary):
    """`coroutine #42 'conn', parked 3.1 s: read fd 7`"""
    return _said(value, lambda registry, raw: shown.coroutine(registry, _number(raw)))


def join_handle(value, _dictionary):
    """`JoinHandle of coroutine #42 …`"""
    return _said(value, lambda registry, raw: "JoinHandle of "
                 + shown.coroutine(registry, _child(_child(raw, "target"), "id").GetValueAsUnsigned()))


def mutex(value, _dictionary):
    """`Mutex (locked by #12 'name')`"""
    return _said(value, lambda registry, raw: f"Mutex ({shown.mutex(registry, _address(raw))})")


def mutex_guard(value, _dictionary):
    """`MutexGuard (locked by #12 'name')`"""
    return _said(value, lambda registry, raw: "MutexGuard ("
                 + shown.mutex(registry, _child(raw, "mutex").GetValueAsUnsigned()) + ")")


def sender(value, _dictionary):
    """`Sender (3 of 10, 2 senders, 1 receiver)`"""
    return _said(value, lambda registry, raw: f"Sender ({shown.channel(registry, _channel(raw))})")


def receiver(value, _dictionary):
    """`Receiver (empty, room for 10, 2 senders, 1 receiver)`"""
    return _said(value, lambda registry, raw: f"Receiver ({shown.channel(registry, _channel(raw))})")


def _sync(name, reason):
    """The summary of a type whose address is its head's."""

    def summary(value, _dictionary):
        return _said(value, lambda registry, raw: f"{name} ({shown.sync(registry, reason, _address(raw))})")

    summary.__name__ = name.lower()
    summary.__doc__ = f"`{name} (...)`: what its numbers say"
    return summary


condvar, rwlock, semaphore, barrier, once, oncelock, event = (
    _sync(*of) for of in (
        ("Condvar", "condvar"), ("RwLock", "write lock"), ("Semaphore", "semaphore"), ("Barrier", "barrier"),
        ("Once", "once"), ("OnceLock", "once"), ("Event", "event")))


def _rwlock_guard(name):
    """The summary of a guard that has such a lock."""

    def summary(value, _dictionary):
        return _said(value, lambda registry, raw: f"{name} ("
                     + shown.sync(registry, "write lock", _child(raw, "lock").GetValueAsUnsigned()) + ")")

    summary.__name__ = name.lower()
    summary.__doc__ = f"`{name} (one writes, last #12 'name')`"
    return summary


rwlockreadguard, rwlockwriteguard = (_rwlock_guard(name) for name in ("RwLockReadGuard", "RwLockWriteGuard"))


def permit(value, _dictionary):
    """`SemaphorePermit of 1 (2 of 3 permits left)`"""
    return _said(value, lambda registry, raw:
                 f"SemaphorePermit of {_child(raw, 'count').GetValueAsUnsigned()} ("
                 + shown.sync(registry, "semaphore", _child(raw, "semaphore").GetValueAsUnsigned()) + ")")


def wait_group(value, _dictionary):
    """`WaitGroup (3 members not done)`"""
    return _said(value, lambda registry, raw: "WaitGroup ("
                 + shown.sync(registry, "wait group", _channel(raw)) + ")")


def oneshot_sender(value, _dictionary):
    """`OneshotSender (empty, ...)`"""
    return _said(value, lambda registry, raw: "OneshotSender ("
                 + shown.channel(registry, _channel(_child(raw, "sender"))) + ")")


def oneshot_receiver(value, _dictionary):
    """`OneshotReceiver (empty, ...)`"""
    return _said(value, lambda registry, raw: "OneshotReceiver ("
                 + shown.channel(registry, _channel(_child(raw, "receiver"))) + ")")


TYPES = {
    r"^coro::coroutine::current::CoroutineId$": coroutine_id,
    r"^coro::runtime::handle::JoinHandle<.*>$": join_handle,
    r"^coro::sync::mutex::Mutex<.*>$": mutex,
    r"^coro::sync::mutex::MutexGuard<.*>$": mutex_guard,
    r"^coro::sync::channel::sender::Sender<.*>$": sender,
    r"^coro::sync::channel::receiver::Receiver<.*>$": receiver,
    r"^coro::sync::oneshot::OneshotSender<.*>$": oneshot_sender,
    r"^coro::sync::oneshot::OneshotReceiver<.*>$": oneshot_receiver,
    r"^coro::sync::condvar::Condvar$": condvar,
    r"^coro::sync::rwlock::RwLock<.*>$": rwlock,
    r"^coro::sync::rwlock::RwLockReadGuard<.*>$": rwlockreadguard,
    r"^coro::sync::rwlock::RwLockWriteGuard<.*>$": rwlockwriteguard,
    r"^coro::sync::semaphore::Semaphore$": semaphore,
    r"^coro::sync::semaphore::SemaphorePermit$": permit,
    r"^coro::sync::barrier::Barrier$": barrier,
    r"^coro::sync::wait_group::WaitGroup$": wait_group,
    r"^coro::sync::once::Once$": once,
    r"^coro::sync::once::OnceLock<.*>$": oncelock,
    r"^coro::sync::event::Event$": event,
}


#: What is shown inside of some; the others are shown by their summaries alone.
INSIDE = {}


def register(debugger):
    """The summaries, in a category of their own: `type category disable coro` is without them."""
    category = debugger.CreateCategory(CATEGORY)
    for pattern, function in TYPES.items():
        inside = INSIDE.get(function)
        specifier = lldb.SBTypeNameSpecifier(pattern, True)
        options = lldb.eTypeOptionCascade | (lldb.eTypeOptionHideChildren if inside is None else 0)
        summary = lldb.SBTypeSummary.CreateWithFunctionName(
            f"coro_lldb.summaries.{function.__name__}", options)
        category.AddTypeSummary(specifier, summary)
        if inside is not None:
            synthetic = lldb.SBTypeSynthetic.CreateWithClassName(f"coro_lldb.summaries.{inside.__name__}",
                                                                 lldb.eTypeOptionCascade)
            category.AddTypeSynthetic(specifier, synthetic)
    category.SetEnabled(True)


class LockInside:
    """Of a lock only what is in it is the user's: its one child. `frame variable -R` shows all."""

    def __init__(self, value, _dictionary):
        self._value = value

    def update(self):
        """It is asked for anew each time."""
        return False

    def has_children(self):
        return True

    def num_children(self):
        return 1

    def get_child_index(self, name):
        return 0 if name == "value" else -1

    def get_child_at_index(self, _index):
        inside = self._lock().GetChildMemberWithName("value").GetChildMemberWithName("value")
        return inside if inside.IsValid() else None

    def _lock(self):
        return self._value.GetNonSyntheticValue()


class GuardInside(LockInside):
    """The same, of the lock that a guard holds."""

    #: Its field that refers to the lock.
    FIELD = "mutex"

    def _lock(self):
        lock = self._value.GetNonSyntheticValue().GetChildMemberWithName(self.FIELD)
        return lock.Dereference().GetNonSyntheticValue()


class RwLockGuardInside(GuardInside):
    """The same, of a guard of a lock for readers and writers."""

    FIELD = "lock"


class OnceLockInside(LockInside):
    """The same, of a value that is made once: if it has been made."""

    def has_children(self):
        return self._made() is not None

    def num_children(self):
        return 1 if self.has_children() else 0

    def get_child_at_index(self, _index):
        return self._made()

    def _made(self):
        try:
            lock = self._lock()
            if not shown.is_made(_registry_of(lock), _address(lock)):
                return None
            # LLDB doesn't tell which variant of an enum it is; of what has been made there is only one.
            variants = _child(_child(_child(lock, "value"), "value"), "$variants$")
            found = (_child(variant, "value") for variant in variants)
            made = next(made for made in found if SOME.search(made.GetType().GetName()))
            return _child(made, "__0").Clone("value")
        except Exception:  # pylint: disable=broad-except
            # As in a summary.
            return None


INSIDE.update({
    mutex: LockInside, mutex_guard: GuardInside, rwlock: LockInside,
    rwlockreadguard: RwLockGuardInside, rwlockwriteguard: RwLockGuardInside, oncelock: OnceLockInside,
})


def _said(value, words):
    try:
        raw = value.GetNonSyntheticValue()
        return words(_registry_of(raw), raw)
    except Exception:  # pylint: disable=broad-except
        # A summary that fails would spoil the frame's other variables.
        return ""


def _registry_of(value):
    session = sessions.of_value(value)
    registries = session.registries() if session is not None else []
    return registries[0] if registries else None


def _address(value):
    """Where a value lies, or what a reference to it refers to: LLDB uses the summary for both."""
    return value.GetValueAsUnsigned() if value.GetType().IsPointerType() else value.GetLoadAddress()


def _channel(value):
    """The address of a channel's head: what the Arc `shared` points to lies behind its two counts."""
    inner = _child(_child(_child(value, "shared"), "ptr"), "pointer")
    data = inner.Dereference().GetChildMemberWithName("data")
    if not data.IsValid():
        raise ValueError("no channel in it")
    return data.GetLoadAddress()


def _child(value, name):
    child = value.GetChildMemberWithName(name).GetNonSyntheticValue()
    if not child.IsValid():
        raise ValueError(f"it has no `{name}`")
    return child


def _number(value):
    """The number in a value, whatever it is wrapped in."""
    for _ in range(MOST_WRAPPERS):
        if value.GetNumChildren() == 0:
            return value.GetValueAsUnsigned()
        value = value.GetChildAtIndex(0).GetNonSyntheticValue()
    raise ValueError("no number in it")
