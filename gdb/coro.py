"""Loads the coroutine commands into GDB: `gdb -x gdb/coro.py ./main`, or `source gdb/coro.py`. `help coro` lists them."""

import os
import sys

if "coro_gdb" not in sys.modules:
    _here = os.path.dirname(os.path.abspath(os.path.expanduser(__file__)))
    if _here not in sys.path:
        sys.path.insert(0, _here)
    import coro_gdb
    coro_gdb.load()
