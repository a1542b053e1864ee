//! What can't be done is refused by a sentence that says what was tried, and what to do; and nothing hangs. Where the
//! kernel is to refuse something, a child process meets its limits: tests/programs/limits.rs.

mod support;

use std::env;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{self, Ipv4Addr};
use std::os::unix::process::ExitStatusExt;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitStatus};
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use coro::net::{TcpListener, TcpStream};
use coro::{Builder, CoroutineBuilder, Policy, current, run, spawn};
use pretty_assertions::assert_eq;

use support::{Profile, program};

const ANYWHERE: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// All of `words` stand in `text`, in their order.
#[track_caller]
fn assert_says(text: impl ToString, words: &[&str]) {
    let text = text.to_string();
    let mut rest = text.as_str();
    for word in words {
        rest = rest.split_once(word).unwrap_or_else(|| panic!("{word:?} is missing in {text:?}")).1;
    }
}

/// What `f` panics with.
#[track_caller]
fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).err().expect("it has to panic");
    *payload.downcast::<String>().expect("a panic with a sentence")
}

#[test]
fn stack_sizes_from_one_byte_to_8_mib_are_possible() {
    const KIB: usize = 1 << 10;
    run(|| {
        for size in [1, 4 * KIB, 192 * KIB, 192 * KIB + 1, 1 << 20, 8 << 20] {
            // A kilobyte is the runtime's, and a debug build's frames are large.
            let room = size.max(64 * KIB) - 32 * KIB;
            let deep = CoroutineBuilder::new().stack_size(size).spawn(move || descend(room)).unwrap();
            assert!(deep.join().unwrap() >= room, "{size} bytes");
        }
        for size in [0, (8 << 20) + 1, usize::MAX] {
            let error = CoroutineBuilder::new().stack_size(size).spawn(|| ()).unwrap_err();
            assert_says(error, &[&format!("a stack of {size} bytes"), "sizes from 1 to 8388608 bytes"]);
        }
    })
    .unwrap();
}

/// Uses so much of the stack, and every page of it; returns how much.
fn descend(bytes: usize) -> usize {
    #[inline(never)]
    fn frame(top: usize, bytes: usize) -> usize {
        let here = black_box([0_u8; 256]);
        let depth = top - ptr::from_ref(&here).addr();
        if depth < bytes { frame(top, bytes) } else { depth }
    }
    let top = black_box(0_u8);
    frame(ptr::from_ref(&top).addr(), bytes)
}

#[test]
fn recursion_of_150_kib_fits_on_a_default_stack() {
    run(|| {
        let handles: Vec<_> = (0..50).map(|_| spawn(|| descend(150 << 10))).collect();
        handles.into_iter().for_each(|handle| assert!(handle.join().unwrap() >= 150 << 10));
    })
    .unwrap();
}

#[test]
fn runtime_inside_a_runtime_is_refused() {
    let refused = || run(|| unreachable!("it is not called")).unwrap_err().to_string();
    run(|| {
        for text in [refused(), spawn(refused).join().unwrap()] {
            assert_says(
                text,
                &["a runtime was started inside a runtime", "coro::spawn", "a thread of its own"],
            );
        }
    })
    .unwrap();
    assert_eq!(run(|| 1).unwrap(), 1);
}

#[test]
fn runtime_in_a_destructor_during_a_panic_is_refused() {
    struct RunsInDrop<'a>(&'a mut String);
    impl Drop for RunsInDrop<'_> {
        fn drop(&mut self) {
            *self.0 = run(|| unreachable!("it is not called")).unwrap_err().to_string();
        }
    }
    let mut said = String::new();
    let payload = catch_unwind(AssertUnwindSafe(|| {
        let _runs = RunsInDrop(&mut said);
        panic::resume_unwind(Box::new("the panic"));
    }));
    assert_eq!(payload.unwrap_err().downcast_ref(), Some(&"the panic"));
    assert_says(said, &["coro::run", "inside a destructor which runs because of a panic"]);
    assert_eq!(run(|| 1).unwrap(), 1);
}

#[test]
fn names_with_nul_are_refused() {
    run(|| {
        for name in ["\0", "a\0b", "ends\0"] {
            let error = CoroutineBuilder::new().name(name).spawn(|| ()).unwrap_err();
            assert_says(error, &["the coroutine name", &format!("{name:?}"), "NUL"]);
        }
    })
    .unwrap();
}

