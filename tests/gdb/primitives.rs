//! Locks, channels and the like as GDB prints them, and what those wait for who want them.

use crate::seen::frame_of;
use crate::support::Profile;
use crate::support::debuggee::Debuggee;
use crate::support::primitives::{SHOWN, WAITS, is_as, without_addresses};
use crate::support::program;
use crate::{coro, row};

#[test]
fn each_primitive_is_printed_as_what_it_is() {
    let file = program("primitives", Profile::Debug);
    let outputs: Vec<String> = SHOWN.iter().map(|(place, ..)| format!("output {place}")).collect();
    let mut commands = vec!["coro select main", frame_of!("show"), "coro list"];
    commands.extend(outputs.iter().map(String::as_str));
    let debuggee = Debuggee::where_cores_go(&file, &[], &[]).asleep();
    let live = coro(&debuggee.attach(), &commands);
    let core = debuggee.kernel_core();
    let dead = coro(&["-c".as_ref(), core.path.as_os_str(), file.as_os_str()], &commands);
    for (said, is_live) in [(live, true), (dead, false)] {
        for ((place, words, inside), output) in SHOWN.iter().zip(&outputs) {
            let expected = match inside {
                Some(inside) => format!("{words} = {{value = {inside}}}"),
                None => (*words).to_owned(),
            };
            // The age of a dead one is one of its last look at its clock: `>1.0 s`.
            assert!(
                is_as(said.block(output), &expected),
                "{place}, live: {is_live}: not `{expected}`\n{said}"
            );
        }
        let list = without_addresses(said.block("coro list"));
        for (name, words) in WAITS {
            assert!(row(&list, name).contains(&format!(" {words}  ")), "{name}: not `{words}`\n{list}");
        }
    }
}
