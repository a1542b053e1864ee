"""Frames: a coroutine's stack as LLDB unwinds it, and which functions stand at an address."""

import os
import re

import lldb

from coro_debug import port
from coro_debug.source import plain_function

#: No real stack has more frames; one that goes on is a circle.
MOST_FRAMES = 1 << 17
#: No real address lies in more functions, one inlined in the other.
MOST_INLINED = 128
#: A coroutine's first frame lies in the uppermost bytes of its stack.
HIGHEST = 4096

# What the older mangling of Rust's names has made of signs.
_ESCAPES = {"LT": "<", "GT": ">", "RF": "&", "BP": "*", "LP": "(", "RP": ")", "C": ",", "SP": "@"}
_ESCAPE = re.compile(r"\$(LT|GT|RF|BP|LP|RP|C|SP|u([0-9a-f]{1,6}))\$")


def frames(thread, coroutine):
    """A coroutine's frames, as they are asked for; the boundary is the last one."""
    has_boundary = coroutine.kind != "main"
    below = None
    for level in range(MOST_FRAMES):
        frame = thread.GetFrameAtIndex(level)
        if not frame.IsValid():
            if below is not None:
                below.is_boundary = has_boundary and _is_first(below, coroutine)
                yield below
            return
        # Of the function that an inlined one stands in, LLDB gives the place of the inlined call.
        pc = below.pc if below is not None and below.is_inlined else frame.GetPC()
        found = port.Frame(level, pc, frame.GetSP(), _locator(frame), frame.IsInlined(), handle=frame)
        if below is not None:
            # What follows the frame of `entry` is the resumer's, or the end.
            below.is_boundary = has_boundary and found.sp not in coroutine and _is_first(below, coroutine)
            yield below
            if below.is_boundary:
                return
        below = found


def _is_first(frame, coroutine):
    """Whether a frame can be a coroutine's lowest one."""
    return frame.sp in coroutine and coroutine.stack_top - frame.sp <= HIGHEST


def _locator(frame):
    """Frames are many, and few are shown."""
    return lambda: location(frame)


def location(frame):
    """Where a frame stands in the source."""
    # Of a frame that is inlined the block's own name; else the function's, or the symbol's.
    has_function = frame.GetFunction().IsValid() or frame.IsInlined()
    name = frame.GetFunctionName() if has_function else frame.GetSymbol().GetName()
    return _location(name, frame.GetLineEntry())


def symbolize(target, pc, is_return_address):
    """The functions at an address, inlined ones first."""
    address = lldb.SBAddress(pc - 1 if is_return_address else pc, target)
    context = target.ResolveSymbolContextForAddress(address, lldb.eSymbolContextEverything)
    found = []
    for _ in range(MOST_INLINED):
        block, line = context.GetBlock(), context.GetLineEntry()
        inlined = block.GetContainingInlinedBlock() if block.IsValid() else block
        if inlined.IsValid():
            name = inlined.GetInlinedName()
        elif context.GetFunction().IsValid():
            name = context.GetFunction().GetName()
        else:
            name = context.GetSymbol().GetName() if context.GetSymbol().IsValid() else None
        if name:
            found.append(_location(name, line))
        if not inlined.IsValid():
            break
        caller = lldb.SBAddress()
        context = context.GetParentOfInlinedScope(address, caller)
        if not context.IsValid():
            break
        address = caller
    return found


def _location(name, line):
    function = readable(name) if name and not name.startswith("___lldb_unnamed_symbol") else None
    if not line.IsValid() or not line.GetLine():
        return port.Location(function)
    path = line.GetFileSpec().fullpath
    return port.Location(function, _shown(path), line.GetLine(), path)


def _shown(path):
    """A path as it is shown: below the folder that LLDB was started in, from there on. (LLDB keeps no
    relative paths.)"""
    if path and not path.startswith("/"):
        # Of the C library LLDB knows `sysdeps/…`, where its debug information says `../sysdeps/…`.
        return f"../{path}"
    here = os.getcwd().rstrip("/") + "/"
    return path[len(here):] if path and path.startswith(here) else path


def readable(name):
    """A Rust function's name, which LLDB shows as it is mangled:
    `a::b::_$u7b$$u7b$closure$u7d$$u7d$::h0123456789abcdef`."""
    name = plain_function(name)
    if "$" not in name:
        return name
    name = _ESCAPE.sub(lambda found: chr(int(found[2], 16)) if found[2] else _ESCAPES[found[1]], name)
    name = re.sub(r"(^|::)_(?=[<{&*(\[])", r"\1", name).replace("..", "::")
    return name.replace("{{closure}}", "{closure}")
