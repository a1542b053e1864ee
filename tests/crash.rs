//! What is said when a coroutine's stack overflows, or a redzone is hit in another way: right each time, and the process
//! dies of it all the same.

mod support;

use std::path::Path;
use std::process::Command;
use std::{env, fs, process};

use pretty_assertions::assert_eq;
use support::crash::{SIGABRT, SIGBUS, SIGSEGV, crash, crash_in, crash_of, own_profile};
use support::{Profile, program};

/// The line of the program's source that contains a text.
fn source_line(text: &str) -> usize {
    let source = fs::read_to_string("tests/programs/crashing.rs").unwrap();
    1 + source.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("no line has {text:?}"))
}

/// The number before a word in a text.
fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap();
    let digits: Vec<char> = before.chars().rev().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
    digits.into_iter().rev().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn recursion_is_told_with_its_rounds_functions_and_lines() {
    for profile in [Profile::Debug, Profile::Release] {
        let depth_file = env::temp_dir().join(format!("coro-crash-depth-{}-{profile:?}", process::id()));
        fs::write(&depth_file, [0; 4096]).unwrap();
        let environment = [("DEPTH_FILE", depth_file.to_str().unwrap())];
        let program = program("crashing", profile);
        let crash = crash_of(&program, &["overflow", "conn 7", "1000", "5"], &environment);
        let depth = fs::read(&depth_file).unwrap();
        fs::remove_file(&depth_file).unwrap();
        let depth = u64::from_le_bytes(depth[..8].try_into().unwrap());
        crash.assert_complete().assert_died(SIGSEGV);
        assert!(
            crash.line("fatal: ").starts_with("coroutine #9 'conn 7' overflowed its stack"),
            "{}",
            crash.err
        );
        let verdict = crash.line("verdict   ");
        assert!(verdict.starts_with("runaway recursion: crashing::deeper, "), "{verdict}");
        let rounds = number_before(verdict, " rounds of");
        assert!([depth, depth + 1].contains(&rounds), "{depth} calls deep: {verdict}");
        let call = source_line("deeper::<BYTES>(depth + 1)");
        crash.assert_says(&[
            &format!("tests/programs/crashing.rs:{call} "),
            &format!("this frame repeats {rounds} times"),
            "<- fault",
            "<coroutine start>",
            "crashing::prelude",
            "unbounded recursion: a bigger stack will not help; limit the depth of crashing::deeper\n",
            "by coroutine #1 'main'\n",
            "other coroutines: 5 alive",
            "then: coro bt 9\n",
        ]);
        let spawn = source_line(".spawn(move || prelude(before, then))");
        assert!(crash.line("spawned   ").starts_with(&format!("tests/programs/crashing.rs:{spawn}:")));
    }
}

/// In whichever directory the program runs.
#[test]
fn command_for_the_debugger_can_be_pasted_where_the_program_ran() {
    let program = program("crashing", own_profile());
    for (folder, script) in [
        (Path::new("."), "gdb/coro.py"),
        (&env::temp_dir(), concat!(env!("CARGO_MANIFEST_DIR"), "/gdb/coro.py")),
    ] {
        let crash = crash_in(folder, &program, &["overflow", "conn 7", "1000", "5"], &[]);
        let command = crash.line("debug     ");
        assert!(command.starts_with(&format!("gdb -x {script} ")), "{command}");
        assert!(folder.join(script).is_file());
    }
}

#[test]
fn two_that_call_each_other_are_one_cycle() {
    for profile in [Profile::Debug, Profile::Release] {
        let crash = crash(profile, &["overflow", "", "mutual", "0"]);
        crash.assert_complete().assert_died(SIGSEGV);
        assert!(crash.line("fatal: ").starts_with("coroutine #9 overflowed its stack"), "{}", crash.err);
        let verdict = crash.line("verdict   ");
        let pairs = ["crashing::even <-> crashing::odd", "crashing::odd <-> crashing::even"];
        assert!(pairs.iter().any(|pair| verdict.contains(pair)), "{verdict}");
        crash.assert_says(&["these 2 frames repeat", "% of the stack)"]);
    }
}

#[test]
fn recursion_from_several_places_is_known_by_its_function() {
    for profile in [Profile::Debug, Profile::Release] {
        let crash = crash(profile, &["overflow", "tree", "branching", "2"]);
        crash.assert_complete().assert_died(SIGSEGV);
        let verdict = crash.line("verdict   ");
        assert!(verdict.starts_with("runaway recursion: crashing::branching, "), "{verdict}");
    }
}

