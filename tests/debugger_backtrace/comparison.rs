//! The comparison of backtraces sees what is wrong: transcripts with planted mistakes, each of which it reports.

use pretty_assertions::assert_eq;

use crate::support::Frame;
use crate::support::backtrace::{self, Expected};

use Expected::{Boundary, Function, Gap, Inlined, Line, Root};

/// What GDB could have said, shortened: across one boundary, from line 7 to line 9.
const SOUND: &str = "\
#0  app::stop_here (n=70) at src/app.rs:5
#1  0x0000555555599e0a in app::inlined_caller (n=70) at src/app.rs:7
#2  app::inner (text=\"at (x::y<z)\") at src/app.rs:8
#3  0x00005555555a07c3 in app::outer::{closure#0}<fn() -> (), i32> () at src/app.rs:9
#4  <signal handler called>
#5  0x00005555555dbbdc in coro::arch::x86_64::switch::h412f7a4156ec1930 ()
#6  0x00005555555f1234 in <core::Wrapper<F> as core::ops::FnOnce<()>>::call_once (self=...) at lib.rs:10
#7  0x00007ffff7e3e1f5 in start_thread (arg=<optimized out>) at ./nptl/pthread_create.c:442
#8  0x00007ffff7ebe8ec in clone3 () at ../sysdeps/unix/sysv/linux/x86_64/clone3.S:81
";

/// The same, by LLDB.
const SOUND_TO_LLDB: &str = "\
* thread #2, name = 'app', stop reason = breakpoint 1.1
  * frame #0: 0x0000555555599e00 app`app::stop_here::h6e4fffecdba9c2d5(n=70) at app.rs:5:5
    frame #1: 0x0000555555599e0a app`app::inner::h6e4fffecdba9c2d6 [inlined] app::inlined_caller::h6e4fffecdba9c2d7(n=70) at app.rs:7:5
    frame #2: 0x0000555555599e05 app`app::inner::h6e4fffecdba9c2d6(text=\"at (x::y<z)\") at app.rs:8
    frame #3: 0x00005555555a07c3 app`app::outer::_$u7b$$u7b$closure$u7d$$u7d$::h6e4fffecdba9c2d8 at app.rs:9:1
    frame #4: 0x00005555555dbbb3 app`coro::arch::x86_64::entry::h6e4fffecdba9c2d9 + 7
    frame #5: 0x00005555555dbbdc app`coro::arch::x86_64::switch::h412f7a4156ec1930 + 36
    frame #6: 0x00005555555f1234 app`_$LT$core..Wrapper$LT$F$GT$$GT$::call_once::h6e4fffecdba9c2da (.llvm.27) at lib.rs:10:2
    frame #7: 0x00007ffff7e3e1f5 libc.so.6`start_thread(arg=<unavailable>) at pthread_create.c:442:8
    frame #8: 0x00007ffff7ebe8ec libc.so.6`__clone3 at clone3.S:81
";

const SOUND_EXPECTED: [Expected; 9] = [
    Function("stop_here"),
    Inlined("inlined_caller", "app.rs", 7),
    Line("inner", "app.rs", 8),
    Line("{closure}", "app.rs", 9),
    Boundary,
    Gap,
    Function("start_thread"),
    Gap,
    Root,
];

/// What the comparison says of a backtrace of GDB's.
fn problems_of(text: &str) -> String {
    backtrace::problems(text, &backtrace::of_gdb(text), &SOUND_EXPECTED).join("\n")
}

#[test]
fn both_debuggers_words_are_read_as_the_same_frames() {
    let frames = |frames: Vec<Frame>| -> Vec<(String, u32, bool)> {
        frames.into_iter().map(|frame| (frame.function, frame.line, frame.is_inlined)).collect()
    };
    let mut by_gdb = frames(backtrace::of_gdb(SOUND));
    (by_gdb[4].0, by_gdb[8].0) = ("entry".into(), "__clone3".into());
    assert_eq!(by_gdb, frames(backtrace::of_lldb(SOUND_TO_LLDB)));
    assert_eq!(problems_of(SOUND), "");
    let by_lldb = backtrace::of_lldb(SOUND_TO_LLDB);
    assert_eq!(backtrace::problems(SOUND_TO_LLDB, &by_lldb, &SOUND_EXPECTED), [""; 0]);
}

#[test]
fn a_backtrace_that_stops_at_a_corrupt_stack_is_reported() {
    let cut = SOUND.find("#5").unwrap();
    let stopped = "Backtrace stopped: previous frame inner to this frame (corrupt stack?)\n";
    let problems = problems_of(&format!("{}{stopped}", &SOUND[..cut]));
    assert!(
        problems.contains("the debugger complains: Backtrace stopped: previous frame inner"),
        "{problems}"
    );
    assert!(problems.contains("below the entry in frame 4 should be `switch`"), "{problems}");
}

#[test]
fn a_backtrace_with_a_missing_frame_is_reported() {
    for (number, line) in SOUND.lines().enumerate().take(8) {
        let problems = problems_of(&SOUND.replace(&format!("{line}\n"), ""));
        // The one frame that may be missing is the one in the gap.
        assert_eq!(problems.is_empty(), number == 6, "without frame {number}: {problems}");
    }
    assert!(problems_of("").contains("the backtrace ends before Function(\"stop_here\")"));
}

#[test]
fn a_backtrace_with_a_wrong_frame_is_reported() {
    for (right, wrong, problem) in [
        ("app.rs:7", "app.rs:6", "frame 1 should be at line 7"),
        ("#2  app", "#2  0x0000555555599e05 in app", "frame 1 should be shown as inlined"),
        ("start_thread (", "?? (", "is of an unknown function"),
        ("app::inner (", "app::other (", "frame 2 should be Line(\"inner\""),
        ("clone3 ()", "nobody ()", "the last frame is not where a thread starts"),
        ("in <core::Wrapper<F> as core::ops::FnOnce<()>>::call_once", "in entry", "frame 6 should be"),
    ] {
        let problems = problems_of(&SOUND.replace(right, wrong));
        assert!(problems.contains(problem), "{right} -> {wrong}: {problems}");
    }
}
