//! The switch and the entry for x86-64 under the System V ABI.
//!
//! ```text
//!   a stack that was left          a fresh stack                  a coroutine that runs
//!   ┌───────────────┐              ┌───────────────┐ top          ┌───────────────┐ top
//!   │ frames        │              │ (unused)      │              │ (start)       │
//!   │ caller of     │              │ start         │              │ (entry)       │──┐ record.link
//!   │   swap        │              ├───────────────┤              │ start         │  │
//!   │ resume address│              │ entry + 1     │              │ user frames   │  v
//!   │ rbp           │              │ rbp = 0       │              │ ...           │ Context of whoever
//!   │ rbx           │              │ rbx = record  │              └───────────────┘ resumed it: {sp, pc}
//!   │ control words │ <- sp        │ control words │ <- sp
//!   └───────────────┘              └───────────────┘
//! ```
//!
//! No XMM register is callee-saved under this ABI: the compiler saves what lives across the call. What a
//! callee must keep of the floating-point state are the control bits of MXCSR and the x87 control word
//! (System V ABI, 3.2.1), so they are part of the switch. The direction flag is clear at every call.

use std::arch::{asm, naked_asm};
use std::ptr;

use super::{Context, DEBUG_HEADER_SIZE, SavedRegister};

pub(crate) mod fault;
pub(crate) mod registers;

/// What `switch` leaves at a saved stack pointer, read upwards.
#[repr(C)]
struct SavedFrame {
    mxcsr: u32,
    x87_control: u16,
    _unused: u16,
    rbx: usize,
    rbp: usize,
    rip: usize,
}

/// What lies above the first saved frame of a fresh stack, for `entry`. Keeps the stack aligned.
#[repr(C)]
struct FirstWords {
    start: extern "C" fn(*const ()) -> !,
    _unused: usize,
}

macro_rules! saved {
    ($($name:ident $dwarf:literal),*) => {
        [$(SavedRegister {
            name: stringify!($name),
            dwarf: $dwarf,
            offset: std::mem::offset_of!(SavedFrame, $name) as u16,
            in_memory: true,
        }),*]
    };
}

/// Where `switch` leaves each register. DWARF numbers: System V ABI for AMD64, figure 3.36. The other callee-saved
/// registers are saved by whoever calls [`swap`], where its own CFI finds them.
pub(crate) const SAVED_REGISTERS: [SavedRegister; 4] = {
    let [rbx, rbp, rip] = saved!(rbx 3, rbp 6, rip 16);
    let rsp =
        SavedRegister { name: "rsp", dwarf: 7, offset: size_of::<SavedFrame>() as u16, in_memory: false };
    [rbx, rbp, rsp, rip]
};

unsafe extern "C" {
    /// Emitted by `switch`: the address of its first instruction on the other stack.
    #[link_name = "coro_resume_point"]
    safe static RESUME_POINT: usize;
}

/// The address inside `switch` at which every stack that was left goes on.
pub(crate) fn resume_point() -> usize {
    RESUME_POINT
}

/// Leaves the running stack in `from` and goes on with `to`.
///
/// Returns when somebody swaps to `from`. `from`'s saved stack pointer is stored by the last instruction
/// that runs on its stack: whoever sees another stack running sees it complete.
///
/// It goes to [`switch`] by a jump, with the address to come back to in rax, and comes back by a jump. A `call`
/// would leave an address in the CPU's return predictor that no `ret` takes: from there on it would be one off, and
/// each `ret` of the callers' a misprediction. So it holds the callers' addresses, which after a switch are mostly
/// right: coroutines that wait have come the same way.
///
/// # Safety
/// - `to` was left by `swap` or made by [`init_stack`], and nobody has gone on with it since; its stack is
///   mapped and its own.
/// - No other thread goes on with `from` or `to` meanwhile.
/// - The caller holds no reference which another coroutine's code may invalidate: arbitrary code runs before
///   this returns.
#[inline(always)]
pub(crate) unsafe fn swap(from: *const Context, to: *const Context) {
    // SAFETY: `switch` keeps the stack pointer, rbx and rbp (the compiler keeps these two for itself and can't be
    // told that they change), and the control words; all else is declared as changed. That the other stack is good
    // to go on with is what the caller owes.
    unsafe {
        asm!(
            "lea rax, [rip + 2f]",
            "jmp {switch}",
            // Nobody runs through this. So the jump and the caller's next one are never in the same 16 bytes, where the CPU takes
            // one for the other: a bare loop of switches took 12 or 18 ns a round trip, by where it happened to lie.
            ".p2align 4",
            "2:",
            switch = sym switch,
            inout("rdi") from => _,
            inout("rsi") to => _,
            out("r12") _,
            out("r13") _,
            out("r14") _,
            out("r15") _,
            clobber_abi("sysv64"),
        );
    }
}

