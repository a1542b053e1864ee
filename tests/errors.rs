//! Errors say their sentence wherever they are shown, and can go where errors are wanted.

use std::error::Error;
use std::io;
use std::time::Duration;

use coro::{Builder, JoinError, spawn, timeout};
use pretty_assertions::assert_eq;

/// What `fn main() -> Result<(), Box<dyn Error>>` prints.
#[test]
fn debug_form_is_the_sentence() {
    let refused = Builder::new().workers(0).run(|| ()).unwrap_err();
    assert!(refused.to_string().starts_with("a runtime with 0 workers was asked for; "), "{refused}");
    assert_eq!(format!("{refused:?}"), format!("Error({refused})"));
    let elapsed = timeout(Duration::ZERO, || ()).unwrap_err();
    assert!(elapsed.to_string().contains("outside a runtime"), "{elapsed}");
    assert_eq!(format!("{elapsed:?}"), format!("Elapsed({elapsed})"));
}

#[test]
fn join_error_goes_where_errors_of_all_threads_go() {
    fn joins() -> Result<(), Box<dyn Error + Send + Sync>> {
        let place = 7;
        spawn(move || panic!("at {place}")).join()?;
        Ok(())
    }
    coro::run(|| {
        let error = joins().unwrap_err();
        assert_eq!(error.to_string(), "the coroutine panicked: at 7");
        // From another thread, as whoever has it by reference may.
        let seen = std::thread::scope(|scope| scope.spawn(|| format!("{error:?}")).join().unwrap());
        assert_eq!(seen, "JoinError(the coroutine panicked: at 7)");
        let payload = error.downcast::<JoinError>().unwrap().try_into_panic().unwrap();
        assert_eq!(*payload.downcast::<String>().unwrap(), "at 7");
    })
    .unwrap();
}

#[test]
fn elapsed_is_an_io_error_that_timed_out() {
    fn reads() -> io::Result<()> {
        timeout(Duration::from_millis(1), || coro::sleep(Duration::from_secs(1000)))?;
        Ok(())
    }
    coro::run(|| {
        let error = reads().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().starts_with("the time limit of 1ms has passed"), "{error}");
    })
    .unwrap();
    assert_eq!(reads().unwrap_err().kind(), io::ErrorKind::Other, "outside a runtime");
}
