"""Loads the coroutine commands into LLDB, and has it show coroutines as threads: `command script import
lldb/coro.py`, before or after the program is there. `help coro` lists the commands."""

import os
import sys


def _load(debugger, dictionary):
    here = os.path.dirname(os.path.abspath(os.path.realpath(__file__)))
    shared = os.path.join(os.path.dirname(here), "gdb")
    if not os.path.isdir(os.path.join(shared, "coro_debug")):
        print("error: coro: the part that both debuggers share is not there: "
              f"{os.path.join(shared, 'coro_debug')}; keep the folders `gdb` and `lldb` of coro's sources side by "
              "side")
        return
    for folder in (shared, here):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    import coro_lldb
    coro_lldb.load(debugger, dictionary)


def __lldb_init_module(debugger, dictionary):
    """Called by LLDB when it imports this."""
    _load(debugger, dictionary)
