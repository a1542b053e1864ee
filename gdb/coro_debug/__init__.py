"""What GDB's and LLDB's scripts share: the registry of a program's coroutines, read from its memory.

Nothing here knows a debugger. A debugger's side implements `port.Port` (memory, threads, symbols, output),
and the commands here are written against that; plain Python with `memory.ProcessMemory` serves as well, for
tests.

    memory     bytes by address, of a process, a core or a test's dictionary
    elf        where a program's debug headers are: by the ELF notes of its modules
    layout     the debug header and its tables: which field lies where, which number means what
    registry   records, classes, workers: a snapshot of every coroutine. `coroutine` is one of them, `records`
               how they are read, `places` where stacks and redzones lie, `objects` what is waited for
    port       what a debugger has to offer
    session    one debugger's view of one program
    frames     stacks as places in the source: `walker` finds the return addresses, `source` tells which are
               the user's code
    backtrace  a stack as lines: `deep` skips through recursions, `fold` shortens them, `rendering` words
               frames
    waits      what a coroutine waits for, in words; `graph`: who waits for whom
    report     what a fault means, in words; `verdict` decides it
    shown      handles, locks and channels in words, for a debugger's printers
    remarks    what a process or a core lacks
    chosen     which coroutines `coro apply` is for
    breaks     what `coro break` takes and says; `whereabouts`: who stands on a stack, asked quickly
    snapshot   all of it as data
    command    the table of the commands that both debuggers have, which are in `commands`; `options` are
               their filters, `text` their words and tables

Nothing here holds an offset, a state's number or a register's position of its own: the process describes
itself (debug-docs/abi.md). Whatever is read may be wrong: each loop has a bound, each failure is a sentence.
"""
