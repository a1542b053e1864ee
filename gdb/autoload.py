"""Loads the coroutine commands when GDB loads a program that has coroutines, or says in a line how to.

The library puts this text into each program, where GDB finds it (section .debug_gdb_scripts); src/debug/autoload.rs adds the
call. It stands by itself: a script in a program has no place from which it could import others. GDB runs it only for
programs that `set auto-load safe-path` or `add-auto-load-safe-path` allows.
"""


def _load_coro_commands(package):
    import os
    import sys

    import gdb

    if "coro_gdb" in sys.modules:
        return
    objfile = gdb.current_objfile()
    folder = os.path.dirname(os.path.realpath(objfile.filename)) if objfile is not None and objfile.filename else "."
    given = os.environ.get("CORO_GDB", "")
    for place in (given, os.path.join(given, "coro.py") if given else "", os.path.join(package, "gdb", "coro.py"),
                  os.path.join(folder, "gdb", "coro.py")):
        if place and os.path.isfile(place):
            gdb.execute("source " + place)
            return
    gdb.write("coro: this program has coroutines, and the commands for them are in the package coro-rt: "
              "`source PATH/gdb/coro.py` loads them (or set CORO_GDB to that folder before GDB starts)\n")
