"""What stands behind a command: filters, orders, limits. One parser, so that all commands take the same
words."""

import re

from . import command, waits
from .port import CommandError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zµ]*)")
_UNITS = {"ns": 1, "us": 10 ** 3, "µs": 10 ** 3, "ms": 10 ** 6, "s": 10 ** 9, "": 10 ** 9, "m": 60 * 10 ** 9,
          "min": 60 * 10 ** 9, "h": 3600 * 10 ** 9, "d": 86400 * 10 ** 9}
SORTS = ("age", "stack", "id")

#: The filters with their help, in the order in which it is shown.
HELP = """\
    -state S       in that state: new, ready, running, switching, parked, exited
    -wait R        waiting for that reason: read, sleep, mutex, ...; for io (any of read, write, accept,
                   connect); or for fd N
    -name RE       whose name the regular expression matches somewhere
    -fn RE         which have a function on their stack that it matches
    -fd N          waiting for that file descriptor
    -older 5s      as long in their state: 100us, 20ms, 5s, 3min, 2h
    -worker N      of that worker
    -spawned RE    whose spawn site (file:line) it matches
    -kind K        user, main, switch, io
    -sort S        by age (oldest first), stack (deepest first) or id
    -limit N       the first N; 0: all
    -runtime N     of the program's Nth runtime, where it has several"""
_NAMES = re.findall(r"^ +(-[a-z]+) ", HELP, re.M)
#: What commands take that sort nothing, those that are about one coroutine or all, and those which show so many lines.
ALL, UNSORTED = tuple(_NAMES), tuple(name for name in _NAMES if name != "-sort")
FEW, LINES = ("-runtime",), ("-limit", "-runtime")
HELP_UNSORTED = re.sub(r"^ +-sort .*\n", "", HELP, flags=re.M)


class Options:
    """What was asked for."""

    def __init__(self):
        self.state = self.wait = self.name = self.fn = self.fd = self.older = self.worker = self.spawned = (
            None
        )
        self.kind = self.sort = self.limit = self.runtime = None
        #: Switches of the command's own that were given.
        self.switches = set()
        #: What is no option: ids, file names.
        self.rest = []

    def most(self, usual=None):
        """How many are to be shown, None: all; `usual`, unless something else was asked for."""
        return usual if self.limit is None else self.limit or None

    @property
    def is_filtered(self):
        """Whether anything but the number and the order of the rows was asked for."""
        return any(
            value is not None
            for value in (
                self.state,
                self.wait,
                self.name,
                self.fn,
                self.fd,
                self.older,
                self.worker,
                self.spawned,
                self.kind,
            )
        )

    def matches(self, coroutine):
        """Whether a coroutine passes all filters but `-fn`, for which its stack has to be walked."""
        return ((self.state is None or coroutine.state.split(" ")[0] == self.state)
                and (self.worker is None or coroutine.worker == self.worker)
                and (self.kind is None or coroutine.kind == self.kind)
                and (self.older is None or (coroutine.age or 0) >= self.older)
                and (self.wait is None or _waits_for(coroutine, self.wait))
                and (self.fd is None or _waits_for_fd(coroutine, self.fd))
                and (self.name is None or self.name.search(coroutine.name) is not None)
                and (self.spawned is None or self.spawned.search(coroutine.spawn_site) is not None))


def _waits_for(coroutine, reason):
    if coroutine.state != "parked":
        return False
    return coroutine.wait_reason in waits.IO if reason == "io" else coroutine.wait_reason == reason


def _waits_for_fd(coroutine, fd):
    return (coroutine.state == "parked" and coroutine.wait_object_kind == "file descriptor"
            and coroutine.wait_object == fd)


def parse(arguments, switches=(), takes_rest=False, takes=ALL):
    """The options of a command line, text or words. `takes`: the filters and other options with a value that the
    command takes; `switches`: those without, as `-full`; `takes_rest`: ids or other words as well."""
    words = command.split(arguments) if isinstance(arguments, str) else list(arguments)
    options, given = Options(), set()
    while words:
        word = words.pop(0)
        if word in switches or word.replace("--", "-", 1) in switches:
            options.switches.add(word.replace("--", "-", 1))
        elif word.startswith("-") and len(word) > 1:
            name = word.replace("--", "-", 1)
            if name not in takes:
                raise CommandError(_refusal(word, switches, takes))
            if name in given:
                raise CommandError(f"`{name}` is given twice: one of each kind is taken")
            given.add(name)
            _take(options, name, words)
        elif takes_rest:
            options.rest.append(word)
        else:
            kind = "filter" if "-state" in takes else "option"
            raise CommandError(f"`{word}` is no {kind}; {_good(switches, takes)}")
    return options


def _refusal(name, switches, takes):
    if "-state" in takes:
        return f"there is no filter `{name}`; {_good(switches, takes)}"
    return f"there is no option `{name}` here; {_good(switches, takes)}"


def _good(switches, takes):
    names = [*switches, *takes]
    return f"there {'is' if len(names) == 1 else 'are'} {', '.join(names)}"


def _take(options, name, words):
    if not words:
        raise CommandError(f"`{name}` wants something behind it: {_help_of(name)}")
    value = words.pop(0)
    if name == "-state":
        options.state = value
    elif name == "-wait" and value == "fd":
        if not words:
            raise CommandError("`-wait fd` wants a file descriptor's number behind it")
        options.fd = number("-wait fd", words.pop(0))
    elif name == "-wait":
        options.wait = value
    elif name in ("-name", "-fn", "-spawned"):
        setattr(options, name[1:], expression(name, value))
    elif name == "-older":
        options.older = duration(value)
    elif name == "-kind":
        options.kind = value
    elif name == "-sort":
        if value not in SORTS:
            raise CommandError(f"`-sort {value}`: coroutines are sorted by {', '.join(SORTS)}")
        options.sort = value
    else:
        setattr(options, name[1:], number(name, value))


def check(options, registry):
    """Refuses names of states, reasons and kinds that this program doesn't have: a filter that is mistyped
    would show nothing, and look as if there was nothing."""
    layout = registry.layout
    states = [*(name for name in layout.states.values() if name != "free"), "switching", "lost"]
    for name, value, good in (
        ("-state", options.state, states),
        (
            "-wait",
            options.wait,
            ["io", "fd N", *(name for name in layout.wait_reasons.values() if name != "none")],
        ),
        ("-kind", options.kind, list(layout.kinds.values())),
    ):
        if value is not None and value not in good:
            raise CommandError(f"`{name} {value}`: there is no such thing; there are {', '.join(good)}")
    return options


def _help_of(name):
    rows = re.split(r"\n +(?=-)", HELP.strip())
    return next(" ".join(row.split()) for row in rows if row.split()[0] == name)


def expression(name, text):
    """A regular expression; an error where it is none."""
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise CommandError(f"`{name} {text}`: that is no regular expression: {error}") from None


def number(name, text):
    """A whole number, decimal or with `0x`."""
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if value < 0:
        raise CommandError(f"`{name} {text}`: that is no whole number")
    return value


def duration(text):
    """Nanoseconds of `5s`, `1.5ms`, `2h`; seconds without a unit."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or found[2] not in _UNITS:
        raise CommandError(f"`{text}` is no length of time: write it as 100us, 20ms, 5s, 3min or 2h")
    return int(float(found[1]) * _UNITS[found[2]])
