//! Coroutines that wait, as the commands show them, and the values of their locals.
//!
//! The values are those that tests/programs/seen.rs computes. In optimised builds without full debug
//! information there are functions and lines, in stripped ones addresses; the registry is the same in all
//! of them.

use std::fs;

use crate::support::debuggee::{Core, Debuggee, scratch};
use crate::support::{Profile, Transcript, program};
use crate::{SEEN, coro, has, row};

/// Selects the frame of a function, of the selected one and those behind it. (GDB's `frame function` goes
/// by the function's range, in which other functions may lie in optimised code.)
macro_rules! frame_of {
    ($function:literal) => {
        concat!(
            "python f = gdb.selected_frame(); exec(\"while f.older() and (f.name() or '').split(':')[-1] != '",
            $function,
            "': f = f.older()\"); f.select()"
        )
    };
}
pub(crate) use frame_of;

pub(crate) const COMMANDS: [&str; 17] = [
    "coro list",
    "info coroutines",
    "coro list -kind user -wait io",
    "coro bt reader",
    "coro select #4",
    "bt",
    frame_of!("read_request"),
    "info locals",
    "info args",
    "print secret",
    "coro select reader",
    frame_of!("wait_for_bytes"),
    "print room",
    "coro select locker",
    frame_of!("want"),
    "print wanted",
    "coro apply reader locker -- bt 1",
];

/// What a build tells beyond the registry.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Tells {
    Locals,
    /// Where the compiler has not dropped them.
    LocalsThatAreLeft,
    Lines,
    Addresses,
    /// Not even where a frame ends: there is no file with the code.
    Nothing,
}

impl Tells {
    fn has_lines(self) -> bool {
        matches!(self, Tells::Locals | Tells::LocalsThatAreLeft | Tells::Lines)
    }
}

#[track_caller]
fn check(said: &Transcript, tells: Tells) {
    check_all(said, tells, "7 coroutines: 6 parked, 1 running");
}

/// `sum`: the last line of `coro list`.
#[track_caller]
pub(crate) fn check_all(said: &Transcript, tells: Tells, sum: &str) {
    for command in ["coro list", "info coroutines"] {
        let list = said.block(command);
        for (name, words) in [
            ("main", "sleep, for ever"),
            ("reader", "read fd "),
            ("owner", "sleep, for ever"),
            ("locker", "held by #5 'owner'"),
            ("joiner", "join #5 'owner'"),
        ] {
            let row = row(list, name);
            assert!(row.contains("parked") && row.contains(words), "{name}: {row}\n{said}");
        }
        let reader = row(list, "reader");
        let ends_in_my_code = reader.contains(&format!(" at {SEEN}:"));
        assert_eq!(ends_in_my_code, tells.has_lines(), "{reader}\n{said}");
        assert!(row(list, "io").contains("running on thread 1"), "{said}");
        assert_eq!(list.lines().last(), Some(sum), "{said}");
    }
    let waiting_for_io = said.block("coro list -kind user -wait io");
    assert_eq!(waiting_for_io.lines().count(), 3, "a heading, one row, a sum:\n{said}");
    has(said, "coro bt reader", &["coroutine #4 'reader', parked for ", ": read fd "]);
    has(said, "coro select reader", &["[coroutine #4 'reader', parked, on thread "]);
    has(
        said,
        "coro apply reader locker -- bt 1",
        &["#4 'reader', parked:\n#1 ", "#6 'locker', parked:\n#1 "],
    );
    let bt = said.block("bt");
    if tells.has_lines() {
        for text in ["wait_for_bytes", "read_request", &format!("{SEEN}:")] {
            assert!(bt.contains(text) && said.block("coro bt reader").contains(text), "no {text}: {said}");
        }
    }
    if tells != Tells::Nothing {
        let last = bt.lines().last().unwrap_or_default();
        assert!(last.contains("--- coroutine boundary, not running ---"), "{said}");
    }
    if tells == Tells::Nothing {
        assert!(said.block("coro bt reader").contains(" (?)"), "guesses are marked: {said}");
    }
    assert!(bt.starts_with("#1 "), "the thread's own frame is left out: {said}");
    if tells == Tells::Locals {
        has(said, "info locals", &["name = \"request\""]);
        has(said, "info args", &["number = 21"]);
    }
    if matches!(tells, Tells::Locals | Tells::LocalsThatAreLeft) {
        has(said, "info locals", &["secret = 42", "bytes = [1, 2, 3, 4]"]);
        has(said, "print secret", &["= 42"]);
        has(said, "print room", &["= 143"]);
        has(said, "print wanted", &["= 2002"]);
    }
}

#[test]
fn attached_debug_build() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    check(&coro(&debuggee.attach(), &COMMANDS), Tells::Locals);
}

#[test]
fn attached_release_build() {
    let debuggee = Debuggee::seen(Profile::Release, "parked").asleep();
    check(&coro(&debuggee.attach(), &COMMANDS), Tells::Lines);
}

#[test]
fn attached_stripped_build() {
    let debuggee = Debuggee::seen(Profile::Stripped, "parked").asleep();
    check(&coro(&debuggee.attach(), &COMMANDS), Tells::Addresses);
}

/// Optimised code has values in registers, and leaves out what nobody needs: what is there has to be true.
#[test]
fn attached_release_build_with_all_debug_information() {
    let debuggee = Debuggee::seen(Profile::Full, "parked").asleep();
    check(&coro(&debuggee.attach(), &COMMANDS), Tells::LocalsThatAreLeft);
}

