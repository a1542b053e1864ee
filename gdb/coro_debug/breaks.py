"""`coro break`: what it takes, and what is said when it stops. How to stop there is each debugger's own."""

import re

from . import command, options
from .port import CommandError

USAGE = "coro break LOCATION|spawn|exit|panic [-id N|-name RE] [-if COND]"
#: The help on what both take; a debugger's own goes before and behind.
HELP = """\
-id N: only in the coroutine of that number; -name RE: only in those whose name the regular expression
matches; -if COND: and only if that holds. spawn stops where a coroutine has been made, before it runs, on the
stack of the one that makes it; exit where one has ended, on its own; panic where one panics, before anything
unwinds. There -id and -name mean the coroutine that is made, ends or panics."""

#: What happens -> (the function that the runtime calls then, for a program that doesn't run yet, and the
#: words for it). The function's argument is the coroutine's record.
EVENTS = {
    "spawn": ("coro::arch::x86_64::spawned", "is spawned"),
    "exit": ("coro::arch::x86_64::exited", "ends"),
    "panic": ("coro::arch::x86_64::panicking", "panics"),
}
#: Said when nothing leads to such a function.
NOT_YET = ("no runtime runs yet, and there is no symbol {} by which to tell where it will: start the program, and "
           "stop it when it has coroutines")
TOO_OLD = "this program's version of coro has no place to stop at that (debug ABI 1.0; 1.1 has)"

#: What stands behind the location, which may itself have words that begin with a dash.
_NO_VALUE = re.compile(r"\s(-id|-name|-if)\s*$")
_RESTRICTIONS = re.compile(r"""((?:\s-(?:id|name)\s+(?:'[^']*'|"[^"]*"|\S+))*)\s*$""")


class Wanted:
    """Where to stop, and for whom."""

    def __init__(self, location, number, expression, condition):
        #: One of `EVENTS`, or None: a place.
        self.event = location if location in EVENTS else None
        self.location = location
        #: The coroutine's id, a regular expression for its name, the user's condition ('': none).
        self.number, self.expression, self.condition = number, expression, condition


def parse(arguments):
    """A command line's `Wanted`."""
    missing = _NO_VALUE.search(f" {arguments}")
    if missing is not None:
        wanted = {"-id": "a coroutine's number", "-name": "a regular expression", "-if": "a condition"}[missing[1]]
        raise CommandError(f"`{missing[1]}` wants {wanted} behind it")
    text, _, condition = re.sub(r"\s-if\s", "\0", f" {arguments} ", count=1).partition("\0")
    found = _RESTRICTIONS.search(text)
    location = text[: found.start()].strip()
    if not location:
        raise CommandError(f"usage: {USAGE}")
    words = command.split(found[1])
    given = dict(zip(words[::2], words[1::2]))
    if 2 * len(given) < len(words):
        raise CommandError("`-id` and `-name` are given once each: a name's expression may have alternatives, as "
                           "in `-name one|two`")
    number = options.number("-id", given["-id"].lstrip("#")) if "-id" in given else None
    expression = options.expression("-name", given["-name"]) if "-name" in given else None
    wanted = Wanted(location, number, expression, condition.strip())
    if wanted.event is None and number is None and expression is None:
        raise CommandError("say in whom: -id N or -name RE; a plain breakpoint stops in any coroutine")
    return wanted


def is_meant(who, number, expression):
    """Whether a coroutine is the one that was asked for; `who`: a `whereabouts.Who`, or None."""
    if number is not None and number != (who.id if who is not None else 0):
        return False
    return expression is None or who is not None and re.search(expression, who.name) is not None


def said_of_event(event, subject, running):
    """`coroutine #4 'ends' is spawned, by #1 'main'`"""
    by = f", by {running}" if event == "spawn" and running is not None else ""
    return f"coroutine {subject} {EVENTS[event][1]}{by}"
