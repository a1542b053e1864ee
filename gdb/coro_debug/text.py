"""Words for numbers, and tables: what every command's output is made of."""

_UNITS = ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))
_SECOND = 10 ** 9


def duration(nanoseconds):
    """`830 ns`, `1.2 ms`, `3.1 s`, `2 min 5 s`, `2 h 5 min`, `3 d 4 h`; negative ones have a sign."""
    if nanoseconds < 0:
        return "-" + duration(-nanoseconds)
    if nanoseconds < 1000:
        return f"{nanoseconds} ns"
    for unit, name in ((1000, "us"), (10 ** 6, "ms"), (_SECOND, "s")):
        # What rounds to 1000.0 is the next unit's 1.0.
        if nanoseconds < unit * 999.95 and (unit < _SECOND or nanoseconds < 59.95 * _SECOND):
            return f"{nanoseconds / unit:.1f} {name}"
    seconds = (nanoseconds + _SECOND // 2) // _SECOND
    if seconds < 3600:
        return _two_units(seconds, 60, "min", 1, "s")
    if seconds < 86400:
        return _two_units(seconds, 3600, "h", 60, "min")
    return _two_units(seconds, 86400, "d", 3600, "h")


def _two_units(seconds, large, name, small, small_name):
    whole, rest = divmod(seconds // small, large // small)
    return f"{whole:,} {name}" + (f" {rest} {small_name}" if rest else "")


def size(count):
    """`512`, `2.3K`, `192K`, `8M`: bytes, for a table's column."""
    for unit, name in _UNITS:
        if count >= unit:
            whole, tenths = divmod((count * 10 + unit // 2) // unit, 10)
            return (f"{whole}.{tenths}" if tenths else str(whole)) + name
    return str(count)


def size_in_words(count):
    """`40 B`, `192 KiB`, `1.5 MiB`: bytes, for prose; as the runtime's own report says them."""
    text = size(count)
    return f"{text} B" if text[-1].isdigit() else f"{text[:-1]} {text[-1]}iB"


def exact_size(count):
    """`1,312 B`: a distance or a size of which every byte matters."""
    return f"{count:,} B"


def plural(count, noun, nouns=None):
    """`1 frame`, `1,234 frames`"""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def listing(items, most=10):
    """`1, 2, 3, ...`: the first ones."""
    items = list(items)
    return ", ".join(str(item) for item in items[:most]) + (", ..." if len(items) > most else "")


def quoted(name):
    """A name in prose: 'conn'."""
    return f"'{name}'"


def who(number, name):
    """`#42 'conn'`, or `#42` without a name."""
    return f"#{number} {quoted(name)}" if name else f"#{number}"


def cut(text, width):
    """At most `width` columns of a text; what is cut off is shown by dots."""
    return text if width <= 0 or len(text) <= width else text[: max(width - 3, 0)] + "..."


class Table:
    """Rows whose columns stand below each other; lines are cut at the screen's width."""

    def __init__(self, *columns):
        """`columns`: headings; those which begin with `>` are aligned to the right."""
        self._is_right = [column.startswith(">") for column in columns]
        self._rows = [[column.lstrip(">") for column in columns]]

    def add(self, *cells):
        self._rows.append([str(cell) for cell in cells])

    def text(self, width=0):
        """All of it, each line with its end."""
        widths = [max(len(row[i]) for row in self._rows) for i in range(len(self._rows[0]))]
        lines = []
        for row in self._rows:
            cells = [cell.rjust(size_) if is_right else cell.ljust(size_)
                     for cell, size_, is_right in zip(row, widths, self._is_right)]
            lines.append(cut("  ".join(cells).rstrip(), width) + "\n")
        return "".join(lines)
