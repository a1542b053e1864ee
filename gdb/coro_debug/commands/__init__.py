"""The commands that both debuggers have, a module each. Importing this package registers all of them, in the
order in which `help coro` shows them."""

from . import list, bt, group, tree, info, why, deadlock, addr, crash, stacks, thread, stats, dump  # noqa: F401
