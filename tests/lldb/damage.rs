//! Registries that were overwritten: each command says what is wrong in one line, or what could be read; LLDB's own thread
//! list has the real threads at least, and nothing ends in a traceback.

use crate::support::Profile;
use crate::support::debuggee::Debuggee;
use crate::{coro, has};

const DAMAGE: &str = "command script import tests/scripts/lldb_damage.py";

#[test]
fn damage_is_said_in_a_line() {
    let debuggee = Debuggee::seen(Profile::Debug, "parked").asleep();
    let said = coro(&debuggee.attach(), &["coro list", DAMAGE, "coro bt 4", "detach"]);
    let whole = said.block(DAMAGE);
    // As many as there are kinds of damage, each in two ways; afterwards all is as it was.
    has(&said, DAMAGE, &["28 cases, 7 threads"]);
    let (cases, failing) = whole.split_once("FAILING thread list\n").expect("the last of them");
    assert!(failing.contains("tid = ") && !failing.contains("name = '#4 reader'"), "{failing}");
    assert!(
        failing
            .contains("error: coro: no coroutine is a thread, since the registry can't be read: on purpose"),
        "{failing}"
    );
    let cases: Vec<&str> = cases.split("CASE ").skip(1).collect();
    assert_eq!(cases.len(), 28);
    let mut refused = 0;
    for case in &cases {
        for said_of_one in case.split("SAID ").skip(1) {
            let (command, text) = said_of_one.split_once('\n').expect("a command");
            let text = text.trim_end_matches("END\n");
            assert!(!text.trim().is_empty(), "`{command}` says nothing: {case}");
            let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
            assert!(errors.len() <= 1, "`{command}`: {case}");
            refused += errors.len();
            if command == "thread list" {
                assert!(errors.is_empty() && text.contains("tid = "), "LLDB has lost its threads: {case}");
            }
            // What moves the cursor, or ends a line, is shown as an escape.
            assert!(!text.contains('\u{1b}'), "{case}");
        }
    }
    assert!(refused > 40, "{refused} commands were refused: is the damage done?\n{whole}");
    has(&said, "coro bt 4", &["coroutine #4 'reader', parked for ", "seen::read_request"]);
    let mut debuggee = debuggee.asleep();
    assert!(debuggee.lives(), "the program lives on");
}
