"""Steps a program through every instruction of `switch` and `entry`, in GDB; prints a walk of the stack at each.

`source step_gdb.py`, on a program that was not started. Lines of parts divided by tabs:

    instruction  function+offset
    step         number of the switch  function+offset  function of each frame, innermost first

The former say which instructions there are, the latter what was seen at each that was reached. A walk which ended
because GDB could not go on has GDB's reason as its last part. The lines are judged elsewhere
(tests/debugger_backtrace.rs), so that both debuggers' are judged alike.
"""

import re

import gdb

STEPPED = r"coro::arch::\w+::(switch|entry)\b"

# At this switch the control words are changed: else the arms that load them would never be reached.
WITH_OTHER_CONTROL_WORDS = 3


def stepped_functions():
    """Name and address of the functions to step through. They have no debug information, only symbols."""
    listing = gdb.execute("info functions coro::arch::", to_string=True)
    return {name: int(address, 16) for address, name in re.findall(r"(0x[0-9a-f]+)\s+" + STEPPED, listing)}


def place(pc, functions):
    """`function+offset`, if the pc lies in one of the functions."""
    match = re.match(STEPPED, gdb.execute("info symbol %#x" % pc, to_string=True))
    return "%s+%d" % (match[1], pc - functions[match[1]]) if match else None


def print_instructions(functions):
    architecture = gdb.selected_inferior().architecture()
    for start in functions.values():
        pc = start
        while (here := place(pc, functions)) is not None:
            print("instruction\t" + here)
            pc += architecture.disassemble(pc)[0]["length"]


def spoil():
    """Overwrites the word below the stack pointer: a CFI that still relies on what was popped must not get away."""
    sp = int(gdb.newest_frame().read_register("rsp"))
    gdb.selected_inferior().write_memory(sp - 8, b"\xee" * 8)
    # What GDB has unwound already, when it stopped, it would show again.
    gdb.invalidate_cached_frames()


def walk():
    """The functions of all frames, innermost first."""
    functions = []
    frame = gdb.newest_frame()
    while frame is not None:
        functions.append(frame.name() or "??")
        last, frame = frame, frame.older()
    if last.unwind_stop_reason() not in (gdb.FRAME_UNWIND_NO_REASON, gdb.FRAME_UNWIND_OUTERMOST):
        functions.append("?? " + gdb.frame_stop_reason_string(last.unwind_stop_reason()))
    return functions


def main():
    gdb.execute("starti", to_string=True)
    functions = stepped_functions()
    print_instructions(functions)
    gdb.execute("break *%#x" % functions["switch"], to_string=True)
    switches = 0
    while True:
        gdb.execute("continue", to_string=True)
        if gdb.selected_inferior().pid == 0:
            break
        switches += 1
        if switches == WITH_OTHER_CONTROL_WORDS:
            gdb.execute("set $mxcsr = 0x3f80")  # rounds down
            gdb.execute("set $fctrl = 0x77f")  # the same
        while (here := place(gdb.newest_frame().pc(), functions)) is not None:
            spoil()
            print("\t".join(["step", str(switches), here, *walk()]))
            gdb.execute("stepi", to_string=True)


main()