#[test]
fn names_are_cut_at_a_characters_end() {
    run(|| {
        let name_of = |name: &str| {
            let named =
                CoroutineBuilder::new().name(name).spawn(|| current().unwrap().name().map(str::to_owned));
            named.unwrap().join().unwrap()
        };
        let kept = |name: &str| name_of(name).unwrap();
        assert_eq!(name_of(""), None);
        assert_eq!(kept("short"), "short");
        assert_eq!(kept(&"x".repeat(32)), "x".repeat(32));
        assert_eq!(kept(&"x".repeat(33)), "x".repeat(32));
        assert_eq!(kept(&"x".repeat(100_000)), "x".repeat(32));
        assert_eq!(kept(&"é".repeat(20)), "é".repeat(16));
        assert_eq!(kept(&format!("a{}", "é".repeat(20))), format!("a{}", "é".repeat(15)));
        assert_eq!(kept(&"協程".repeat(9)), "協程".repeat(5));
        assert_eq!(kept(&"🧵".repeat(9)), "🧵".repeat(8));
        assert_eq!(kept(&format!("abc{}", "🧵".repeat(9))), format!("abc{}", "🧵".repeat(7)));
    })
    .unwrap();
}

const OUTSIDE: &str = "was called outside a runtime";

#[test]
fn what_needs_a_coroutine_says_so_outside_a_runtime() {
    coro::coroutine_local! {
        static LOCAL: u8 = 0;
    }
    let nap = Duration::from_millis(1);
    assert_says(
        CoroutineBuilder::new().spawn(|| ()).unwrap_err(),
        &["coro::spawn", OUTSIDE, "coro::run(|| ...)"],
    );
    assert_says(panic_of(|| spawn(|| ())), &["coro::spawn", OUTSIDE]);
    assert_says(panic_of(|| coro::sleep(nap)), &["coro::sleep", OUTSIDE]);
    assert_says(panic_of(|| coro::time::sleep_until(Instant::now() + nap)), &["coro::sleep", OUTSIDE]);
    assert_says(panic_of(|| coro::time::interval(nap).tick()), &["coro::sleep", OUTSIDE]);
    assert_says(panic_of(coro::yield_now), &["coro::yield_now", OUTSIDE]);
    assert_says(coro::defer(|| ()).unwrap_err(), &["coro::defer", OUTSIDE]);
    assert_says(coro::stats().unwrap_err(), &["coro::stats", OUTSIDE]);
    assert_says(coro::take_trace().unwrap_err(), &["coro::take_trace", OUTSIDE]);
    assert_says(
        LOCAL.try_with(|_| ()).unwrap_err(),
        &["a coroutine_local!", "outside a runtime", "coro::run"],
    );
    assert_says(panic_of(|| LOCAL.with(|_| ())), &["a coroutine_local!", "outside a runtime"]);
    assert!(current().is_none());
}

#[test]
fn sockets_say_so_outside_a_runtime_when_they_would_have_to_wait() {
    let listener = TcpListener::bind(ANYWHERE).unwrap();
    assert_says(listener.accept().unwrap_err(), &["an accept", OUTSIDE]);
    assert_says(TcpStream::connect(listener.local_addr().unwrap()).unwrap_err(), &["a connect", OUTSIDE]);
    let mut peer = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // The connection that was begun in vain above may be there as well, and this one may yet have to come.
    let own = peer.local_addr().unwrap();
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, address)) if address == own => break stream,
            Ok(_) => {}
            Err(_) => thread::yield_now(),
        }
    };
    assert_says(stream.read(&mut [0]).unwrap_err(), &["a read", OUTSIDE]);
    assert_says(stream.write_all(&vec![0; 64 << 20]).unwrap_err(), &["a write", OUTSIDE]);
    // What needs no wait works.
    peer.write_all(b"x").unwrap();
    while stream.peek(&mut [0]).is_err() {}
    assert_eq!(stream.read(&mut [0; 9]).unwrap(), 1);
}

#[test]
fn interval_of_zero_is_refused() {
    let text = catch_unwind(|| coro::time::interval(Duration::ZERO)).unwrap_err();
    assert_says(text.downcast_ref::<&str>().unwrap(), &["a period of zero"]);
}

#[test]
fn times_beyond_the_clock_are_far_away() {
    for longest in [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_secs(1 << 34)] {
        run(|| {
            let sleeper = spawn(move || coro::sleep(longest));
            let ticker = spawn(move || coro::time::interval(longest).tick());
            coro::sleep(Duration::from_millis(1));
            // main returns, and ends them.
            assert!(!sleeper.is_finished() && !ticker.is_finished(), "{longest:?}");
        })
        .unwrap();
    }
}

