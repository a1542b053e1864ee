"""What is to be known of a process or a core before its coroutines are believed: that it is a fork, that it has no
stacks. A list ends with these sentences.
"""

from .text import plural

#: By so many stacks it is told whether a core has them.
LOOKED_AT = 64


def remarks(registry):
    """The sentences: a list, mostly empty."""
    found = []
    if registry.is_forked:
        found.append(f"this process is a fork of process {registry.header['pid']}, whose coroutines these are: none of "
                     "them runs here")
    count = without_stack(registry)
    if count:
        found.append(f"the stacks of {plural(count, 'coroutine')} are not in this core: `coro gcore` makes one with "
                     "them, as the kernel does")
    return found


def without_stack(registry):
    """How many coroutines have no stack in a core, as in one that GDB's own `gcore` has made. By the first few: all
    are looked at only if one of these has none."""
    if registry.port.is_live():
        return 0
    missing = seen = 0
    for coroutine in registry.each():
        has_stack = coroutine.has_stack
        if has_stack is None:
            continue
        seen += 1
        missing += not has_stack
        if seen == LOOKED_AT and not missing:
            break
    return missing
