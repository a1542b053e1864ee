//! What happens outside the runtime, and a coroutine waits for: blocking code, futures, descriptors, signals, processes.

#[path = "support/runtimes.rs"]
mod runtimes;

use std::env;
use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use coro::{offload, process, signal, sleep, spawn, timeout, wait, wait_readable, wait_writable, yield_now};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::wait::{WaitPidFlag, waitpid};
use pretty_assertions::assert_eq;

use runtimes::{Counted, everywhere, under_both, wait_until_parked};

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(1_000_000);

#[test]
fn offloaded_code_blocks_a_thread_and_nobody_else() {
    everywhere(|| {
        let (sender, receiver) = mpsc::channel();
        let blocked = spawn(move || offload(move || receiver.recv().unwrap()));
        (0..3).for_each(|_| yield_now());
        sleep(SHORT);
        assert!(!blocked.is_finished());
        sender.send(7).unwrap();
        assert_eq!(blocked.join().unwrap(), 7);
    });
    assert_eq!(offload(|| 3), 3, "outside a runtime it is simply called");
}

#[test]
fn many_jobs_at_once_each_give_their_own_value() {
    everywhere(|| {
        let jobs: Vec<_> = (0..300)
            .map(|n| {
                spawn(move || {
                    offload(move || {
                        thread::sleep(Duration::from_micros(n % 7 * 100));
                        n
                    })
                })
            })
            .collect();
        for (n, job) in (0..).zip(jobs) {
            assert_eq!(job.join().unwrap(), n);
        }
    });
}

#[test]
fn panic_of_a_job_is_the_callers() {
    everywhere(|| {
        let failing: coro::JoinHandle<()> = spawn(|| offload(|| resume_unwind(Box::new(9_u8))));
        let payload = failing.join().unwrap_err().try_into_panic().unwrap();
        assert_eq!(payload.downcast_ref(), Some(&9_u8));
    });
}

#[test]
fn cancelled_caller_leaves_the_job_behind_and_its_values_are_dropped_once() {
    everywhere(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (go_on, wait_here) = mpsc::channel::<()>();
        let (own, result) = (Counted(dropped.clone()), Counted(dropped.clone()));
        let (has_begun, begun) = mpsc::channel();
        let caller = spawn(move || {
            drop(offload(move || {
                let _own = own;
                has_begun.send(()).unwrap();
                let _ = wait_here.recv();
                result
            }));
        });
        while begun.try_recv().is_err() {
            yield_now();
        }
        caller.cancel().unwrap();
        assert!(caller.join().unwrap_err().is_cancelled());
        assert_eq!(dropped.load(SeqCst), 0, "it is at work");
        drop(go_on);
        while dropped.load(SeqCst) < 2 {
            sleep(SHORT);
        }
        let (go_on, wait_here) = mpsc::channel::<()>();
        assert!(timeout(SHORT, || offload(move || wait_here.recv())).is_err());
        drop(go_on);
    });
}

/// Offloads in its destructor.
struct Offloads(Arc<AtomicU32>);

impl Drop for Offloads {
    fn drop(&mut self) {
        let count = self.0.clone();
        offload(move || {
            thread::sleep(SHORT);
            count.fetch_add(1, SeqCst)
        });
    }
}

#[test]
fn offload_in_a_destructor_during_a_panic_waits_in_place() {
    everywhere(|| {
        let count = Arc::new(AtomicU32::new(0));
        let value = Offloads(count.clone());
        let failing: coro::JoinHandle<()> = spawn(move || {
            let _value = value;
            resume_unwind(Box::new(()))
        });
        assert!(failing.join().unwrap_err().is_panic());
        assert_eq!(count.load(SeqCst), 1);
    });
}

/// A future that is ready when another thread has said so.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<(Option<u32>, Option<Waker>)>>);

impl Said {
    fn say(&self, value: u32) {
        let mut inner = self.0.lock().unwrap();
        inner.0 = Some(value);
        if let Some(waker) = inner.1.take() {
            drop(inner);
            waker.wake();
        }
    }
}

