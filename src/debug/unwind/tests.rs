//! The walk is the one that libgcc's unwinder goes, frame by frame, wherever it starts.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::hint::black_box;

use fastrand::Rng;
use object::{Object as _, ObjectSection as _};

use super::*;
use crate::arch::registers::own_registers;
use crate::debug::memory::OwnMemory;
use crate::debug::modules::{self, Module};
use crate::debug::mutation::{corpus, damage, seeds};
use crate::sys::memory::{self, PAGE};

unsafe extern "C" {
    fn _Unwind_Backtrace(each: extern "C" fn(*mut c_void, *mut c_void) -> c_int, data: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
}

extern "C" fn note(context: *mut c_void, frames: *mut c_void) -> c_int {
    // SAFETY: libgcc passes its context, and the data that it was given.
    unsafe {
        (*frames.cast::<Vec<(u64, u64)>>())
            .push((_Unwind_GetIP(context) as u64, _Unwind_GetCFA(context) as u64))
    };
    0
}

/// (pc, sp) of the frames from the caller on, by libgcc and by us; and how ours ended.
#[inline(never)]
fn both() -> ([Vec<(u64, u64)>; 2], Option<End>) {
    let mut theirs = Vec::new();
    // SAFETY: `note` takes what it is given.
    unsafe { _Unwind_Backtrace(note, (&raw mut theirs).cast()) };
    modules::refresh();
    let modules = modules::get();
    let mut unwinder = Box::new(Unwinder::new());
    let registers = own_registers();
    let mut walk = unwinder.walk(&modules, OwnMemory::careful(), &registers, false);
    let mut ours = Vec::new();
    while let Some(frame) = walk.next() {
        assert!(frame.is_certain, "{frame:x?}");
        ours.push((frame.pc, frame.sp));
    }
    let end = walk.end();
    // Both begin in this function, at different calls.
    theirs.remove(0);
    ours.remove(0);
    ([theirs, ours], end)
}

/// libgcc's walk goes on through `entry` to the resumer, ours ends there.
#[track_caller]
fn assert_same(at_least: usize, end: End) {
    let ([mut theirs, ours], our_end) = both();
    assert_eq!(our_end, Some(end));
    assert!(ours.len() >= at_least, "{ours:x?}");
    if end == End::Coroutine {
        assert!(theirs.len() > ours.len());
        theirs.truncate(ours.len());
    } else {
        // It counts the end as a frame.
        theirs.retain(|(pc, _)| *pc != 0);
    }
    assert_eq!(ours, theirs);
}

#[test]
fn thread_is_walked_to_its_start() {
    assert_same(5, End::Thread);
}

#[test]
fn coroutine_is_walked_to_its_entry() {
    crate::run(|| {
        crate::spawn(|| assert_same(5, End::Coroutine)).join().unwrap();
        assert_same(5, End::Thread);
    })
    .unwrap();
}

#[test]
fn recursion_is_walked_with_the_rules_of_the_cache() {
    #[inline(never)]
    fn deeper(depth: usize) -> usize {
        let local = black_box([depth; 8]);
        if depth == 0 {
            assert_same(1000, End::Coroutine);
            return local[3];
        }
        deeper(black_box(depth - 1)) + local[7]
    }
    crate::run(|| {
        let deep = crate::CoroutineBuilder::new().stack_size(4 << 20).spawn(|| deeper(1000)).unwrap();
        deep.join().unwrap();
    })
    .unwrap();
}

#[test]
fn callback_of_a_c_function_is_walked_through_it() {
    extern "C" fn compare(_: *const c_void, _: *const c_void) -> c_int {
        ONCE.with_borrow_mut(|once| {
            if !std::mem::replace(once, true) {
                assert_same(7, End::Thread);
            }
        });
        0
    }
    thread_local!(static ONCE: RefCell<bool> = const { RefCell::new(false) });
    let mut numbers = [1_u64; 50];
    // SAFETY: so many elements of that size; nothing unwinds through it, if the test passes.
    unsafe { libc::qsort(numbers.as_mut_ptr().cast(), numbers.len(), 8, Some(compare)) };
    assert!(ONCE.with_borrow(|once| *once));
}

#[test]
fn signal_handler_is_walked_into_what_it_interrupted() {
    extern "C" fn handle(_: c_int) {
        assert_same(7, End::Coroutine);
        SEEN.set(true);
    }
    thread_local!(static SEEN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    crate::run(|| {
        let interrupted = crate::spawn(|| {
            let handler = handle as extern "C" fn(c_int);
            // SAFETY: the handler may allocate, because the signal comes from `raise`. Nobody else in this program uses it.
            unsafe {
                libc::signal(libc::SIGWINCH, handler as *const () as libc::sighandler_t);
                libc::raise(libc::SIGWINCH);
                libc::signal(libc::SIGWINCH, libc::SIG_DFL);
            }
            SEEN.get()
        });
        assert!(interrupted.join().unwrap());
    })
    .unwrap();
}

#[test]
fn full_frame_is_told_from_inside_the_prologue() {
    #[inline(never)]
    fn large() -> u64 {
        let array = black_box([1_u8; 300_000]);
        u64::from(array[7])
    }
    black_box(large());
    modules::refresh();
    let modules = modules::get();
    let mut unwinder = Box::new(Unwinder::new());
    let size = unwinder.full_frame(&modules, large as *const () as u64).unwrap();
    // Unoptimised, it has the array twice.
    assert!((300_000..1_000_000).contains(&size), "{size}");
    assert_eq!(unwinder.full_frame(&modules, 8), None);
}

#[test]
fn walk_of_garbage_ends_with_a_reason() {
    modules::refresh();
    let modules = modules::get();
    let mut unwinder = Box::new(Unwinder::new());
    let mut end = |registers: &Registers| {
        let mut walk = unwinder.walk(&modules, OwnMemory::careful(), registers, true);
        let frames = std::iter::from_fn(|| walk.next()).take(1000).count();
        (frames, walk.end().unwrap())
    };
    let here = own_registers();
    assert_eq!(end(&[0; 17]), (1, End::NoCode));
    assert_eq!(end(&[u64::MAX; 17]), (1, End::NoCode));
    // Code that is known, on a stack that isn't there.
    let mut lost = here;
    lost[STACK_POINTER] = 0x1000;
    lost[FRAME_POINTER] = 0x1000;
    assert_eq!(end(&lost), (1, End::Unreadable));
    // A call of address 8 from here.
    let mut called = here;
    let pushed = [here[PROGRAM_COUNTER], 0];
    called[PROGRAM_COUNTER] = 8;
    called[STACK_POINTER] = pushed.as_ptr().addr() as u64;
    let mut walk = unwinder.walk(&modules, OwnMemory::careful(), &called, true);
    assert_eq!(walk.next().map(|frame| (frame.pc, frame.is_certain)), Some((8, true)));
    assert_eq!(walk.next().map(|frame| (frame.pc, frame.is_certain)), Some((here[PROGRAM_COUNTER], false)));
}

extern "C" fn assert_same_in_a_thread() {
    assert_same(5, End::Thread);
}

/// Its call is the last instruction of which its CFI tells: as in a function that ends with a call which doesn't return.
#[unsafe(naked)]
extern "C" fn ends_with_a_call() {
    std::arch::naked_asm!(
        ".cfi_startproc",
        "sub rsp, 24",
        ".cfi_adjust_cfa_offset 24",
        "call {}",
        ".cfi_endproc",
        "add rsp, 24",
        "ret",
        sym assert_same_in_a_thread,
    )
}

#[test]
fn function_that_ends_with_a_call_is_looked_up_before_its_end() {
    ends_with_a_call();
}

/// Faults at the first instruction of which its CFI tells.
#[unsafe(naked)]
extern "C" fn begins_with_a_fault() {
    std::arch::naked_asm!("nop", ".cfi_startproc", "ud2", "ret", ".cfi_endproc")
}

#[test]
fn function_that_was_interrupted_at_its_start_is_looked_up_there() {
    extern "C" fn go_on(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
        assert_same(7, End::Thread);
        // SAFETY: as the kernel calls it; the fault is the test's own `ud2`, two bytes long.
        unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] += 2 };
    }
    let handler = go_on as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    // SAFETY: all zero is an action without flags; the handler may allocate, because it interrupts nothing else.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_flags = libc::SA_SIGINFO;
        action.sa_sigaction = handler as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()), 0);
    }
    begins_with_a_fault();
}

