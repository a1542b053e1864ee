"""The commands that both debuggers have: one table, from which each registers its own, and `help coro` is
made.

A command is a function of (session, arguments) in a module of `commands`; its docstring is the help text, and
starts with the usage.
"""

import inspect
import re
import shlex

from .port import CommandError

#: name -> Command, in the order in which `help coro` shows them.
COMMANDS = {}


class Command:
    """A command of the debuggers': `coro NAME ...`."""

    def __init__(self, name, run, filters=""):
        self.name = name
        self.run = run
        self.help = inspect.cleandoc(run.__doc__) + (f"\n\nFilters:\n{filters}" if filters else "")

    @property
    def usage(self):
        """`coro list [filters]`"""
        return self.help.splitlines()[0]

    @property
    def summary(self):
        """The help text's first sentence behind the usage."""
        rest = self.help.split("\n", 1)[1].strip() if "\n" in self.help else ""
        sentence = " ".join(rest.split("\n\n", 1)[0].split())
        return re.split(r"(?<=[.])\s", sentence, maxsplit=1)[0].rstrip(".")


def command(name, filters=""):
    """Registers a function as a command. `filters`: the help on filters, of one that takes them."""
    def register(run):
        COMMANDS[name] = Command(name, run, filters)
        return run
    return register


def split(line):
    """A command line's words, quoted as in a shell."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise CommandError(f"the arguments `{line}` can't be taken apart: {error}") from None
