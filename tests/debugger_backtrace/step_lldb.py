"""Steps a program through every instruction of `switch` and `entry`, in LLDB; prints a walk of the stack at each.

`command script import step_lldb.py`, on a program that was not started. Prints the same lines as step_gdb.py:

    instruction  function+offset
    step         number of the switch  function+offset  function of each frame, innermost first
"""

import re

import lldb

STEPPED = r"coro::arch::\w+::(switch|entry)\b"

# At this switch the control words are changed: else the arms that load them would never be reached.
WITH_OTHER_CONTROL_WORDS = 3


def stepped_functions(target):
    """Name and symbol of the functions to step through. They have no debug information, only symbols."""
    matches = ((re.match(STEPPED, symbol.name or ""), symbol) for symbol in target.module[0].symbols)
    return {match[1]: symbol for match, symbol in matches if match}


def place(address, functions):
    """`function+offset`, if the address lies in one of the functions."""
    for name, symbol in functions.items():
        start, end = symbol.GetStartAddress(), symbol.GetEndAddress()
        if start.GetSection() == address.GetSection() and start.offset <= address.offset < end.offset:
            return "%s+%d" % (name, address.offset - start.offset)
    return None


def spoil(thread):
    """Overwrites the word below the stack pointer: a CFI that still relies on what was popped must not get away."""
    error = lldb.SBError()
    thread.process.WriteMemory(thread.frame[0].sp - 8, b"\xee" * 8, error)
    if error.Fail():
        raise RuntimeError("the stack can't be written: %s" % error.GetCString())
    # What LLDB has unwound already, when it stopped, it would show again; a new pc makes it forget.
    thread.frame[0].SetPC(thread.frame[0].pc)


def walk(thread):
    """The functions of all frames, innermost first."""
    return [frame.GetFunctionName() or "??" for frame in thread.frames]


def change_control_words(frame):
    for name, value in (("mxcsr", "0x3f80"), ("fctrl", "0x77f")):  # both round down
        error = lldb.SBError()
        if not frame.FindRegister(name).SetValueFromCString(value, error):
            raise RuntimeError("%s can't be written: %s" % (name, error.GetCString()))


def step(target):
    functions = stepped_functions(target)
    for symbol in functions.values():
        for instruction in symbol.GetInstructions(target):
            print("instruction\t" + place(instruction.addr, functions))
    target.BreakpointCreateBySBAddress(functions["switch"].GetStartAddress())
    error = lldb.SBError()
    process = target.Launch(target.GetLaunchInfo(), error)
    if error.Fail():
        raise RuntimeError("the program can't be started: %s" % error.GetCString())
    switches = 0
    while process.GetState() == lldb.eStateStopped:
        thread = next(t for t in process if t.GetStopReason() == lldb.eStopReasonBreakpoint)
        switches += 1
        if switches == WITH_OTHER_CONTROL_WORDS:
            change_control_words(thread.frame[0])
        while (here := place(thread.frame[0].addr, functions)) is not None:
            spoil(thread)
            print("\t".join(["step", str(switches), here, *walk(thread)]))
            thread.StepInstruction(False)
        process.Continue()


def __lldb_init_module(debugger, _session):
    was_asynchronous = debugger.GetAsync()
    debugger.SetAsync(False)
    try:
        step(debugger.GetSelectedTarget())
    finally:
        debugger.SetAsync(was_asynchronous)
