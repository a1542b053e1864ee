"""What TAB offers behind `coro NAME`."""

import re

import gdb

from coro_debug import breaks, options as options_

from . import sessions

#: So many coroutines are offered: more than that nobody reads.
MOST = 200
#: Commands that take a coroutine, or several.
_OF_COROUTINES = ("apply", "bt", "info", "select", "tree", "why")
_WORDS = {
    "apply": ("all",),
    "break": tuple(breaks.EVENTS),
    "group": ("bt", "spawn", "wait"),
    "skip": ("on", "off"),
}
#: Where GDB knows better.
_GDBS = {
    "addr": gdb.COMPLETE_EXPRESSION,
    "break": gdb.COMPLETE_LOCATION,
    "dump": gdb.COMPLETE_FILENAME,
    "gcore": gdb.COMPLETE_FILENAME,
}


def of(name, options, text, word):
    """What can follow, or one of GDB's own ways to know. `word` is the end of `text` that GDB would replace; it breaks
    words at `-`, too."""
    last = re.search(r"\S*$", text)[0]
    before = text[: len(text) - len(last)].split()
    candidates = _values_of(before[-1] if before else "")
    if candidates is None:
        candidates = _candidates(name, options, before)
        if name in _GDBS and last and not any(candidate.startswith(last) for candidate in candidates):
            return _GDBS[name]
    cut = len(last) - len(word)
    return [candidate[cut:] for candidate in candidates if candidate.startswith(last)]


def _candidates(name, options, before):
    words = [*options, *(options_.ALL if name == "apply" else ())]
    # A place and what happens are one word; several may be chosen by `apply` alone.
    if name in ("apply", "group", "skip") or not before:
        words += _WORDS.get(name, ())
    if name in _OF_COROUTINES and (name == "apply" or not before):
        words += _coroutines()
    if name == "thread" and not before:
        words += _workers()
    return list(dict.fromkeys(words))


def _values_of(option):
    """The values that an option takes, if they can be told; None: it isn't one that takes any."""
    registry = _registry()
    if registry is None:
        return None
    layout = registry.layout
    known = {
        "-state": lambda: [name for name in layout.states.values() if name != "free"] + ["switching", "lost"],
        "-wait": lambda: ["io", "fd", *(name for name in layout.wait_reasons.values() if name != "none")],
        "-kind": lambda: list(layout.kinds.values()),
        "-sort": lambda: list(options_.SORTS),
        "-worker": _workers,
        "-name": _names,
        "-id": lambda: [word for word in _coroutines() if word.isdecimal()],
    }
    return known[option]() if option in known else None


def _registry():
    return next(iter(sessions.session().registries(is_quiet=True)), None)


def _workers():
    registry = _registry()
    return [str(worker.number) for worker in registry.workers] if registry is not None else []


def _names():
    registry = _registry()
    found = registry.coroutines()[:MOST] if registry is not None else []
    return sorted({coroutine.name for coroutine in found} - {""})


def _coroutines():
    """Ids, and names that are one word."""
    registry = _registry()
    found = registry.coroutines()[:MOST] if registry is not None else []
    return [*(str(coroutine.id) for coroutine in found), *(name for name in _names() if len(name.split()) == 1)]