#[test]
fn advised_stack_size_is_enough() {
    for profile in [Profile::Debug, Profile::Release] {
        let program = program("crashing", profile);
        let crash = crash_of(&program, &["sized", "0"], &[]);
        crash.assert_complete().assert_died(SIGSEGV);
        let verdict = crash.line("verdict   ");
        assert!(verdict.starts_with("a large frame: crashing::sized::large, "), "{verdict}");
        let advice = crash.line("advice    ");
        let wanted =
            advice.split_once("stack_size(").and_then(|(_, rest)| rest.split_once(" * 1024)")).unwrap().0;
        let output = Command::new(&program).args(["sized", wanted]).output().unwrap();
        assert!(output.status.success(), "{wanted} KiB: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn overflow_in_malloc_is_told_of_who_called_it() {
    for profile in [Profile::Debug, Profile::Release] {
        for before in 0..5 {
            let crash = crash(profile, &["malloc", &"x".repeat(before)]);
            crash.assert_complete().assert_died(SIGSEGV);
            crash.assert_says(&[" of libc.so.6, called by crashing::allocate_deeply::grow (tests/programs/"]);
            let verdict = crash.line("verdict   ");
            assert!(verdict.starts_with("runaway recursion: crashing::allocate_deeply::grow, "), "{verdict}");
        }
    }
}

#[test]
fn frame_that_jumps_over_the_redzone_is_an_overflow() {
    let crash = crash(own_profile(), &["large-c-frame"]);
    crash.assert_complete().assert_died(SIGSEGV);
    crash.assert_says(&["'culprit' overflowed its stack, and jumped over its redzone into another's"]);
}

#[test]
fn who_gives_way_beyond_its_redzone_is_told_before_it_does() {
    for profile in [Profile::Debug, Profile::Release] {
        let crash = crash(profile, &["gives-way-below"]);
        crash.assert_complete().assert_died(SIGSEGV);
        crash.assert_says(&[
            "'culprit' overflowed its stack, and jumped over its redzone into another's",
            " KiB below its stack, and it was about to give way\n",
            "call_on_stack",
            "crashing::give_way",
            "<coroutine start>",
        ]);
        let verdict = crash.line("verdict   ");
        assert!(verdict.starts_with("a large frame: call_on_stack, 35"), "{verdict}");
    }
}

#[test]
fn who_gives_way_on_a_foreign_stack_is_told_unless_it_is_main() {
    let crash = crash(own_profile(), &["gives-way-elsewhere"]);
    crash.assert_complete().assert_died(SIGSEGV);
    crash.assert_says(&["'culprit' left its stack: its stack pointer is elsewhere"]);
    assert!(!crash.err.contains("overflowed") && !crash.err.contains("stack_size"), "{}", crash.err);
    // What isn't told ends the process all the same.
    let off =
        crash_of(&program("crashing", own_profile()), &["gives-way-elsewhere"], &[("CORO_CRASH", "off")]);
    off.assert_silent().assert_died(SIGSEGV);
    let output = Command::new(program("crashing", own_profile())).arg("main-elsewhere").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("another one had its turn\nmain went on\n") && output.status.success(), "{said}");
}

#[test]
fn wild_pointers_name_both_and_advise_no_size() {
    let cases = [
        ("stranger", "'culprit' used a wild pointer: into the redzone of coroutine #4 'victim'"),
        ("from-main", "coroutine #1 'main' used a wild pointer: into the redzone of coroutine #4 'victim'"),
        // On the 8 KiB that Rust gives its threads for handlers.
        (
            "from-thread",
            "a thread outside coroutines used a wild pointer: into the redzone of coroutine #4 'victim'",
        ),
        ("above", "'culprit' ran off the top of its stack, by 8 B"),
        ("read", "'culprit' ran off the top of its stack, by 8 B"),
        ("jump", "'culprit' ran off the top of its stack, by 16 B"),
        ("underrun", "'culprit' used a wild pointer: into its own redzone, 64 B below its stack"),
    ];
    for (case, words) in cases {
        let crash = crash(own_profile(), &[case]);
        let access = if ["read", "jump"].contains(&case) { case } else { "write" };
        crash.assert_complete().assert_says(&[words, &format!("{access} at 0x")]).assert_died(SIGSEGV);
        assert!(!crash.err.contains("overflowed") && !crash.err.contains("stack_size"), "{}", crash.err);
    }
}

/// Stacks of coroutines that have ended are closed in debug builds.
#[cfg(debug_assertions)]
#[test]
fn use_of_a_freed_stack_names_its_last_owner() {
    let crash = crash(Profile::Debug, &["freed"]);
    let spawn = source_line(".spawn(|| own_stack().1 - 100)");
    let words = format!(
        "coroutine #4 'culprit' used a freed stack: of coroutine #5 'victim', which has ended (spawned at \
         tests/programs/crashing.rs:{spawn}:"
    );
    crash.assert_complete().assert_says(&[&words]).assert_died(SIGSEGV);
}

#[test]
fn what_is_no_matter_of_stacks_dies_as_ever() {
    let cases = [
        ("null", SIGSEGV),
        ("wild", SIGSEGV),
        ("general-protection", SIGSEGV),
        ("kill", SIGSEGV),
        ("bus", SIGBUS),
    ];
    for (case, signal) in cases {
        let crash = crash(own_profile(), &[case]);
        crash.assert_silent().assert_died(signal);
        assert_eq!(crash.err, "", "{case}");
    }
}

#[test]
fn overflow_of_a_threads_own_stack_is_told_by_rust() {
    for (case, thread) in [("main-overflow", "thread 'main'"), ("thread-overflow", "thread '")] {
        let crash = crash(own_profile(), &[case]);
        crash.assert_silent().assert_says(&[thread, "has overflowed its stack"]).assert_died(SIGABRT);
    }
}

#[test]
fn handler_of_before_is_called() {
    const CALLED: &str = "the handler of before was called\n";
    let crash_report = crash(own_profile(), &["chained", "overflow", "chained", "200", "3"]);
    crash_report
        .assert_complete()
        .assert_says(&["'chained' overflowed its stack", CALLED])
        .assert_died(SIGSEGV);
    let null = crash(own_profile(), &["chained", "null"]);
    assert_eq!(null.err, CALLED);
    null.assert_died(SIGSEGV);
}

#[test]
fn nothing_allocates_from_the_signal_on() {
    for profile in [Profile::Debug, Profile::Release] {
        for case in ["recursion", "malloc", "stranger"] {
            let crash = crash(profile, &["no-allocation", case]);
            crash.assert_complete().assert_says(&["coroutine #4 'careful' "]).assert_died(SIGSEGV);
        }
    }
}

#[test]
fn fault_of_the_reporters_leaves_a_part_out() {
    let crash = crash(own_profile(), &["unreadable"]);
    crash.assert_says(&[
        "coroutine #4 'blind' overflowed its stack",
        "[the reporter itself faulted in the search for names and lines; it goes on without]",
        "verdict   runaway recursion: crashing+0x",
        "other coroutines: 0 alive",
    ]);
    crash.assert_died(SIGSEGV);
}

#[test]
fn of_eight_that_crash_at_once_one_is_told() {
    for _ in 0..5 {
        let crash = crash(own_profile(), &["threads"]);
        crash.assert_complete().assert_died(SIGSEGV);
        assert!(crash.line("fatal: ").contains("'racer-"), "{}", crash.err);
    }
}

#[test]
fn stripped_program_gives_offsets_and_says_what_to_do_with_them() {
    let crash = crash(Profile::Stripped, &["overflow", "bare", "1000", "1"]);
    crash.assert_complete().assert_died(SIGSEGV);
    crash.assert_says(&[
        "'bare' overflowed its stack",
        "verdict   runaway recursion: crashing-stripped+0x",
        "no lines of crashing-stripped: it is stripped; with that of build-id ",
        ": addr2line -Cfie FILE 0xOFFSET\n",
    ]);
    // And that works: with the file that was stripped.
    let (_, rest) = crash.line("verdict   ").split_once("+0x").unwrap();
    let offset = rest.split_once(',').unwrap().0;
    let whole = program("crashing", Profile::Release);
    let output =
        Command::new("addr2line").args(["-Cfie"]).arg(whole).arg(format!("0x{offset}")).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("crashing::deeper"));
}