impl Future for Said {
    type Output = u32;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u32> {
        let mut inner = self.0.lock().unwrap();
        match inner.0 {
            Some(value) => Poll::Ready(value),
            None => {
                inner.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[test]
fn future_is_driven_by_wakes_from_anywhere() {
    everywhere(|| {
        let said = [(); 3].map(|()| Said::default());
        let [one, two, three] = said.clone();
        let sum = spawn(move || wait(async move { one.await + two.await + three.await }));
        (0..3).for_each(|_| yield_now());
        said[0].say(1);
        let second = said[1].clone();
        thread::spawn(move || second.say(2)).join().unwrap();
        let third = said[2].clone();
        spawn(move || third.say(3));
        assert_eq!(sum.join().unwrap(), 6);
    });
    let said = Said::default();
    let waiting = thread::spawn({
        let said = said.clone();
        move || wait(said)
    });
    said.say(4);
    assert_eq!(waiting.join().unwrap(), 4, "on a plain thread, too");
}

#[test]
fn future_of_a_cancelled_coroutine_is_dropped() {
    everywhere(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let value = Counted(dropped.clone());
        let never = Said::default();
        let waiting = spawn(move || {
            wait(async move {
                let _value = value;
                never.await
            })
        });
        (0..3).for_each(|_| yield_now());
        waiting.cancel().unwrap();
        assert!(waiting.join().unwrap_err().is_cancelled());
        assert_eq!(dropped.load(SeqCst), 1);
    });
}

#[test]
fn descriptors_of_others_can_be_waited_for_both_ways_with_a_timeout() {
    everywhere(|| {
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let late = wait_readable(&reader, Some(SHORT)).unwrap_err();
        assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
        wait_writable(&writer, None).unwrap();
        let reading = spawn(move || {
            wait_readable(&reader, None).unwrap();
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            (byte, reader)
        });
        (0..3).for_each(|_| yield_now());
        writer.write_all(b"x").unwrap();
        let (byte, reader) = reading.join().unwrap();
        assert_eq!(byte, *b"x");
        let waiting = spawn(move || wait_readable(&reader, None));
        (0..3).for_each(|_| yield_now());
        waiting.cancel().unwrap();
        assert!(waiting.join().unwrap_err().is_cancelled());
        drop(writer);
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let said = wait_readable(&file, None).unwrap_err().to_string();
        assert!(said.contains("cannot wait for descriptor") && said.contains("always ready"), "{said}");
    });
    let said = wait_readable(&std::io::stdin().as_fd(), None).unwrap_err().to_string();
    assert!(said.contains("outside a runtime"), "{said}");
}

/// The kernel would tell of it only once.
#[test]
fn descriptor_that_is_waited_for_is_an_error_to_a_second_one_and_the_first_goes_on() {
    const SAID: &str = "somebody waits for it already, or a type of coro::net has it";
    under_both(|| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reader = Arc::new(reader);
        let first = reader.clone();
        let first = spawn(move || wait_readable(&*first, None));
        wait_until_parked("read", 1);
        for second in [wait_readable(&*reader, None), wait_writable(&*reader, None)] {
            let said = second.unwrap_err().to_string();
            assert!(said.contains("cannot wait for descriptor") && said.contains(SAID), "{said}");
        }
        writer.write_all(b"x").unwrap();
        first.join().unwrap().unwrap();
        wait_readable(&*reader, None).unwrap();

        let (stream, mut peer) = coro::net::UnixStream::pair().unwrap();
        let stream = Arc::new(stream);
        let reading = stream.clone();
        let reading = spawn(move || (&*reading).read(&mut [0; 9]));
        wait_until_parked("read", 1);
        let said = wait_readable(&*stream, None).unwrap_err().to_string();
        assert!(said.contains(SAID), "{said}");
        peer.write_all(b"yz").unwrap();
        assert_eq!(reading.join().unwrap().unwrap(), 2);
    });
}

/// The file is closed under who waits for it, and with it goes the kernel's entry: there is none to be removed in the end.
#[test]
fn number_that_became_another_files_can_be_waited_for_again() {
    everywhere(|| {
        let (reader, _writer) = std::io::pipe().unwrap();
        let (other, mut writer) = std::io::pipe().unwrap();
        let reader = Arc::new(reader);
        let waiting = reader.clone();
        let waiting = spawn(move || wait_readable(&*waiting, None));
        wait_until_parked("read", 1);
        // SAFETY: both are open, and each number stays its owner's.
        let number = unsafe { libc::dup2(other.as_raw_fd(), reader.as_raw_fd()) };
        assert_eq!(number, reader.as_raw_fd());
        waiting.cancel().unwrap();
        assert!(waiting.join().unwrap_err().is_cancelled());
        let again = reader.clone();
        let again = spawn(move || wait_readable(&*again, None));
        wait_until_parked("read", 1);
        writer.write_all(b"x").unwrap();
        again.join().unwrap().unwrap();
    });
}

#[test]
fn signals_come_as_events_to_all_who_listen() {
    everywhere(|| {
        let listeners: Vec<_> = (0..3)
            .map(|_| {
                let mut signals = signal::listen(&[libc::SIGUSR1, libc::SIGUSR2]).unwrap();
                spawn(move || {
                    let mut got = [signals.wait().unwrap(), signals.wait().unwrap()];
                    got.sort();
                    got
                })
            })
            .collect();
        (0..3).for_each(|_| yield_now());
        for number in [libc::SIGUSR1, libc::SIGUSR2] {
            // SAFETY: both have handlers.
            thread::spawn(move || unsafe { libc::raise(number) }).join().unwrap();
        }
        for listener in listeners {
            assert_eq!(listener.join().unwrap(), [libc::SIGUSR1, libc::SIGUSR2]);
        }
    });
}

#[test]
fn what_is_no_signal_to_listen_for_is_named_and_leaves_no_handler_behind() {
    for (bad, why) in [
        (libc::SIGKILL, "no handler"),
        (libc::SIGSEGV, "can't be an event"),
        (32, "libc's own"),
        (33, "libc's own"),
        (0, "no such signal"),
        (-1, "no such signal"),
        (65, "no such signal"),
    ] {
        let error = signal::listen(&[libc::SIGTTIN, bad]).unwrap_err().to_string();
        assert!(error.contains(&format!("signal {bad}: ")) && error.contains(why), "{error}");
    }
    // SAFETY: all zero is an action, and only read is what is done.
    let action = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(libc::SIGTTIN, std::ptr::null(), &raw mut action), 0);
        action.sa_sigaction
    };
    assert_eq!(action, libc::SIG_DFL);
    signal::listen(&[libc::SIGRTMIN(), 64]).unwrap();
}

