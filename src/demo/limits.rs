//! The process's limit of open files: each connection takes one file, an embedded server another.

use super::Problem;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files beside the sockets: standard streams, the event loop, listeners, what a library opens.
const OTHERS: u64 = 64;

/// Raises the soft limit so that `sockets` fit, as far as the hard limit allows.
pub(super) fn make_room_for_sockets(sockets: u64) -> Result<(), Problem> {
    let wanted = sockets.saturating_add(OTHERS);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)
        .map_err(|error| Problem::new(format!("could not read the limit of open files: {error}")))?;
    if wanted > hard {
        return Err(Problem::new(format!(
            "{sockets} sockets at once want {wanted} open files, but the hard limit is {hard}; \
             ask for fewer coroutines (-n), or raise it (ulimit -Hn, as root)"
        )));
    }
    if wanted > soft {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map_err(|error| {
            Problem::new(format!("could not raise the limit of open files to {wanted}: {error}"))
        })?;
    }
    Ok(())
}

/// Raises the soft limit as far as it goes: a server does not know how many will come.
pub(super) fn make_all_room_for_sockets() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Without it the server serves fewer at once; that is no reason not to start.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
