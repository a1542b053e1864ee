//! A program at work, to be stopped by a debugger at any moment.

use std::path::Path;
use std::process::Command;
use std::{env, thread};

use super::Transcript;
use super::debuggee::Debuggee;

/// A server and its clients, whose coroutines come, wait, wake each other and go: `main`, the demo.
pub(crate) struct Working(Debuggee);

impl Working {
    pub(crate) fn start(main: impl AsRef<Path>) -> Working {
        let mut command = Command::new(main.as_ref());
        command.args(["--addr", "127.0.0.1:0", "--rounds", "1000000", "-n", "20"]);
        let mut debuggee = Debuggee::start_unheard(&mut command);
        assert!(debuggee.line().contains("a server is embedded"));
        Working(debuggee)
    }

    /// Lets a debugger look at it, some times or as often as `CORO_ATTACHES` says: tests/long/gdb_attach.sh and
    /// tests/long/lldb_attach.sh do it often. `look` is given the options by which the debugger attaches. What it finds
    /// has to hold wherever the program was stopped; and each time the program works on afterwards.
    #[track_caller]
    pub(crate) fn look_at_any_moment(mut self, usual: u32, look: impl Fn(&[String; 2]) -> Transcript) {
        let attaches = env::var("CORO_ATTACHES").map_or(usual, |text| text.parse().expect("it is a number"));
        for attach in 1..=attaches {
            let before = self.processor_time();
            println!("{attach} of {attaches}");
            let said = look(&self.0.attach());
            assert!(self.0.lives(), "{said}");
            // It works on, which it shows by working.
            while self.processor_time() == before {
                thread::yield_now();
            }
        }
    }

    /// User and system time that the process has had, in the kernel's ticks.
    fn processor_time(&self) -> u64 {
        let stat = self.0.stat();
        let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name in brackets").1.split(' ').collect();
        fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
    }
}

/// What `coro list` says holds together: each state is a coroutine's, and one coroutine runs at most. One that is in
/// the middle of a switch is no error either; nobody else is without a state.
#[track_caller]
pub(crate) fn assert_listed(list: &str, said: &Transcript) {
    assert!(list.lines().last().is_some_and(|last| last.contains(" coroutines: ")), "{said}");
    assert!(list.matches("running on thread ").count() <= 1, "{said}");
    assert!(!list.contains(" lost ") && !list.contains(" state "), "{said}");
}