#[test]
fn who_waits_for_signals_can_be_cancelled_and_the_place_is_used_again() {
    everywhere(|| {
        for _ in 0..100 {
            let mut signals = signal::listen(&[libc::SIGWINCH]).unwrap();
            let waiting = spawn(move || signals.wait());
            (0..2).for_each(|_| yield_now());
            waiting.cancel().unwrap();
            assert!(waiting.join().unwrap_err().is_cancelled());
        }
    });
}

#[test]
fn child_process_is_waited_for_while_others_run() {
    everywhere(|| {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).stdin(Stdio::piped());
            process::spawn(&mut command).unwrap()
        };
        let waiting: Vec<_> = (0..5)
            .map(|code| {
                let mut child = shell(&format!("read line; exit {code}"));
                spawn(move || child.wait().unwrap().code())
            })
            .collect();
        for (code, waiting) in (0..).zip(waiting) {
            assert_eq!(waiting.join().unwrap(), Some(code));
        }
        // Standard input is open until the child is dropped, also by a failure.
        let mut stubborn = shell("read line");
        let late = stubborn.wait_timeout(SHORT).unwrap_err();
        assert!(
            late.kind() == std::io::ErrorKind::TimedOut
                && late.to_string() == format!("child process {} did not end within 2ms", stubborn.id()),
            "{late}"
        );
        assert!(timeout(SHORT, || stubborn.wait_timeout(LONG)).is_err());
        stubborn.kill().unwrap();
        assert!(!stubborn.wait().unwrap().success());
        assert!(!stubborn.wait().unwrap().success(), "it is remembered");
    });
}

/// In a process of its own: its limit of descriptors is that of what is open.
#[test]
fn child_process_without_a_descriptor_for_it_is_not_left_behind() {
    const CHILD: &str = "CORO_TEST_CHILD";
    if env::var_os(CHILD).is_none() {
        let name = "child_process_without_a_descriptor_for_it_is_not_left_behind";
        let mut again = Command::new(env::current_exe().unwrap());
        let output = again.args(["--exact", name, "--test-threads=1"]).env(CHILD, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    coro::run(|| {
        let next = File::open("/dev/null").unwrap().as_raw_fd() as u64;
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, next, hard).unwrap();
        let error = process::spawn(Command::new("sleep").arg("1000")).unwrap_err();
        assert!(error.to_string().starts_with("cannot get a descriptor of child process "), "{error}");
        assert_eq!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Err(Errno::ECHILD));
    })
    .unwrap();
}