/// [`swap`]'s other half. On arrival: rax = where to go on when somebody comes back, rdi = from, rsi = to. It saves
/// only what the compiler can't be told to save, so that a value which nobody needs is not saved either.
#[unsafe(naked)]
unsafe extern "C" fn switch() {
    naked_asm!(
        // rustc puts no .cfi_startproc around a naked function: without the pair the directives don't
        // assemble, and without directives there is no FDE at all.
        ".cfi_startproc",
        // No return address has been pushed: the caller's frame ends here, and the address is in rax. Debuggers see
        // by this first row that the function keeps to no ordinary convention, and then trust the CFI alone.
        ".cfi_def_cfa rsp, 0",
        ".cfi_register rip, rax",
        // The caller has been told that these change, and doesn't have anything in them; its own CFI says where it has
        // put its callers' values.
        ".cfi_undefined r12",
        ".cfi_undefined r13",
        ".cfi_undefined r14",
        ".cfi_undefined r15",
        // First of all, below the stack pointer, in the 128 bytes that signal handlers leave alone: they wait for all that
        // is under way, and what stmxcsr has stored can be read a good while later only.
        "stmxcsr [rsp - 32]",
        "fnstcw [rsp - 28]",
        "mov r8, [rsi]",
        "sub rsp, 32",
        ".cfi_def_cfa_offset {frame}",
        "mov [rsp + 24], rax",
        ".cfi_offset rip, -8",
        "mov [rsp + 16], rbp",
        ".cfi_offset rbp, {rbp}",
        "mov [rsp + 8], rbx",
        ".cfi_offset rbx, -24",
        "mov rdx, rsp",
        "mov [rdi], rsp",
        // The swap. Both stacks have the same shape here, so the one CFI row holds before and after it:
        // there is no instruction at which the table is wrong.
        "mov rsp, r8",
        ".Lcoro_resume_point:",
        "mov rbx, [r8 + 8]",
        "mov rbp, [r8 + 16]",
        "mov r9, [r8 + 24]",
        // The control words of both sides. The left side's may be read: it was this thread that left it, and nobody goes
        // on with it before the one entered here says so.
        "mov eax, [rdx]",
        "movzx ecx, word ptr [rdx + 4]",
        "xor eax, [r8]",
        "cmp cx, [r8 + 4]",
        "lea rsp, [rsp + 32]", // `add` would change the flags
        ".cfi_def_cfa_offset 0",
        ".cfi_restore rbx",
        ".cfi_restore rbp",
        ".cfi_register rip, r9",
        "jne 4f",
        "2:",
        // MXCSR's low six bits are sticky exception flags, not control: they may differ, and ldmxcsr for a
        // mere flag costs 125 ns. Equal control words (nearly always) cost two compares.
        "test eax, 0xffc0",
        "jnz 3f",
        "5:",
        "jmp r9",
        // Out of line. What has just been left behind lies in those 128 bytes.
        "3:",
        "ldmxcsr [r8]",
        "jmp 5b",
        "4:",
        "fldcw [r8 + 4]",
        "jmp 2b",
        ".cfi_endproc",
        // The resume point as data: a text label would cut `switch` in two in every symbol table, and a
        // `.L` label can be named only inside this block.
        ".pushsection .data.rel.ro.coro_resume_point,\"aw\",@progbits",
        ".balign 8",
        ".globl coro_resume_point",
        ".hidden coro_resume_point",
        ".type coro_resume_point, @object",
        ".size coro_resume_point, 8",
        "coro_resume_point: .quad .Lcoro_resume_point",
        ".popsection",
        // The debug header. Hidden, so that two shared objects which both carry a runtime keep two headers.
        ".pushsection .data.coro_debug_v1,\"aw\",@progbits",
        ".balign 64",
        ".globl coro_debug_v1",
        ".hidden coro_debug_v1",
        ".type coro_debug_v1, @object",
        ".size coro_debug_v1, {header_size}",
        "coro_debug_v1: .zero {header_size}",
        ".popsection",
        // The note that leads to it where `strip` has removed the symbol: owner "CoRo", type "coro" in
        // ASCII, and the header's distance from the note's own payload, which needs no relocation.
        ".pushsection .note.coro,\"a\",@note",
        ".balign 4",
        ".long 5, 8, 0x636f726f",
        ".asciz \"CoRo\"",
        ".balign 4",
        "7: .quad coro_debug_v1 - 7b",
        ".popsection",
        header_size = const DEBUG_HEADER_SIZE,
        // What differs is planted: see tests/stepping/plants.rs.
        frame = const if cfg!(coro_plant = "cfi") { 24 } else { 32 },
        rbp = const if cfg!(coro_plant = "cfi_register") { -24 } else { -16 },
    )
}

