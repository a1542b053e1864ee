"""`coro NAME`: the shared commands as GDB's own, with its help and its completion.

An error is one line. Should something in the scripts themselves be wrong, it is one line too, which says
how to see all of it.
"""

import re
import textwrap
import traceback

import gdb

from coro_debug.port import CommandError
from coro_debug.session import guarded

from . import completion, sessions

HELP_WIDTH = 100


class Coro(gdb.Command):
    """Coroutines of the coro runtime: list them, look at them, stop in them. `coro list` shows them all,
    `coro bt ID` one's stack; `coro select ID` makes plain `bt`, `up`, `info locals` and `p` those of that
    coroutine, which need not be running. IDs are numbers, names that only one has, or `.` for the selected
    one, which is the one that the thread runs unless `coro select` has selected another. What the commands print
    can be had anywhere: on live programs, over gdbserver, and on cores."""

    def __init__(self):
        super().__init__("coro", gdb.COMMAND_STACK, prefix=True)

    def invoke(self, arguments, _from_tty):
        if arguments.strip():
            known = ", ".join(sorted(_names))
            raise gdb.GdbError(
                f'coro: there is no command `coro {arguments.split()[0]}`; there are {known}. '
                '"help coro" says what they do'
            )
        gdb.execute("help coro")


_names = []


class CoroCommand(gdb.Command):
    """One of them. Its documentation is made for GDB: a line for `help coro`, the usage, the rest."""

    def __init__(self, name, usage, text, run, kind=gdb.COMMAND_STACK, repeats=False):
        summary, rest = _first_sentence(text)
        self.__doc__ = f"{summary}\nUsage: {usage}" + (f"\n\n{rest}" if rest else "")
        self._run, self._repeats = run, repeats
        self._name = name
        self._options = list(dict.fromkeys(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", f"{usage}\n{text}")))
        _names.append(name)
        super().__init__(f"coro {name}", kind)

    def invoke(self, arguments, from_tty):
        if not self._repeats:
            self.dont_repeat()
        run(lambda: self._run(sessions.session(), arguments))

    def complete(self, text, word):
        try:
            return completion.of(self._name, self._options, text, word)
        except Exception:  # completion is no place for messages
            return []


class Alias(gdb.Command):
    """`info coroutines`."""

    def __init__(self, name, target):
        self.__doc__ = f"Coroutines of the coro runtime: the same as `{target}`."
        self._target = target
        super().__init__(name, gdb.COMMAND_STACK)

    def invoke(self, arguments, from_tty):
        try:
            gdb.execute(f"{self._target} {arguments}", from_tty)
        except gdb.error as error:
            # Else GDB would show where in this script it comes from.
            raise gdb.GdbError(str(error)) from None


def run(action):
    """Does what a command does; whatever goes wrong is a line for the user."""
    port = sessions.session().port
    port.start()
    try:
        return guarded(action)
    except CommandError as error:
        raise gdb.GdbError(f"coro: {RUNS if _runs() else error}") from None
    except KeyboardInterrupt:
        raise gdb.GdbError("coro: interrupted") from None
    except gdb.GdbError:
        raise
    except gdb.error as error:
        raise gdb.GdbError(f"coro: {RUNS}" if _runs() else f"coro: GDB says: {error}") from None
    except Exception as error:  # pylint: disable=broad-except
        if gdb.parameter("python print-stack") == "full":
            traceback.print_exc()
        raise gdb.GdbError(
            f"coro: these scripts failed with {type(error).__name__}: {error}; `set python print-stack full` "
            "and the same command once more show where"
        ) from None
    finally:
        port.end()


#: Then nothing can be read, whatever else is wrong.
RUNS = "the program runs: `interrupt` stops it"


def _runs():
    """Whether all of the program runs, in the background."""
    is_one_of_them = any(thread.is_running() for thread in gdb.selected_inferior().threads())
    return is_one_of_them and not gdb.parameter("non-stop")


def register(shared):
    """Makes commands of all those in the shared table."""
    Coro()
    for name, one in shared.items():
        CoroCommand(name, one.usage, _behind_usage(one.help), _runner(one))
    if "list" in shared:
        Alias("info coroutines", "coro list")


def _runner(one):
    def run_(session, arguments):
        require_program()
        one.run(session, arguments)

    return run_


def require_program():
    """Refuses what needs a program."""
    if gdb.selected_inferior().pid == 0:
        raise CommandError("the program doesn't run, and no core is loaded: there are no coroutines")


def _behind_usage(text):
    return text.split("\n", 1)[1].strip() if "\n" in text else ""


def _first_sentence(text):
    """(a line, the rest)."""
    paragraphs = text.split("\n\n")
    first = " ".join(paragraphs[0].split())
    found = re.match(r"(.*?\.)(?:\s+(.*)|$)", first)
    line, more = (found[1], found[2] or "") if found is not None else (first, "")
    return line, "\n\n".join(_wrapped(paragraph) for paragraph in [more, *paragraphs[1:]] if paragraph)


def _wrapped(paragraph):
    """Prose in lines of a screen's width; what is indented stays as it is."""
    if any(line.startswith(" ") for line in paragraph.splitlines()):
        return paragraph
    return textwrap.fill(paragraph, HELP_WIDTH, break_long_words=False, break_on_hyphens=False)

