//! Pointers that go astray: into another coroutine's redzone, and into the stack of one that has ended. The crash report
//! names both sides, and the process dies of SIGSEGV.

use super::{Problem, hints, run_with_room_for, say};
use std::hint::black_box;
use std::ptr;
use std::time::Duration;

/// From an address in a coroutine that has just begun to the middle of its redzone.
const TO_REDZONE: usize = 220 << 10;

/// `main wild`.
pub(super) fn wild() -> Result<(), Problem> {
    run_with_room_for(8, || {
        say("a coroutine named culprit writes to the redzone of one named victim; SIGSEGV comes next");
        say(&hints::stray("wild"));
        let (tell, told) = coro::sync::channel(1);
        let _victim = spawn("victim", move || {
            let _ = tell.send(here());
            coro::sleep(Duration::MAX);
        })?;
        // One between them: the next one's redzone is what lies above the culprit's own stack.
        let _between = spawn("between", || coro::sleep(Duration::MAX))?;
        let culprit = spawn("culprit", move || {
            if let Ok(address) = told.recv() {
                write(address - TO_REDZONE);
            }
        })?;
        let _ = culprit.join();
        Err(Problem::new("nothing happened, which it should have"))
    })
}

/// `main stale`.
pub(super) fn stale() -> Result<(), Problem> {
    run_with_room_for(8, || {
        say(
            "a coroutine named culprit keeps a pointer into the stack of one named victim, which ends, and writes there",
        );
        say(&hints::stray("stale"));
        let culprit = spawn("culprit", || {
            let victim = coro::CoroutineBuilder::new().name("victim").spawn(here);
            if let Ok(Ok(address)) = victim.map(coro::JoinHandle::join) {
                write(address);
            }
        })?;
        let _ = culprit.join();
        Err(Problem::new(
            "nothing was noticed: stacks of coroutines that have ended are closed in debug builds only",
        ))
    })
}

/// An address on the stack of whoever calls.
#[inline(never)]
fn here() -> usize {
    let local = black_box(0_u8);
    ptr::from_ref(&local).addr()
}

#[inline(never)]
fn write(address: usize) {
    // SAFETY: it is not, and faults: that is what is to be seen. (What was the victim's stack is nobody's.)
    unsafe { ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<coro::JoinHandle<()>, Problem> {
    coro::CoroutineBuilder::new()
        .name(name)
        .spawn(body)
        .map_err(|error| Problem::new(format!("could not start coroutine {name}: {error}")))
}