#[test]
fn environment_and_files_decide_what_is_said_and_where() {
    let program = program("crashing", own_profile());
    let overflow = |environment: &[(&str, &str)]| {
        let crash = crash_of(&program, &["overflow", "x", "1000", "1"], environment);
        crash.assert_died(SIGSEGV);
        crash.err
    };
    assert_eq!(overflow(&[("CORO_CRASH", "off")]), "");
    let short = overflow(&[("CORO_CRASH", "short")]);
    assert!(
        short.contains("verdict ") && short.contains("advice ") && !short.contains("backtrace"),
        "{short}"
    );
    assert!(overflow(&[("CORO_CRASH", "full")]).contains("backtrace, innermost first"));
    let file = env::temp_dir().join(format!("coro-crash-report-{}", process::id()));
    let said = overflow(&[("CORO_CRASH_FILE", file.to_str().unwrap())]);
    assert_eq!(fs::read_to_string(&file).unwrap(), said);
    fs::remove_file(&file).unwrap();
    for (name, value, words) in [
        ("CORO_CRASH", "loud", "CORO_CRASH=\"loud\", which is no kind of report; use `full`, `short`, `off`"),
        (
            "CORO_CRASH_FILE",
            "/no/such/folder/x",
            "could not open \"/no/such/folder/x\", the file for crash reports",
        ),
    ] {
        let output = Command::new(&program).args(["null"]).env(name, value).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).replace('\\', "");
        assert!(err.contains(words), "{err}");
    }
}

#[test]
fn panic_names_the_coroutine_and_those_that_led_to_it() {
    let output = Command::new(program("crashing", own_profile())).arg("panic").output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    let at = |text| format!("tests/programs/crashing.rs:{}", source_line(text));
    let [child, grandchild] = [at(r#"name("child")"#), at(r#"name("grandchild")"#)];
    let starts = [
        format!("coroutine #5 'grandchild', spawned at {grandchild}:"),
        format!(" by #4 'child', spawned at {child}:"),
        " by #1 'main', panicked:\n".to_owned(),
    ];
    let mut rest = err.as_str();
    for start in &starts {
        rest = rest.split_once(start).unwrap_or_else(|| panic!("{start:?} is missing in: {err}")).1;
    }
    assert!(rest.contains("in a grandchild") && output.status.success(), "{err}");
}