/// Runs the limits program; what it said, how it ended.
fn limits(redzone: Option<&str>, steps: &[&str]) -> (String, ExitStatus) {
    let profile = if cfg!(debug_assertions) { Profile::Debug } else { Profile::Release };
    let mut command = Command::new(program("limits", profile));
    command.args(steps).env_remove("CORO_REDZONE").envs(redzone.map(|method| ("CORO_REDZONE", method)));
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{steps:?}: {stderr}");
    (String::from_utf8(output.stdout).unwrap(), output.status)
}

/// The same, for what has to end well.
#[track_caller]
fn limits_ok(redzone: Option<&str>, steps: &[&str]) -> String {
    let (text, status) = limits(redzone, steps);
    assert!(status.success(), "{steps:?}: {status}: {text}");
    text
}

/// The methods that can be forced, with the one that the test's own environment asks for.
fn redzones() -> [Option<String>; 2] {
    [env::var("CORO_REDZONE").ok(), Some("mprotect".into())]
}

#[test]
fn capacities_of_zero_and_beyond_the_address_space_are_refused() {
    let text = limits_ok(None, &["run=0", "run=1000000000000", &format!("run={}", usize::MAX), "run=64"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_says(lines[0], &["error: a runtime for 0 coroutines", "at least 1"]);
    assert_says(
        lines[1],
        &["error: a runtime for 1000000000000 coroutines", "the address space", "at most", "lower"],
    );
    assert_says(lines[2], &["error", "the address space", "lower Builder::max_coroutines"]);
    assert_says(lines[3], &["sum 190, capacity 64"]);
}

#[test]
fn builder_that_contradicts_the_first_is_refused() {
    let text = limits_ok(None, &["run=100", "run=200", "run=100", "run"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_says(
        lines[1],
        &["error: a runtime for 200 coroutines", "laid out for 100", "the same max_coroutines"],
    );
    for line in [lines[0], lines[2], lines[3]] {
        assert_says(line, &["sum 190, capacity 100"]);
    }
    // In this process the first Builder asked for nothing, and got the usual.
    run(|| ()).unwrap();
    assert_says(
        Builder::new().max_coroutines(7).run(|| ()).unwrap_err(),
        &["for 7 coroutines", "laid out for"],
    );
}

#[test]
fn capacity_shrinks_by_itself_to_a_small_address_space() {
    for redzone in redzones() {
        let text = limits_ok(redzone.as_deref(), &["address-space=1024", "run"]);
        let capacity = text.split_once("capacity ").and_then(|(_, rest)| rest.split_once(',')).unwrap().0;
        assert!((64..4096).contains(&capacity.parse::<usize>().unwrap()), "{text}");
    }
}

/// Wherever it lies, it holds all stacks and the redzones behind the last ones, and leaves what lies beside it alone.
#[test]
fn region_may_lie_anywhere() {
    for pages in 1..=16 {
        for redzone in redzones() {
            let text = limits_ok(redzone.as_deref(), &[&format!("occupy={pages}")]);
            assert_says(text, &["100 alive, then: ", "8 alive, then: ", "ended: Ok", "untouched: true"]);
        }
    }
}

#[test]
fn capacity_that_was_asked_for_is_refused_in_a_small_address_space() {
    let text = limits_ok(None, &["address-space=1024", "run=100000", "run"]);
    assert_says(
        text,
        &["error: could not map the stack region", "MiB", "100000 coroutines", "ulimit -v", "\nsum 190"],
    );
}

#[test]
fn address_space_too_small_for_anything_is_an_error() {
    for mebibytes in [32, 64, 128] {
        let text = limits_ok(None, &[&format!("address-space={mebibytes}"), "run"]);
        assert_says(text, &["error: could not map the stack region", "Cannot allocate memory", "ulimit -v"]);
    }
}

#[test]
fn start_without_descriptors_names_the_limit() {
    for (files, tried) in [(3, "making a worker's eventfd"), (4, "making a worker's epoll set")] {
        let text = limits_ok(None, &[&format!("files={files}"), "run"]);
        assert_says(text, &["error:", tried, "Too many open files", "ulimit -n"]);
    }
}

#[test]
fn refused_large_mapping_is_an_error_or_less_capacity() {
    let text = limits_ok(None, &["deny=large-mmap:ENOMEM", "run=5000", "run"]);
    assert_says(
        text,
        &["error: could not map the stack region", "5000 coroutines", "Cannot allocate memory", "\nsum 190"],
    );
}

#[test]
fn redzones_fall_back_to_mprotect_where_guards_are_refused() {
    for errno in ["EINVAL", "EPERM"] {
        let deny = format!("deny=guard:{errno}");
        assert_says(limits_ok(None, &[&deny, "run"]), &["sum 190", "redzone by mprotect"]);
        let refused = limits_ok(Some("guard"), &[&deny, "run"]);
        assert_says(refused, &["error: MADV_GUARD_INSTALL", "CORO_REDZONE=guard", "6.13"]);
    }
    assert_says(limits_ok(Some("mprotect"), &["run"]), &["sum 190", "redzone by mprotect"]);
}

/// A class's first redzones are placed one, two, four, ... at a time: as many as one system call can.
#[test]
fn every_stack_has_its_redzone_also_where_many_at_once_are_refused() {
    let words = ["17 pages below each stack, or more", "ended: Ok"];
    for redzone in redzones() {
        assert_says(limits_ok(redzone.as_deref(), &["redzones"]), &words);
    }
    for errno in ["EINVAL", "EPERM"] {
        assert_says(limits_ok(None, &[&format!("deny=guards-at-once:{errno}"), "redzones"]), &words);
    }
}

#[test]
fn redzone_method_that_does_not_exist_is_refused() {
    assert_says(limits_ok(Some(""), &["run"]), &["sum 190, "]);
    for value in ["nonsense", "Guard"] {
        let text = limits_ok(Some(value), &["run"]);
        assert_says(
            text,
            &[&format!("error: the environment has CORO_REDZONE={value:?}"), "`guard`, `mprotect`"],
        );
    }
}

#[test]
fn start_that_fails_takes_no_address_space() {
    let text = limits_ok(Some("nonsense"), &["run", "run", "run", "size"]);
    assert_says(text, &["error: the environment has", "\n0 GiB of address space"]);
}

#[test]
fn refused_redzone_names_slot_and_redzone() {
    let words =
        ["error: could not place the redzone of slot", "68 KiB at 0x", "Cannot allocate", "vm.max_map_count"];
    let text = limits_ok(Some("mprotect"), &["deny=redzone:ENOMEM", "run"]);
    assert_says(text, &words);
    // Who was there before goes on.
    let text = limits_ok(Some("mprotect"), &["deny-while-running=redzone:ENOMEM"]);
    assert_says(text, &[&words[..], &["\nthe one before: 7\n", "ended: Ok"]].concat());
}

#[test]
fn too_many_mprotect_redzones_name_the_limit_and_leave_the_process_its_mappings() {
    let text = limits_ok(Some("mprotect"), &["fill"]);
    let refused = ["alive, then: no redzone for one more stack", "vm.max_map_count", "raise it", "6.13"];
    assert_says(
        text,
        &[&refused[..], &["a thread has summed up 67108864\n"], &refused, &["ended: Ok"]].concat(),
    );
}

#[test]
fn exhausted_class_is_an_error_until_somebody_ends() {
    for redzone in redzones() {
        let text = limits_ok(redzone.as_deref(), &["exhaust"]);
        let refused =
            "100 alive, then: all 100 stacks of class `default` are in use; wait for coroutines to end";
        let large = "18 alive, then: all 8 stacks of class `large` are in use";
        assert_says(text, &[refused, "raise Builder::max_coroutines", refused, large, "ended: Ok"]);
    }
}

#[test]
fn overflow_ends_in_the_redzone_by_a_segmentation_fault() {
    const SIGSEGV: i32 = 11;
    for (redzone, first) in [(None, None), (Some("mprotect"), None), (None, Some("deny=guard:EINVAL"))] {
        let steps: Vec<_> = first.into_iter().chain(["overflow"]).collect();
        let (text, status) = limits(redzone, &steps);
        assert_eq!(
            (text.as_str(), status.signal()),
            ("descending\n", Some(SIGSEGV)),
            "{redzone:?} {steps:?}"
        );
    }
}

#[test]
fn write_to_a_closed_connection_does_not_kill_a_process_with_the_default_sigpipe() {
    assert_eq!(limits_ok(None, &["default-sigpipe", "broken-pipe"]), "BrokenPipe\n");
}

#[test]
fn worker_counts_that_cannot_be_are_refused() {
    for count in [0, 257, usize::MAX] {
        let refused = Builder::new().workers(count).run(|| unreachable!("it can't start")).unwrap_err();
        assert_says(refused, &[&format!("{count} workers"), "Builder::workers takes 1 to 256"]);
    }
    let refused = Builder::new().workers(2).policy(Policy::Backtrack).run(|| unreachable!("it can't start"));
    assert_says(
        refused.unwrap_err(),
        &["Policy::Backtrack", "2 workers", "Builder::workers", "Policy::Fair"],
    );
    Builder::new().workers(1).policy(Policy::Backtrack).run(|| ()).unwrap();
}