/// The lowest frame of every coroutine. On arrival: rbx = its record, whose first word is the link to the
/// resumer's `Context`; at the stack pointer, the start function, which takes the record and never returns.
///
/// A fresh stack returns to `entry + 1`, behind the nop: unwinders look a caller up at pc - 1, which has to
/// lie in this function too.
#[unsafe(naked)]
unsafe extern "C" fn entry() {
    naked_asm!(
        ".cfi_startproc",
        // GDB stops a backtrace whose frames don't climb ("corrupt stack?"), and a slot may lie above its
        // resumer's stack. From a signal frame any order is accepted; nor is the landing pc then looked up
        // at pc - 1. Pinned by tests/debugger_backtrace.rs.
        ".cfi_signal_frame",
        // CFA := **rbx, the resumer's saved sp: DW_CFA_def_cfa_expression, 4 bytes,
        // DW_OP_breg3 (rbx) 0; DW_OP_deref; DW_OP_deref. The caller's rsp is the CFA by default.
        ".cfi_escape 0x0f, 0x04, 0x73, 0x00, 0x06, 0x06",
        // rip is saved at *rbx + 8: DW_CFA_expression, register 16, 5 bytes,
        // DW_OP_breg3 (rbx) 0; DW_OP_deref; DW_OP_plus_uconst 8.
        ".cfi_escape 0x10, 0x10, 0x05, 0x73, 0x00, 0x06, 0x23, 0x08",
        "nop",
        "mov rdi, rbx",
        "mov rax, [rsp]",
        // A call, but hidden from the CPU's return predictor: nobody returns to here, and the address would be in the
        // way of those of whoever goes on when this coroutine has ended.
        "lea rcx, [rip + 2f]",
        "push rcx",
        "jmp rax",
        "2:",
        "ud2", // never reached; it keeps the return address inside this function's FDE
        ".cfi_endproc",
    )
}

/// Where `entry` begins: unwinders that shall stay in the coroutine stop in the function which begins there.
pub(crate) fn entry_start() -> usize {
    entry as *const () as usize
}

/// The caller of an `entry` that has no resumer. Never runs.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn outermost() {
    naked_asm!(".cfi_startproc", ".cfi_undefined rip", "ud2", ".cfi_endproc")
}

/// What an event's function is made of. Naked: the compiler sees neither that they do nothing, and leaves the calls
/// out, nor into their bodies. And no body is like another one, or a linker that folds identical code would make one
/// function of two, and a debugger stop at both events: each puts a number of its own into a register that a callee may
/// change, and that nobody reads.
macro_rules! event {
    ($number:literal) => {
        naked_asm!(".cfi_startproc", "mov eax, {number}", "ret", ".cfi_endproc", number = const 0x636f_7200 + $number)
    };
}

