//! What is said when a coroutine's stack overflows, or a redzone is hit in another way.
//!
//! - [`handler`]: the signal, from its coming to the process's end
//! - [`classify`]: what a fault means
//! - [`trace`]: the frames, [`fold`]: their repeats, [`verdict`]: why the stack was not enough
//! - [`symbols`]: names and lines; [`who`]: coroutines; [`output`]: where the words go
//! - [`report`]: the stages of a report, [`sentences`]: what it says, [`frames`]: its backtrace
//! - [`stacks`]: the stacks on which this runs
//! - [`settings`]: whether and how
//!
//! A coroutine that overflows is often within malloc, whose lock it holds: so nothing here allocates, or takes a lock,
//! from the signal on.

mod classify;
mod fold;
mod frames;
mod handler;
mod output;
mod report;
mod sentences;
mod settings;
mod stacks;
mod symbols;
mod trace;
mod verdict;
mod who;

use std::os::fd::OwnedFd;
use std::sync::Arc;

pub(crate) use self::handler::{astray, is_telling};
pub use self::settings::CrashReport;
pub(crate) use self::stacks::ThreadStack;
use super::{files, modules};
use crate::error::{Error, Kind};

/// Makes crashes be told from now on, as they are asked for.
pub(crate) fn prepare(asked: CrashReport, also: Option<Arc<OwnedFd>>) -> Result<(), Error> {
    if settings::settle(asked, also)? == CrashReport::Off {
        return Ok(());
    }
    // AddressSanitizer says what is wrong itself, and instrumented code could not run in the handler.
    #[cfg(feature = "sanitize")]
    if crate::sys::asan::is_there() {
        return Ok(());
    }
    modules::capture();
    files::keep_program();
    stacks::prepare();
    handler::install().map_err(|source| Kind::System { tried: "handling SIGSEGV and SIGBUS", source }.into())
}
