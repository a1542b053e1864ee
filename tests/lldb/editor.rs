//! What an editor sees through lldb-dap: coroutines in its call-stack pane, with stacks and variables, and steps that stay.

use std::ffi::OsStr;
use std::process::Command;

use crate::support::debuggee::Debuggee;
use crate::support::{Profile, line_of, lldb_dap_name, program};
use crate::{RELAY, script};

/// Runs tests/scripts/dap_scenario.py; what it has seen, a line each.
#[track_caller]
fn seen_by_editor(arguments: &[impl AsRef<OsStr>]) -> Vec<String> {
    let output = Command::new("python3")
        .arg(script("dap_scenario.py"))
        .arg(lldb_dap_name())
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|error| panic!("python3 does not start ({error}): tests/install.sh installs it"));
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("Traceback"), "{said}\n{wrong}");
    said.lines().map(str::to_owned).collect()
}

#[track_caller]
fn has(lines: &[String], texts: &[&str]) {
    for text in texts {
        assert!(lines.iter().any(|line| line.contains(text)), "nothing says `{text}`:\n{}", lines.join("\n"));
    }
}

const THREADS: [&str; 5] = [
    "thread #1 main, parked ",
    "thread #4 reader, parked ",
    ": read fd ",
    " held by #5 'owner'",
    ": join #5 'owner'",
];
const STACK: [&str; 4] =
    ["frame seen::wait_for_bytes", "frame seen::read_request", "variable secret 42", "variable number 21"];

#[test]
fn attached() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let file = program("seen", Profile::Debug);
    let pid = debuggee.pid();
    let lines = seen_by_editor(&["attach".as_ref(), OsStr::new(&pid), file.as_os_str()]);
    has(&lines, &THREADS);
    has(&lines, &STACK);
    // It has let go of the program, which lives.
    let mut debuggee = debuggee.asleep();
    assert!(debuggee.lives());
}

#[test]
fn core() {
    let file = program("seen", Profile::Debug);
    let core = Debuggee::where_cores_go(&file, &["parked"], &[]).asleep().kernel_core();
    let lines = seen_by_editor(&["core".as_ref(), core.path.as_os_str(), file.as_os_str()]);
    has(&lines, &THREADS);
    has(&lines, &STACK);
    has(&lines, &["stopped exception #2 io"]);
}

#[test]
fn step_over_a_yield_stays_in_the_coroutine() {
    let file = program("relay", Profile::Debug);
    let line = line_of(RELAY, "BEFORE").to_string();
    let lines = seen_by_editor(&["launch".as_ref(), file.as_os_str(), OsStr::new(&line)]);
    has(&lines, &["stopped breakpoint #4 runner 0", "thread #5 runner 1, ready ", "thread #1 main, parked "]);
    let steps: Vec<&String> = lines.iter().filter(|line| line.starts_with("step ")).collect();
    assert_eq!(steps.len(), 6);
    assert!(steps.iter().all(|step| step.starts_with("step step the same ")), "{steps:?}");
    for marker in ["YIELD", "AFTER", "BEFORE"] {
        let at = format!(" {}", line_of(RELAY, marker));
        assert!(steps.iter().any(|step| step.ends_with(&at)), "{marker}: {steps:?}");
    }
    // The second round of the same coroutine.
    has(&lines, &["variable me 0", "variable round 1"]);
}
