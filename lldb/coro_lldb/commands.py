"""`coro NAME`: the shared commands as LLDB's own, with its help.

An error is one line. Should something in the scripts themselves be wrong, it is one line too, which says how
to see all of it.
"""

import os
import re
import traceback

import lldb

from coro_debug.port import CommandError
from coro_debug.session import guarded

from . import attach, sessions

#: Set in the environment, it has the traceback printed of what went wrong in these scripts.
TRACE = "CORO_TRACEBACK"

HELP = """\
Coroutines of the coro runtime: list them, look at them, select them.

'coro list' shows them all, 'coro bt ID' one's stack; 'coro break' stops in one. They are threads besides:
'thread list', 'thread backtrace', 'frame variable', 'next' and an IDE's panes work on them as on any thread;
'coro select ID' selects one by its id. IDs are numbers, names that only one has, or '.' for the one that is
selected or that the selected thread runs."""


class Command:
    """What LLDB makes one of for each command; `register` makes a subclass for each."""

    name = usage = text = ""
    run = None
    #: Whether it is about a process that has stopped; else about a target.
    needs_process = True

    def __init__(self, _debugger, _dictionary):
        pass

    def __call__(self, debugger, arguments, context, result):
        run = type(self).run
        if not self.needs_process:
            target = context.GetTarget() if context is not None else debugger.GetSelectedTarget()
            perform(lambda output: run(target, arguments, output.append), result)
            return
        process = context.GetProcess() if context is not None and context.GetProcess().IsValid() else \
            sessions.selected(debugger)
        perform(lambda output: _on_process(process, lambda session: run(session, arguments), output), result)

    def get_short_help(self):
        """The line in `help coro`."""
        return _summary(self.text)

    def get_long_help(self):
        """`help coro NAME`"""
        return f"Usage: {self.usage}\n\n{_unwrapped(self.text)}\n"


def _on_process(process, action, output):
    session = sessions.of(process)
    attach.ensure(process)
    session.port.start(output)
    try:
        action(session)
    finally:
        session.port.end()


def perform(action, result):
    """Does what a command does; whatever goes wrong is a line for the user. `action`: it gets a list, to which it
    appends what it writes."""
    output = []
    try:
        guarded(lambda: action(output))
        result.SetStatus(lldb.eReturnStatusSuccessFinishResult)
    except CommandError as error:
        _fail(result, output, str(error))
    except KeyboardInterrupt:
        _fail(result, output, "interrupted")
    except Exception as error:  # pylint: disable=broad-except
        if os.environ.get(TRACE):
            traceback.print_exc()
        _fail(result, output, f"these scripts failed with {type(error).__name__}: {error}; with {TRACE}=1 in "
                              "LLDB's environment the same command says where")
    else:
        _put(result, output)


def _fail(result, output, sentence):
    _put(result, output)
    result.SetError(f"coro: {sentence}")


def _put(result, output):
    text = "".join(output)
    if text:
        result.PutCString(text[:-1] if text.endswith("\n") else text)


def register(debugger, shared):
    """The shared commands, under `coro`."""
    _execute(debugger, f"command container add -o -h {_quoted(HELP.splitlines()[0])} -H {_quoted(HELP)} coro")
    for command in shared.values():
        add(debugger, command.name, command.usage, _without_usage(command.help), command.run)


def add(debugger, name, usage, text, run, runs_program=False, needs_process=True):
    """One command. LLDB finds its class by name. `runs_program`: it has the program run on, and ends before that has
    stopped, where LLDB's own commands do so: then the first Ctrl-C is the program's. `needs_process`: `run` gets a
    session; else a target, which may have no process."""
    made = type(f"Coro{name.capitalize()}", (Command,),
                {"name": name, "usage": usage, "text": text, "run": staticmethod(run),
                 "needs_process": needs_process})
    globals()[made.__name__] = made
    way = "-s current " if runs_program else ""
    _execute(debugger, f"command script add -o {way}-c coro_lldb.commands.{made.__name__} coro {name}")


def _without_usage(text):
    return text.split("\n", 1)[1].strip() if "\n" in text else text


def _unwrapped(text):
    """Paragraphs as one line each, since LLDB breaks lines at its own width; what is indented stays."""
    return re.sub(r"(?<=\S)\n(?=\S)", " ", text)


def _summary(text):
    sentence = " ".join(text.split("\n\n", 1)[0].split())
    return sentence.partition(". ")[0].rstrip(".:")


def _execute(debugger, line):
    result = lldb.SBCommandReturnObject()
    debugger.GetCommandInterpreter().HandleCommand(line, result)
    if not result.Succeeded():
        raise CommandError(f"LLDB refuses `{line.splitlines()[0]}`: {(result.GetError() or '').strip()}")


def _quoted(text):
    """As LLDB reads it. (It would take what stands between backquotes for an expression.)"""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
