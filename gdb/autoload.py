"""Loads the coroutine commands when GDB loads a program that has coroutines, or says in a line how to.

The library puts this text into each program, where GDB finds it (section .debug_gdb_scripts);
src/debug/autoload.rs adds the call. It stands by itself: a script in a program has no place from which it
could import others. GDB runs it only for programs that `set auto-load safe-path` or
`add-auto-load-safe-path` allows.
"""


def _load_coro_commands(package):
    import os
    import sys

    import gdb

    if "coro_gdb" in sys.modules:
        return
    places = [os.path.join(package, "gdb", "coro.py")]
    if os.environ.get("CORO_GDB"):
        places[:0] = [os.environ["CORO_GDB"], os.path.join(os.environ["CORO_GDB"], "coro.py")]
    objfile = gdb.current_objfile()
    if objfile is not None and objfile.filename:
        places.append(os.path.join(os.path.dirname(os.path.realpath(objfile.filename)), "gdb", "coro.py"))
    for place in places:
        if os.path.isfile(place):
            gdb.execute("source " + place)
            return
    gdb.write(
        "coro: this program has coroutines, and the commands for them are in the package coro-rt: "
        "`source PATH/gdb/coro.py` loads them (or set CORO_GDB to that folder before GDB starts)\n"
    )
