"""Arguments and local variables of a frame, as text. What can't be read ends nothing."""

import gdb

#: What is shown of one variable.
MOST_ELEMENTS, DEPTH, LONGEST = 32, 4, 2000
#: No real function has more scopes, one in the other.
MOST_BLOCKS = 256
#: What GDB says of a variable that it can't show.
UNREADABLE, OPTIMIZED_OUT = "<error reading variable: ", "<optimized out>"
_COMPOSED = (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION, gdb.TYPE_CODE_ARRAY)
_FAILURES = (gdb.error, RuntimeError, ValueError, UnicodeError, ArithmeticError, RecursionError)


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
            text = OPTIMIZED_OUT
        else:
            text = value.format_string(max_elements=MOST_ELEMENTS, max_depth=DEPTH)
    except _FAILURES as error:
        text = f"<{error}>"
    if len(text) > LONGEST:
        text = text[:LONGEST] + "..."
    return [(symbol.print_name, text)]


def missing(frame, symbol, is_whole):
    """What GDB's own backtrace says in the place of a variable that can't be shown; None: it can. `is_whole`:
    what has parts is shown as well, and not as `...`."""
    try:
        value = frame.read_var(symbol)
        if value.is_optimized_out:
            return OPTIMIZED_OUT
        value.fetch_lazy()
        if is_whole or value.type.strip_typedefs().code not in _COMPOSED:
            value.format_string(max_elements=MOST_ELEMENTS, max_depth=DEPTH)
    except _FAILURES as error:
        return f"{UNREADABLE}{error}>"[:LONGEST]
    return None


class MissingLookup:
    """Finds the printer of those words, for GDB, which would print them as a text, in quotes."""

    name = "coro words"
    enabled = True

    def __call__(self, value):
        try:
            # (Not by asking whether it has an address: GDB gives it one, by a call of the program's malloc.)
            size = value.type.sizeof
            if value.type.code == gdb.TYPE_CODE_ARRAY and size <= LONGEST and value.type.target().sizeof == 1:
                text = value.string(length=size)
                return _Words(text) if text.startswith((UNREADABLE, OPTIMIZED_OUT)) else None
        except _FAILURES:
            pass
        return None


class _Words:
    def __init__(self, words):
        self._words = words

    def to_string(self):
        return self._words.rstrip("\0")