/// What a damaged module's CFI leads to may be anything, but neither a crash nor a walk without an end.
#[test]
fn damaged_cfi_is_no_crash() {
    for (name, bytes) in corpus() {
        let object = object::File::parse(&*bytes).unwrap();
        let of = |name| {
            let section = object.section_by_name(name).unwrap();
            (section.address(), section.size(), section.file_range().unwrap().0)
        };
        let (header, frame, text) = (of(".eh_frame_hdr"), of(".eh_frame"), of(".text"));
        // Pointers in there are relative, so that the file can lie anywhere, if its parts lie as when it is loaded.
        assert!(header.0 == header.2 && frame.0 == frame.2, "{name}");
        // What a stack has at its end: no more memory.
        let stack = memory::reserve(0, 2 * PAGE).unwrap();
        // SAFETY: nobody uses the fresh mapping.
        unsafe { memory::deny(stack + PAGE, PAGE) }.unwrap();
        for seed in seeds() {
            let mut random = Rng::with_seed(seed);
            let mut damaged = bytes.clone();
            let (start, size, _) = if random.u64(..4) == 0 { header } else { frame };
            damage(&mut damaged[start as usize..(start + size) as usize], &mut random);
            let base = damaged.as_ptr().expose_provenance() as u64;
            let end = base + damaged.len() as u64;
            let code = (base + text.0, base + text.0 + text.1);
            let module = Module::of_test((base + header.0, base + header.0 + header.1), (base, end), code);
            let modules = Modules::of_test(module);
            let mut unwinder = Box::new(Unwinder::new());
            for pc in (code.0..code.1).step_by(7) {
                let mut registers = [stack as u64 + 64; 17];
                registers[PROGRAM_COUNTER] = pc;
                let mut walk = unwinder.walk(&modules, OwnMemory::careful(), &registers, true);
                let frames = std::iter::from_fn(|| walk.next()).take(1000).count();
                assert!(frames < 1000, "{name}, seed {seed}: no end");
                assert!(walk.end().is_some());
                let _ = unwinder.full_frame(&modules, pc);
            }
        }
    }
}
