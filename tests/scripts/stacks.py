"""Programs made by hand, with stacks that can be unwound: functions with frames of known sizes."""

import contextlib
import struct

from image import CODE, RESUME, Image, ImagePort

from coro_debug import memory, port, session

ENTRY, START = CODE + 0xE000, 0xABCDE
SWITCH = RESUME, 32
RBX = 3


def function(number, size):
    """A function's frame: (return address in it, size)."""
    return CODE + 0x100 * (number + 1), size


class StackPort(ImagePort):
    """Unwinds by the frames' true sizes, as a debugger does by call frame information. `lies`: {address of a
    return address: size} where a frame has another size than its like. A frame of `saving` saves rbx 16 bytes
    below its return address; one of `needing` is found only by rbx, which has to be its own stack pointer."""

    starts_within = True

    def __init__(self, memory_, functions, lies=None, saving=(), needing=(), inlined=(), **more):
        super().__init__(memory_, **more)
        self._sizes = {pc: size for pc, size in functions}
        self._lies, self._saving, self._needing, self._inlined = (
            lies or {},
            set(saving),
            set(needing),
            set(inlined),
        )
        self.unwound = self.reads = self.starts = 0
        self.is_open = False

    @contextlib.contextmanager
    def open_stack(self, coroutine, at=None):
        if self.is_open:
            raise AssertionError("two stacks are open")
        self.is_open = True
        self.opened += 1
        self.starts += at is not None
        try:
            yield self._frames(coroutine, at)
        finally:
            self.is_open = False

    def registers(self, frame):
        if not self.is_open:
            raise AssertionError("the stack is closed")
        return {RBX: frame.handle}

    def _frames(self, coroutine, at):
        sp, pc = coroutine.context if at is None else (at.sp, at.pc)
        rbx, level = (0x5EED if at is None else at.registers.get(RBX)), 0
        while True:
            self.unwound += 1
            depth = 1 + (pc in self._inlined)
            for i in range(depth):
                yield port.Frame(
                    level,
                    pc,
                    sp,
                    self._location(pc, i),
                    is_inlined=i + 1 < depth,
                    is_boundary=pc == ENTRY,
                    handle=rbx,
                )
                level += 1
            size = self._lies.get(sp, self._sizes.get(pc))
            if pc == ENTRY or size is None or (pc in self._needing and rbx != sp):
                return
            above = sp + size
            try:
                caller = self._memory.word(above - 8)
                rbx = self._memory.word(above - 16) if pc in self._saving else rbx
            except memory.Unreadable:
                return
            sp, pc = above, caller

    def _location(self, pc, depth):
        def location():
            if not self.is_open:
                raise AssertionError("the stack is closed")
            return self.symbolize(pc, True)[depth]
        return location

    def symbolize(self, pc, is_return_address):
        name = "entry" if pc == ENTRY else "switch" if pc == RESUME else f"f{(pc - CODE) // 0x100 - 1}"
        own = port.Location(f"app::{name}", "src/app.rs", 7, "/home/v/app/src/app.rs")
        return [port.Location(f"app::{name}::inner", "src/app.rs", 9), own] if pc in self._inlined else [own]


def open_stacks(stacks, **more):
    """A session and its port, of coroutines with these stacks: each a list of `function`s, innermost first,
    between switch and entry."""
    image = Image()
    functions = {SWITCH}
    for frames in stacks:
        number = image.add("c%d" % (len(image.records) + 1))
        image.put_stack(number, [SWITCH, *frames, (ENTRY, 16)], START)
        functions.update(frames)
    its = StackPort(memory.RecordedMemory(image.pieces()), functions, **more)
    return session.Session(its), its, image


def save_rbx(image, number, frames, values):
    """Writes rbx into the stack of a coroutine, where the frames of those functions save it: {frame's place
    in the stack: value}."""
    sp, _ = struct.unpack("<QQ", next(one for one in image.records if one["id"] == number)["context"])
    data = bytearray(image.stacks[sp])
    at = 0
    for i, (_pc, size) in enumerate([SWITCH, *frames]):
        at += size
        if i in values:
            struct.pack_into("<Q", data, at - 16, values[i])
    image.stacks[sp] = bytes(data)
