"""Loads the coroutine commands into GDB: `gdb -x gdb/coro.py ./main`, or `source gdb/coro.py`.

`help coro` lists them.
"""

import os
import sys

if "coro_gdb" not in sys.modules:
    # Not by `__file__`: when one script sources another, GDB leaves that one's name in it.
    _here = os.path.dirname(os.path.realpath(os.path.expanduser(sys._getframe().f_code.co_filename)))
    if _here not in sys.path:
        sys.path.insert(0, _here)
    import coro_gdb

    coro_gdb.load()
