//! What a panic's report says of the coroutine, and where a debugger stops at it. The panic itself ends only its
//! coroutine.

use std::io::{self, Write};
use std::panic;
use std::ptr;
use std::sync::Once;

use crate::abi::record::Kind;
use crate::arch;
use crate::coroutine::{cancel, current};
use crate::debug::overview;
use crate::registry;

/// Puts a line before the panic hook's own report, for panics in user coroutines. Once per process; a hook which
/// the program sets later replaces it.
pub(super) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let running = current::running();
            if let Some(record) = running {
                // A cancel that was swallowed is no excuse for this one: locks are poisoned by it.
                cancel::finish(record);
                arch::panicking(ptr::from_ref(record).cast());
            }
            if let Some(record) = running.filter(|record| record.kind() == Kind::User) {
                let name = record.name().map_or(String::new(), |name| format!(" '{name}'"));
                // Not eprintln!, which panics when nobody reads stderr any more; and a panic in the hook aborts.
                let _ = writeln!(
                    io::stderr(),
                    "coroutine #{}{name}, spawned at {}{}, panicked:",
                    record.id(),
                    registry::spawn_site(record),
                    overview::ancestors(record)
                );
            }
            usual(info);
        }));
    });
}
