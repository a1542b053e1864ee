"""What the commands need of a debugger: each debugger's side implements this.

A `Port` stands for one stopped program (an inferior, a target, a core). Whatever it is asked may fail: memory
by `Unreadable`, everything else by an empty answer. None of its methods writes a register or memory of the
program.
"""


#: What is said where the program's own headers are not where the executable's symbols say.
OTHER_EXECUTABLE = (
    "this executable is not the {}'s, or another build of it: functions, lines and variables are wrong or missing"
)
#: Where a core has zeros in a stack's place.
STACK_IS_MISSING = "its stack is not in this core: `coro gcore` makes one with the stacks, as the kernel does"
IS_A_CORE = "this is a core, which can't go on"
NEVER_RUNS = "this process is a fork, and the coroutine its parent's: here it never goes on"


class CommandError(Exception):
    """What the user is to be told instead of an answer: one sentence, which says what to do."""


class Thread:
    """One of the program's threads, as it stands."""

    __slots__ = ("number", "tid", "sp", "pc", "name")

    def __init__(self, number, tid, sp, pc, name=""):
        self.number = number  # the debugger's
        self.tid = tid  # the kernel's
        self.sp = sp  # None while it runs (non-stop mode), or where its registers can't be read
        self.pc = pc
        self.name = name


class Location:
    """A place in the source. Unknown parts are None."""

    __slots__ = ("function", "file", "line", "path")

    def __init__(self, function, file=None, line=None, path=None):
        self.function = function
        self.file = file  # as the debug information names it, mostly relative: this is what is shown
        self.line = line
        self.path = path  # the absolute path, by which the user's files are told from the runtime's


class Start:
    """Where in the middle of a stack to begin: a frame's stack pointer, and the return address by which it is
    gone on with. `registers`: DWARF number -> value of the callee-saved ones there, as far as they are known;
    the others may be anything."""

    __slots__ = ("sp", "pc", "registers")

    def __init__(self, sp, pc, registers=None):
        self.sp, self.pc, self.registers = sp, pc, registers or {}


class Frame:
    """One frame of a backtrace, outermost last. Inlined functions have frames of their own, with their
    caller's pc."""

    __slots__ = ("level", "pc", "sp", "_location", "is_inlined", "is_boundary", "is_certain", "handle")

    def __init__(
        self, level, pc, sp, location, is_inlined=False, is_boundary=False, is_certain=True, handle=None
    ):
        self.level = level  # counted from 0
        self.pc = pc
        # Its stack pointer: for all but the innermost the CFA of the frame that it called, below which the
        # return address lies. Inlined frames have their caller's.
        self.sp = sp
        # A Location, or a function that gives it: of a recursion's thousand frames few are asked where they
        # are.
        self._location = location
        self.is_inlined = is_inlined
        self.is_boundary = (
            is_boundary  # the coroutine's lowest frame, `entry`: behind it the resumer's stack begins
        )
        self.is_certain = is_certain  # False: found by guessing, shown with "(?)"
        self.handle = handle  # the debugger's own frame, while the stack is open

    @property
    def location(self):
        """A Location; its function is None where there are no symbols. To be asked first while the stack is
        open."""
        if callable(self._location):
            self._location = self._location()
        return self._location


class Port:
    """See the module."""

    #: "GDB" or "LLDB"
    name = "?"

    @property
    def memory(self):
        """A `memory.Memory` of the program."""
        raise NotImplementedError

    def generation(self):
        """Something that is equal as long as the program has not run, and its memory is as it was."""
        raise NotImplementedError

    def header_addresses(self):
        """Where the program's debug headers are, module by module. By the symbol `coro_debug_v1` of each
        module, else by `elf.headers_of_module`."""
        raise NotImplementedError

    def remarks(self):
        """Sentences about how the debugger has the program, as that its executable is another one: said once a stop.
        Asked for behind `header_addresses`."""
        return []

    def threads(self):
        """All threads: a list of `Thread`."""
        raise NotImplementedError

    def selected_thread(self):
        """The number of the thread that the user has selected, or None."""
        raise NotImplementedError

    def selected_coroutine(self, registry):
        """The id of the coroutine of that runtime which the user has selected by other means than the thread on
        which it runs: in GDB by `coro select`; in LLDB one that doesn't run has a thread of its own. None: none."""
        return None

    def process_ids(self):
        """All numbers of the process: its own, and in /proc/PID/status' NSpid those of inner PID namespaces;
        a core's only one. Empty when not known."""
        raise NotImplementedError

    def is_live(self):
        """A process, and not a core."""
        raise NotImplementedError

    def now(self):
        """CLOCK_MONOTONIC in nanoseconds, when the program runs on this machine; else None (cores, remote
        targets)."""
        raise NotImplementedError

    #: Whether `open_stack` takes `at`, and `registers` answers. Without, all frames of a deep recursion are
    #: asked for.
    starts_within = False

    def open_stack(self, coroutine, at=None):
        """A context manager whose value iterates over the `Frame`s of a coroutine, running or not, from the
        innermost on. It ends behind the coroutine's own lowest frame (the boundary, which is the last frame
        given). Frames' handles are good until it is closed; then everything is as it was. Only one is open
        at a time. Raises `CommandError` where no stack can be shown at all, as when the thread runs.

        A frame is found when the iterator is asked for it, not before: a stack may have thirty thousand, of
        which the shared code wants the first few hundred. It then reads the stack's memory by itself, as far
        as the recursion goes, and opens the stack once more `at` a `Start` further out, for the outermost
        frames; levels are counted from 0 then, too. The frames found so count only if they end with the
        boundary; where there are none, or they can't be unwound, the iteration ends and nothing is raised.
        Of a coroutine that runs as well: the start lies on its stack, though its thread stands elsewhere."""
        raise NotImplementedError

    def first_level(self, coroutine):
        """The number of a coroutine's innermost frame to the debugger's own commands, where it is selected; else 0."""
        return 0

    def registers(self, frame):
        """The callee-saved registers that an open stack's frame goes on with: DWARF number -> value, of those
        that are known. By several rounds of a recursion it is learnt where they are saved, and so which a
        `Start` has. They are needed: what lies further out may rest on a frame pointer, and the boundary's
        own call frame information rests on the register with the record's address."""
        return {}

    def arguments(self, frame):
        """The arguments of an open stack's frame: a list of (name, text)."""
        return []

    def locals(self, frame):
        """The local variables of an open stack's frame: a list of (name, text)."""
        return []

    def symbolize(self, pc, is_return_address):
        """The `Location`s at a pc, inlined functions first; an empty list where there is no symbol. Of a
        return address the call before it is meant."""
        raise NotImplementedError

    def evaluate(self, text):
        """The number that an expression of the debugger's has, in the selected frame, as `$rsp` or `&local`. Raises
        `CommandError`."""
        raise CommandError(f"`{text}` is no address: write it as 0x7f12345678")

    def describe_fd(self, fd):
        """What the kernel says of a live process's descriptor (`/proc/PID/fd/N`'s link), or None."""
        return None

    def fault(self):
        """Of a program that has stopped by a signal: (signal's name, address touched or None, thread's
        number), else None."""
        return None

    def write(self, text):
        """Prints text, which ends with a newline."""
        raise NotImplementedError

    def progress(self, text):
        """Tells, of something that takes long, how far it is; a user's interrupt ends it from here by an
        exception."""

    def width(self):
        """Columns of the screen; 0 = unlimited."""
        return 0
