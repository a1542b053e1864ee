"""`coro dump`: a snapshot of all coroutines, to a file."""

import os

from .. import options as options_
from .. import snapshot, text
from ..command import command
from ..port import CommandError
from . import group, list as list_


@command("dump")
def run(session, arguments):
    """coro dump [--json] FILE

    Writes a snapshot of all coroutines to a file, or with `-` in its place to where commands print. It has
    the list and the backtraces as text, or all that is known as JSON, whose form stands in
    gdb/coro_debug/snapshot.py.
    """
    options = options_.parse(arguments, switches=("-json",), takes_rest=True, takes=options_.FEW)
    if len(options.rest) != 1:
        raise CommandError("`coro dump` wants one file name, or `-`")
    path = os.path.expanduser(options.rest[0])
    registries = session.registries() if options.runtime is None else [session.registry(options.runtime)]
    if not registries:
        session.registry()
    if path == "-":
        _write(session, registries, options, session.port.write)
        return
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            _write(session, registries, options, file.write)
            size = file.tell()
    except OSError as error:
        raise CommandError(f"can't write `{path}`: {error.strerror}") from None
    session.port.write(f"{text.size_in_words(size)} written to {path}\n")


def _write(session, registries, options, write):
    if "-json" in options.switches:
        snapshot.write_json(registries, session.frames, write, session.port.progress)
        return
    for registry in registries:
        _write_text(session, registry, options, write)


def _write_text(session, registry, options, write):
    frames = session.frames(registry)
    table = text.Table(*list_.COLUMNS)
    for coroutine in registry.each():
        table.add(*list_.row(coroutine, frames))
    write(table.text())
    found, total = group.groups(session.port, registry, frames, options, "bt")
    write(f"\n{text.plural(total, 'coroutine')} in {text.plural(len(found), 'group')}\n\n")
    for one in found:
        write(group.describe(one, total, frames, "bt") + "\n")
    for problem in registry.problems:
        write(f"{problem}\n")
