"""Coroutines' stacks as places in the source: each address is asked for once, each user's frame found by its
file."""

import itertools

from . import source
from .port import CommandError
from .walker import READ, Walker

#: Among so many innermost frames the first one that is the user's is sought.
FRAMES = 1000


class Frames:
    """The stacks of one program's coroutines, in one stop."""

    def __init__(self, port, registry):
        self._port, self._registry = port, registry
        self.walker = Walker(port, registry)
        self._locations = {}
        self._is_users = {}

    def locations(self, pc, is_return_address):
        """The `Location`s at an address, inlined functions first. Kept: symbols don't move."""
        key = pc, is_return_address
        if key not in self._locations:
            self._locations[key] = list(self._port.symbolize(pc, is_return_address))
        return self._locations[key]

    def places(self, pcs):
        """(pc, `Location` or None) of each frame of a chain, inlined ones too, innermost first."""
        for i, pc in enumerate(pcs):
            found = self.locations(pc, i > 0)
            for location in found or (None,):
                yield pc, location

    def is_users(self, location):
        """Whether a place is the user's code."""
        return source.is_users(location, self._registry.source_prefix, self._registry.source_exceptions)

    def of_user(self, pcs):
        """The first place of a chain that is the user's code; None: there is none, or it isn't known."""
        for i, pc in enumerate(pcs):
            key = pc, i > 0
            if key not in self._is_users:
                self._is_users[key] = next(filter(self.is_users, self.locations(*key)), None)
            if self._is_users[key] is not None:
                return self._is_users[key]
        return None

    def user_frame(self, coroutine):
        """`demo::park::wait_in_read at src/demo/park.rs:120` of a coroutine; '' when there is no such
        frame."""
        place = self.user_place(coroutine)
        return source.text(place) if place is not None else ""

    def user_place(self, coroutine):
        """The `Location` of that frame, or None."""
        used = coroutine.stack_used
        if coroutine.has_saved_registers and used is not None and used <= READ:
            return self.of_user(self.walker.chain(coroutine))
        # Of a deep stack, or one that is unlike all others, only so many frames are looked at as are needed.
        if coroutine.state == "exited":
            return None
        try:
            with self._port.open_stack(coroutine) as stack:
                return next(
                    (
                        frame.location
                        for frame in itertools.islice(stack, FRAMES)
                        if self.is_users(frame.location)
                    ),
                    None,
                )
        except CommandError:
            return None

    def has_function(self, coroutine, expression):
        """Whether a function on a coroutine's stack matches."""
        return any(location is not None and location.function
                   and expression.search(source.plain_function(location.function))
                   for _, location in self.places(self.walker.chain(coroutine)))
