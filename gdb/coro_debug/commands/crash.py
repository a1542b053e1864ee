"""`coro crash`: what a fault means for the coroutines: whose stack overflowed, whose redzone was hit, and
why."""

from .. import options as options_
from ..command import command
from ..port import CommandError
from ..report import report_of


@command("crash")
def run(session, arguments):
    """coro crash

    Says whose stack has overflowed, or whose redzone was touched. For a program that has stopped at a signal,
    live or in a core; with the backtrace, the biggest frames, and advice.
    """
    options = options_.parse(arguments, takes=options_.FEW)
    registry = session.registry(options.runtime)
    report = report_of(session, registry)
    if report is None:
        raise CommandError(
            "the program has not stopped at a signal that says which memory was touched: there is no crash"
        )
    for line in report.long():
        session.port.write(line + "\n")


def one_line(session):
    """For a stop: the line to print when a fault concerns a coroutine; None for all other stops."""
    fault = session.port.fault()
    if fault is None:
        return None
    registry = session.registry()
    report = report_of(session, registry)
    return report.short() if report is not None and report.concerns_coroutines else None