/// A coroutine was published; it is on nobody's list yet. On its spawner's stack.
#[unsafe(naked)]
pub(crate) extern "C" fn spawned(record: *const ()) {
    event!(1)
}

/// A coroutine's function has ended, and what it had deferred has run. On its own stack.
#[unsafe(naked)]
pub(crate) extern "C" fn exited(record: *const ()) {
    event!(2)
}

/// A coroutine panics, and nothing has been said of it yet. On its own stack.
#[unsafe(naked)]
pub(crate) extern "C" fn panicking(record: *const ()) {
    event!(3)
}

/// Prepares the stack that ends at `top`: a [`swap`] to the returned stack pointer calls `start(record)`.
///
/// The floating-point control words are those of the caller: a new coroutine inherits the rounding mode of
/// its creator, as C11 (7.6) says of threads.
///
/// # Safety
/// The 64 bytes below `top` are mapped, writable, and nobody else's; `top` is 16-byte aligned.
pub(crate) unsafe fn init_stack(top: usize, record: usize, start: extern "C" fn(*const ()) -> !) -> usize {
    debug_assert_eq!(top % 16, 0, "the ABI wants a call's stack 16-byte aligned");
    let words = top - size_of::<FirstWords>();
    let frame = ptr::with_exposed_provenance_mut::<SavedFrame>(words - size_of::<SavedFrame>());
    let words = ptr::with_exposed_provenance_mut::<FirstWords>(words);
    // SAFETY: the caller gives us the bytes below `top`, and `top`'s alignment is that of both. The two instructions store
    // to the named operands and change nothing else.
    unsafe {
        words.write(FirstWords { start, _unused: 0 });
        // rbp = 0: walkers of frame pointers (perf, BPF) end here.
        frame.write(SavedFrame {
            mxcsr: 0,
            x87_control: 0,
            _unused: 0,
            rbx: record,
            rbp: 0,
            rip: entry as *const () as usize + 1,
        });
        asm!("stmxcsr [{}]", in(reg) &raw mut (*frame).mxcsr, options(nostack, preserves_flags));
        asm!("fnstcw [{}]", in(reg) &raw mut (*frame).x87_control, options(nostack, preserves_flags));
    }
    frame.addr()
}

/// The stack pointer. A local's address won't do instead: under AddressSanitizer it may lie elsewhere.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp;
    // SAFETY: it reads a register, and changes nothing.
    unsafe { asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Has a cache line brought in that will be used soon. A hint: any address is allowed.
#[inline(always)]
pub(crate) fn prefetch(address: usize) {
    // SAFETY: it changes nothing that a program can see, and doesn't fault.
    unsafe { asm!("prefetcht0 [{}]", in(reg) address, options(nostack, preserves_flags, readonly)) };
}

/// The first word in [start, end) with a value from `low` up to `high`: where, and which.
///
/// For stacks, where a checked read would be reported when it hits the redzone around a local: assembly is not
/// checked. And in an unoptimised build a loop in Rust takes 50 times as long.
///
/// # Safety
/// The words from `start` on are mapped, as long as they begin below `end`; `start` is 8-byte aligned.
#[cfg(feature = "sanitize")]
pub(crate) unsafe fn find_word(start: usize, end: usize, low: usize, high: usize) -> Option<(usize, usize)> {
    let (place, word): (usize, usize);
    // SAFETY: it reads what the caller says can be read, and writes to the named registers.
    unsafe {
        asm!(
            "2:",
            "cmp {place}, {end}",
            "jae 3f",
            "mov {word}, [{place}]",
            "add {place}, 8",
            "mov {distance}, {word}",
            "sub {distance}, {low}",
            "cmp {distance}, {span}",
            "jae 2b",
            "3:",
            place = inout(reg) start => place,
            end = in(reg) end,
            word = inout(reg) 0_usize => word,
            distance = out(reg) _,
            low = in(reg) low,
            span = in(reg) high - low,
            options(nostack, readonly),
        );
    }
    (word.wrapping_sub(low) < high - low).then(|| (place - 8, word))
}
