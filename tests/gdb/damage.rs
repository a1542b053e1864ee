//! A registry that was overwritten: each command says in a line what is wrong, or shows the rest; none
//! fails, hangs, or says more than a person would read.

use crate::coro;
use crate::support::Profile;
use crate::support::debuggee::Debuggee;

#[test]
fn damaged_registries_are_a_line_each() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let source = concat!("source ", env!("CARGO_MANIFEST_DIR"), "/tests/gdb/damage.py");
    let said = coro(&debuggee.attach(), &[source]);
    let block = said.block(source);
    let reports: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("KIND ")).collect();
    assert_eq!(reports.len(), 31 * 2 * 16, "kinds, values, commands: {said}");
    for report in &reports {
        for wrong in ["Traceback", "Error occurred", "Python", "scripts failed", "internal"] {
            assert!(!report.contains(wrong), "{report}");
        }
        let (_, rest) = report.split_once(": ").unwrap();
        let lines: usize = rest.split(' ').next().unwrap().parse().unwrap();
        assert!(lines <= 200, "{report}");
        // What says what is wrong is one line.
        assert!(!rest.contains("error: ") || lines == 1, "{report}");
    }
    // Of a header that is wrong there is nothing to show but that.
    for kind in ["magic", "own address", "major version", "size", "table count", "tables"] {
        for report in
            reports.iter().filter(|report| report.starts_with(kind) && report.contains(" coro list: "))
        {
            let (_, rest) = report.split_once(" coro list: ").unwrap();
            assert!(rest.starts_with("1 lines: ") && rest[10..].starts_with("error: coro: "), "{report}");
        }
    }
    // Of one record that is wrong, the others are there all the same.
    for kind in ["state", "saved sp", "saved pc", "link", "wait object", "parent", "spawn file", "name"] {
        for report in reports.iter().filter(|report| report.starts_with(&format!("{kind} 0x"))) {
            assert!(!report.contains(" coro list: ") || report.contains("main"), "{report}");
        }
    }
    assert!(block.ends_with("AFTER 7 coroutines: 6 parked, 1 running\n"), "all is as it was: {said}");
}
