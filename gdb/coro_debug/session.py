"""One debugger's view of one program: its registries, read anew after each time it has run."""

from . import registry
from .frames import Frames
from .layout import BadRegistry
from .memory import Unreadable
from .port import CommandError


class Session:
    """What a command works with."""

    def __init__(self, port):
        self.port = port
        self._generation = None
        self._registries = []
        self._problems = []
        self._frames = {}
        self._is_told = True

    def registries(self, is_quiet=False):
        """All that can be read, of this stop. A sentence about each that can't goes to the user once a
        stop; `is_quiet`: not now."""
        generation = self.port.generation()
        if generation is None or generation != self._generation:
            self._registries, self._problems = registry.open_registries(self.port)
            self._generation = generation
            self._frames = {}
            self._is_told = False
        if self._registries and not (self._is_told or is_quiet):
            self._is_told = True
            for problem in self._problems:
                self.port.write(f"coro: {problem}\n")
        return self._registries

    def registry(self, number=None):
        """The one to work with: the first, or the one that `-runtime N` names (counted from 1)."""
        registries = self.registries()
        if not registries:
            raise CommandError(
                "; ".join(self._problems)
                or "this program has no coro runtime: neither the symbol coro_debug_v1 nor an ELF note of it"
            )
        if number is None:
            return registries[0]
        if not 1 <= number <= len(registries):
            raise CommandError(f"there is no runtime {number}: this program has {len(registries)}")
        return registries[number - 1]

    def frames(self, registry):
        """The stacks of a registry's coroutines; what was learnt of them is kept as long as the program
        stands."""
        if registry not in self._frames:
            self._frames[registry] = Frames(self.port, registry)
        return self._frames[registry]

    def coroutine(self, text, number=None):
        """The coroutine that a user names: `42`, `#42`, a name that only one has, or `.` for the selected
        one."""
        registry = self.registry(number)
        if text == ".":
            return self.current(number)
        digits = text[1:] if text.startswith("#") else text
        if digits.isdecimal():
            found = registry.by_id(int(digits))
            if found is None:
                raise CommandError(f"there is no coroutine {int(digits)}: it has ended, or never was; "
                                   "`coro list` shows those there are")
            return found
        named = registry.by_name(text)
        if len(named) > 1 and all(coroutine.kind == "main" for coroutine in named):
            # Each worker has one; the program's own runs on the first.
            named = [coroutine for coroutine in named if coroutine.worker == 0] or named
        if len(named) == 1:
            return named[0]
        if not named:
            raise CommandError(f"`{text}` is no coroutine's id or name; `coro list` shows those there are")
        ids = ", ".join(str(coroutine.id) for coroutine in named[:10]) + (", ..." if len(named) > 10 else "")
        raise CommandError(f"{len(named)} coroutines are named `{text}`: say which by its id ({ids})")

    def current(self, number=None):
        """The selected one; an error when nothing is selected, and the thread runs none."""
        found = self.selected(self.registry(number))
        if found is None:
            raise CommandError("the selected thread runs no coroutine: name one by its id, from `coro list`")
        return found

    def selected(self, registry):
        """The coroutine that is selected, or else the one that the selected thread runs; None: none."""
        chosen = self.port.selected_coroutine(registry)
        if chosen is not None:
            return registry.by_id(chosen)
        number = self.port.selected_thread()
        thread = next((thread for thread in registry.threads() if thread.number == number), None)
        return registry.running_on(thread) if thread is not None else None


def guarded(action):
    """Runs a command; what goes wrong in reading becomes a `CommandError` of one sentence."""
    try:
        return action()
    except BadRegistry as error:
        raise CommandError(str(error)) from None
    except Unreadable as error:
        raise CommandError(
            f"{error}: the program's memory is not all there, or the registry has been overwritten"
        ) from None
