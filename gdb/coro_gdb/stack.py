"""Frames: a coroutine's stack as GDB unwinds it, and which functions stand at an address."""

import functools
import re

import gdb

from coro_debug import port, source
from coro_debug.source import plain_function

from . import selection

#: No real stack has more frames; one that goes on is a circle.
MOST_FRAMES = 1 << 17
#: A stack pointer at which there is no memory: nothing is taken there for a caller.
NOWHERE = 0x1000
#: No real address lies in more functions, one inlined in the other.
MOST_INLINED = 128


def frames(frame, coroutine):
    """A coroutine's frames from that one on, as they are asked for; the boundary is the last one."""
    has_bounds = coroutine.stack_limit < coroutine.stack_top
    is_certain = True
    for level in range(MOST_FRAMES):
        if frame is None or (level > 0 and frame.pc() == 0):
            return
        sp = stack_pointer(frame)
        try:
            older = frame.older()
        except gdb.error:
            older = None
        is_boundary = (
            has_bounds
            and frame.type() == gdb.SIGTRAMP_FRAME
            and sp in coroutine
            and (older is None or stack_pointer(older) not in coroutine)
        )
        yield port.Frame(
            level,
            frame.pc(),
            sp,
            functools.partial(location, frame),
            frame.type() == gdb.INLINE_FRAME,
            is_boundary,
            is_certain,
            handle=frame,
        )
        if is_boundary:
            return
        # Without the module's file there is no call frame information, and GDB guesses.
        is_certain = is_certain and _has_module(frame.pc())
        frame = older


def _has_module(pc):
    progspace = gdb.current_progspace()
    return progspace.filename is not None or progspace.solib_name(pc) is not None


def stack_pointer(frame):
    """A frame's, or -1 when it isn't known."""
    try:
        return int(frame.read_register("rsp")) & (1 << 64) - 1
    except gdb.error:
        return -1


def _files(symtab):
    """A file's name as it is shown, and its path; None for both if it isn't known. A crate's from a registry has a name
    that is relative to that crate, and would be taken for the program's own: its path is its name."""
    if symtab is None:
        return None, None
    file, path = symtab.filename, symtab.fullname()
    return (path if source.is_foreign(path) else file), path


def location(frame):
    """Where a frame stands in the source."""
    try:
        name = frame.name()
        place = frame.find_sal()
        symtab = place.symtab if place is not None else None
        line = place.line or None if symtab is not None else None
        file, path = _files(symtab)
    except (gdb.error, UnicodeError):
        name, file, line, path = None, None, None, None
    return port.Location(plain_function(name) if name else None, file, line, path)


def symbolize(pc, is_return_address):
    """The functions at an address, inlined ones first: those of a frame there, which GDB is given instead
    of the thread's caller. (Its Python interface has no other way to the lines where inlined functions were
    called.)"""
    inside = pc - 1 if is_return_address else pc
    try:
        has_block = gdb.block_for_pc(inside) is not None
    except (gdb.error, RuntimeError, OverflowError):
        has_block = False
    if not has_block:
        # No debug information, so nothing inlined; and what a frame of assembly needs to be unwound isn't
        # known.
        return _by_symbol(inside)
    if gdb.selected_thread() is None or gdb.selected_thread().is_running():
        return _by_blocks(inside)
    level = gdb.selected_frame().level()
    found = []
    try:
        newest = gdb.newest_frame()
        registers = stack_pointer(newest), newest.pc()
        # A frame behind another one is taken for a caller: the call is looked up at pc - 1.
        context = NOWHERE, pc if is_return_address else pc + 1
        with selection.temporary(selection.Selection(context, registers)):
            frame = selection.frame_at(selection.first_level())
            for _ in range(MOST_INLINED):
                if frame is None:
                    break
                found.append(location(frame))
                if frame.type() != gdb.INLINE_FRAME:
                    break
                frame = frame.older()
    except gdb.error:
        found = []
    finally:
        selection.frame_at(level).select()
    return [place for place in found if place.function is not None] or _by_blocks(inside)


def _by_blocks(pc):
    try:
        place = gdb.find_pc_line(pc)
        symtab, line = place.symtab, place.line or None
        block = gdb.block_for_pc(pc)
    except (gdb.error, RuntimeError):
        return []
    found = []
    while block is not None and not block.is_static and not block.is_global:
        if block.function is not None:
            file, path = _files(symtab)
            found.append(port.Location(plain_function(block.function.name), file, line, path))
            # Of the functions around it is known where they begin, not where they call.
            symtab, line = block.function.symtab, block.function.line or None
        block = block.superblock
    return found


def _by_symbol(pc):
    """By the symbol table alone."""
    try:
        symbol = re.match(
            r"(.+?)(?: \+ \d+)? in section ", gdb.execute(f"info symbol {pc:#x}", to_string=True)
        )
    except gdb.error:
        return []
    return [port.Location(plain_function(symbol[1]))] if symbol is not None else []
