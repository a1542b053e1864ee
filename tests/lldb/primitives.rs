//! Locks, channels and the like as LLDB shows them, and what those wait for who want them.

use crate::support::Profile;
use crate::support::debuggee::Debuggee;
use crate::support::primitives::{SHOWN, WAITS, is_as, without_addresses};
use crate::support::program;
use crate::{coro, row};

/// Selects the frame that has them all.
const IN_SHOW: &str = "script t = lldb.debugger.GetSelectedTarget().process.GetSelectedThread(); \
     t.SetSelectedFrame(next((f.idx for f in t if 'primitives::show' in (f.name or '')), 0))";

/// A place as LLDB writes it: all are behind a reference, and the members of a tuple have names.
fn written(place: &str) -> String {
    let (first, rest) = place.split_once('.').expect("a member of something");
    let rest = rest.replace(".0", ".__0").replace(".1", ".__1");
    format!("frame variable {first}->{rest}")
}

#[test]
fn each_primitive_is_shown_as_what_it_is() {
    let file = program("primitives", Profile::Debug);
    let commands = ["coro select main", IN_SHOW, "coro list"].map(str::to_owned).into_iter();
    let commands: Vec<String> = commands.chain(SHOWN.iter().map(|(place, ..)| written(place))).collect();
    let debuggee = Debuggee::where_cores_go(&file, &[], &[]).asleep();
    let live = coro(&debuggee.attach(), &commands);
    let core = debuggee.kernel_core();
    let dead = coro(&["-c".as_ref(), core.path.as_os_str(), file.as_os_str()], &commands);
    for (said, is_live) in [(live, true), (dead, false)] {
        for (place, words, inside) in SHOWN {
            let block = said.block(&written(place));
            let (_, shown) = block.split_once(" = ").unwrap_or_else(|| panic!("{place}: {block}\n{said}"));
            let expected = match inside {
                Some(inside) => format!("{words} {{\n  value = {inside}\n}}\n"),
                None => format!("{words}\n"),
            };
            assert!(is_as(shown, &expected), "{place}, live: {is_live}: not `{expected}`\n{said}");
        }
        let list = without_addresses(said.block("coro list"));
        for (name, words) in WAITS {
            assert!(row(&list, name).contains(&format!(" {words}  ")), "{name}: not `{words}`\n{list}");
        }
    }
}
