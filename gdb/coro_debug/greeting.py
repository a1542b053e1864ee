"""The line that a debugger says when it has loaded the commands."""

from .port import CommandError
from .session import guarded

#: Of the scripts; the package's (a test holds the two together).
VERSION = "0.1.0"

HELP = '"help coro" lists the commands'


def greeting(session, is_there, help_=HELP):
    """One line. `is_there`: whether there is a process or a core to look at."""
    if not is_there:
        return f"coro {VERSION}: loaded; {help_}"
    try:
        registries = session.registries()
        if not registries:
            guarded(session.registry)
        alive = sum(guarded(lambda: _count_alive(registry)) for registry in registries)
    except CommandError as error:
        return f"coro {VERSION}: {error}; {help_}"
    layout = registries[0].layout
    abi = f"debug ABI {layout.major}.{layout.minor}"
    runtimes = f" in {len(registries)} runtimes" if len(registries) > 1 else ""
    fork = next((f" of process {one.header['pid']}, of which this is a fork: none runs here"
                 for one in registries if one.is_forked), "")
    return f"coro {VERSION} ({abi}): {alive:,} coroutine{'s' * (alive != 1)}{runtimes}{fork}; {help_}"


def _count_alive(registry):
    counts = registry.count_states()
    return sum(count for state, count in counts.items() if state not in ("free", "exited"))
