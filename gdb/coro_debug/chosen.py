"""Which coroutines a command is for that works on several: `all`, IDs, or filters, and what stands behind
them."""

import re

from . import options
from .commands import list as list_
from .port import CommandError

#: It would be one thread that runs, and the next coroutine would be looked for in another stop.
RUNS_NOTHING = (
    "`coro apply` doesn't run the program or end it, as `{}` would: `coro select ID` selects one coroutine, and `coro "
    "next`, `coro step` and `coro finish` go on with it"
)


def split(arguments):
    """(words that say which, the command) of `coro apply`: at `--`, or behind the last ID."""
    found = re.search(r"(?:^|\s)--(?:\s|$)", arguments)
    if found is not None:
        which, command = arguments[:found.start()], arguments[found.end():]
    else:
        words = arguments.split()
        count = next((i for i, word in enumerate(words) if not _is_id(word)), len(words))
        which, command = " ".join(words[:count]), " ".join(words[count:])
        if which == "" or command == "":
            raise CommandError("usage: coro apply all|IDs|FILTERS -- COMMAND")
    if not command.strip():
        raise CommandError("there is no command behind `--`")
    return which.split(), command.strip()


def coroutines(session, words):
    """Those that the words say; an error when there are none."""
    if not words:
        raise CommandError("say which: all, IDs, or filters (`help coro list` shows them)")
    if any(word.startswith("-") for word in words):
        found = _matching(session, words)
    elif words == ["all"]:
        found = sorted(session.registry().coroutines(), key=lambda one: one.id)
    else:
        found = [session.coroutine(word) for word in words]
    if not found:
        raise CommandError("there is no such coroutine; `coro list` shows those there are")
    return found


def _is_id(word):
    return word in ("all", ".") or word.lstrip("#").isdecimal()


def _matching(session, words):
    """The coroutines that pass the filters of `coro list`."""
    chosen = options.parse(words)
    registry = session.registry(chosen.runtime)
    options.check(chosen, registry)
    return list_.selected(registry, session.frames(registry), chosen)[0]
