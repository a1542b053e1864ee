"""Arguments and local variables of a frame, as text. What can't be read ends nothing."""

import gdb

#: What is shown of one variable.
MOST_ELEMENTS, DEPTH, LONGEST = 32, 4, 2000
#: No real function has more scopes, one in the other.
MOST_BLOCKS = 256


def arguments(frame):
    """A list of (name, text)."""
    return [pair for symbol in _symbols(frame) if symbol.is_argument for pair in _shown(frame, symbol)]


def locals_(frame):
    """A list of (name, text): those of the innermost scope first, as `info locals` has them."""
    return [pair for symbol in _symbols(frame) if not symbol.is_argument for pair in _shown(frame, symbol)]


def _symbols(frame):
    """The variables of a frame's function, of the innermost scope first."""
    try:
        block = frame.block()
    except (gdb.error, RuntimeError):
        return  # no debug information
    for _ in range(MOST_BLOCKS):
        if block is None or block.is_static or block.is_global:
            return
        for symbol in block:
            if symbol.is_argument or (symbol.is_variable and symbol.addr_class != gdb.SYMBOL_LOC_STATIC):
                yield symbol
        if block.function is not None:
            return
        block = block.superblock


def _shown(frame, symbol):
    try:
        value = frame.read_var(symbol)
        if value.is_optimized_out:
            text = "<optimized out>"
        else:
            text = value.format_string(max_elements=MOST_ELEMENTS, max_depth=DEPTH)
    except (gdb.error, RuntimeError, ValueError, UnicodeError, ArithmeticError, RecursionError) as error:
        text = f"<{error}>"
    if len(text) > LONGEST:
        text = text[:LONGEST] + "..."
    return [(symbol.print_name, text)]
