"""`coro threads`: which coroutines are threads, and how many may be."""

from coro_debug import options, text
from coro_debug.port import CommandError

from . import attach, crowd, plugged

HELP = f"""\
Says which coroutines are threads of LLDB's, or changes it.

LLDB makes its list of threads anew at each stop. So of a live process's coroutines {crowd.LIVE_LIMIT:,} at most
are threads unless `-limit` says otherwise; on a core all are. Those that run, those that you have selected and
those that ran a moment ago always are, and what isn't can be looked at all the same: `coro bt ID` and
`coro select ID` make a thread of it.
  coro threads                       says how many are
  coro threads -limit 5000           no more than that
  coro threads -state parked -older 10s   only such ones
  coro threads -limit {crowd.LIVE_LIMIT}           as it was

Filters:
{options.HELP}"""


def register(debugger):
    """The command."""
    from . import commands
    commands.add(debugger, "threads", "coro threads [-limit N] [FILTERS]", HELP, run)


def run(session, arguments):
    """`coro threads`"""
    process = session.port.process
    state = plugged.of(process)
    if arguments.strip():
        wanted = options.parse(arguments)
        for name in ("fn", "sort", "runtime"):
            if getattr(wanted, name) is not None:
                raise CommandError(f"`coro threads` takes no `-{name}`: the choice is made at each stop, and has "
                                   "to be quick")
        options.check(wanted, session.registry())
        state.crowd.choice.limit, wanted.limit = wanted.limit, None
        state.crowd.choice.options = wanted
        attach.again(process)
    session.port.write(_said(session, state))


def _said(session, state):
    counts = session.registry().count_states()
    alive = sum(count for name, count in counts.items() if name != "free")
    if state.failure is not None:
        raise CommandError(f"no coroutine is a thread, since the registry can't be read: {state.failure}")
    line = f"{len(state.members):,} of {text.plural(alive, 'coroutine')} are threads"
    limit = state.crowd.choice.limit_of(state.is_core)
    if limit is not None and len(state.members) >= limit:
        line += f"; the limit is {limit:,} (`coro threads -limit N` changes it)"
    elif state.crowd.choice.options.is_filtered:
        line += ": those which pass the filters, those that run, and those that you have selected"
    return line + "\n"