#[test]
fn started_by_gdb() {
    let file = program("seen", Profile::Debug);
    let start = ["break seen::see_all", "run", "coro list", "coro select reader", frame_of!("read_request")];
    let look = ["info locals", "coro select .", "bt 1"];
    let options = ["--args".as_ref(), file.as_os_str(), "parked".as_ref()];
    let said = coro(&options, &[&start[..], &look[..]].concat());
    assert!(
        said.block(crate::SOURCE).contains("coro 0.1.0: loaded; \"help coro\" lists the commands"),
        "{said}"
    );
    let list = said.block("coro list");
    assert!(
        row(list, "main").starts_with('*') && row(list, "main").contains("running on thread 1"),
        "{said}"
    );
    assert!(row(list, "reader").contains("parked"), "{said}");
    has(&said, "info locals", &["secret = 42", "name = \"request\""]);
    has(&said, "bt 1", &["#0  seen::see_all"]);
}

/// The core that the kernel writes when the process is killed.
fn kernel_core(profile: Profile) -> Core {
    Debuggee::where_cores_go(&program("seen", profile), &["parked"], &[]).asleep().kernel_core()
}

#[track_caller]
fn check_core(profile: Profile, with_executable: bool, tells: Tells) {
    let core = kernel_core(profile);
    let file = program("seen", profile);
    let mut options = vec!["-c".as_ref(), core.path.as_os_str()];
    if with_executable {
        options.push(file.as_os_str());
    }
    let said = coro(&options, &COMMANDS);
    check(&said, tells);
    let reader = row(said.block("coro list"), "reader");
    assert!(
        reader.contains(" >"),
        "the age is one of the process's last look at its clock, at least: {reader}"
    );
}

#[test]
fn kernel_core_of_a_debug_build() {
    check_core(Profile::Debug, true, Tells::Locals);
}

#[test]
fn kernel_core_of_a_release_build() {
    check_core(Profile::Release, true, Tells::Lines);
}

#[test]
fn kernel_core_of_a_release_build_with_all_debug_information() {
    check_core(Profile::Full, true, Tells::LocalsThatAreLeft);
}

#[test]
fn kernel_core_of_a_stripped_build() {
    check_core(Profile::Stripped, true, Tells::Addresses);
}

#[test]
fn kernel_core_without_the_executable() {
    check_core(Profile::Stripped, false, Tells::Nothing);
}

/// Its own executable says where the registry is; another one's symbols lead elsewhere.
#[test]
fn kernel_core_with_another_executable() {
    let core = kernel_core(Profile::Debug);
    for other in [program("seen", Profile::Release), program("nested", Profile::Debug)] {
        let said = coro(&["-c".as_ref(), core.path.as_os_str(), other.as_os_str()], &["coro list"]);
        has(&said, crate::SOURCE, &["coro: this executable is not the core's, or another build of it: "]);
        has(&said, crate::SOURCE, &["): 7 coroutines; "]);
        assert!(row(said.block("coro list"), "reader").contains("read fd "), "{said}");
        assert!(!said.whole().contains("leads to memory which is not there"), "{said}");
    }
}

/// GDB 13 gives a mapping up at the first guard page: its cores have stacks only between mprotect redzones, or with the
/// scripts' help.
#[test]
fn core_that_gdb_makes() {
    for (method, command) in [("mprotect", "gcore"), ("guard", "gcore"), ("guard", "coro gcore")] {
        let file = program("seen", Profile::Debug);
        let folder = scratch("gcore");
        let debuggee = Debuggee::start(
            std::process::Command::new(&file).arg("parked").env("CORO_REDZONE", method).current_dir(&folder),
        )
        .asleep();
        let path = folder.join("made.core");
        // As it may be written, in a home of the test's own.
        let home = format!("python import os; os.environ['HOME'] = '{}'", folder.display());
        let make = format!("{command} ~/made.core");
        // Made while a coroutine is selected: it is the thread's registers that go into the core.
        coro(&debuggee.attach(), &[&home, "coro select reader", &make]);
        let said = coro(&["-c".as_ref(), path.as_os_str(), file.as_os_str()], &COMMANDS);
        if (method, command) != ("guard", "gcore") {
            check(&said, Tells::Locals);
        } else {
            assert!(row(said.block("coro list"), "reader").contains("read fd "), "{said}");
            // What is missing is said, and zeros are no registers.
            let missing =
                "\ncoro: the stacks of 5 coroutines are not in this core: `coro gcore` makes one with them";
            let asked = ["coro list", "coro group", "coro bt reader", "coro info reader"];
            let wanted = ["coro select reader", "coro apply reader io -- bt 1", "coro next"];
            let more =
                coro(&["-c".as_ref(), path.as_os_str(), file.as_os_str()], &[&asked[..], &wanted].concat());
            has(&more, "coro list", &[missing]);
            has(&more, "coro group", &[missing]);
            has(&more, "coro bt reader", &["\nits stack is not in this core: `coro gcore` makes one"]);
            has(&more, "coro info reader", &["registers     not to be had: its stack is not in this core"]);
            has(&more, wanted[0], &["coro: its stack is not in this core: "]);
            has(&more, wanted[1], &["'reader', parked:\nits stack is not in this core: ", "epoll"]);
            has(&more, wanted[2], &["coro: this is a core, which can't go on\n"]);
        }
        fs::remove_dir_all(folder).expect("a folder just made can be removed");
    }
}
