"""Where things lie in the region: which stack, which redzone, at an address. Arithmetic alone."""

from .memory import decode


class Place:
    """What lies at an address of the region."""

    __slots__ = ("kind", "klass", "index", "distance")

    def __init__(self, kind, klass=None, index=None, distance=0):
        self.kind = kind  # "registry", "stack", "redzone", "behind", or "unused"
        self.klass = klass  # a StackClass
        self.index = index  # of the slot, and so of its record
        self.distance = distance  # stack: bytes below its top; redzone: bytes below the stack's limit


class StackClass:
    """A class of stacks: slot i lies at base + i * stride, its redzone first."""

    def __init__(self, values):
        self.name = decode(values["name"])
        self.base, self.stride, self.redzone = values["base"], values["stride"], values["redzone"]
        self.first, self.count, self.used = values["first_record"], values["count"], values["used"]
        self.values = values

    @property
    def end(self):
        """Where the redzone behind the last slot begins."""
        return self.base + self.count * self.stride

    @property
    def stack_size(self):
        """Bytes of a stack; 0 for the class of stacks that are not the region's."""
        return self.stride - self.redzone if self.stride else 0

    def stack(self, index):
        """(limit, top) of a slot, by its record's index."""
        slot = self.base + (index - self.first) * self.stride
        return slot + self.redzone, slot + self.stride

    def problem(self, records, base, length):
        """What is wrong with the row, given how many records there are and where the region lies; None:
        nothing."""
        if self.first + self.count <= records and (
            self.stride == 0
            or self.redzone < self.stride
            and base <= self.base
            and self.end + self.redzone <= base + length
        ):
            return None
        return (
            f"the stack class '{self.name}' claims {self.count} slots of {self.stride} bytes at "
            f"{self.base:#x}, "
            "which do not fit into the region: its row has been overwritten"
        )


def locate(classes, base, length, address):
    """What lies at an address of the region [base, base + length), a `Place`; None: it is not the
    region's."""
    if not base <= address < base + length:
        return None
    for klass in classes:
        if klass.stride == 0 or not klass.base <= address < klass.end + klass.redzone:
            continue
        number, offset = divmod(address - klass.base, klass.stride)
        if number >= klass.count:
            return Place("behind", klass)
        index = klass.first + number
        if offset < klass.redzone:
            return Place("redzone", klass, index, klass.redzone - offset)
        return Place("stack", klass, index, klass.stride - offset)
    first = min((klass.base for klass in classes if klass.stride), default=base + length)
    return Place("registry" if address < first else "unused")
