//! A program that asks itself for a dump of its coroutines, by SIGQUIT: `quitting idle`, or `quitting hogs WORKERS`. It lives
//! on, and says `survived`; tests/quit.rs knows what is to be written.

#[path = "../support/events.rs"]
mod events;

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use coro::{Builder, CoroutineBuilder};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use events::waits_for_events;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["idle"] => idle(),
        ["hogs", workers] => hogs(workers.parse().unwrap()),
        _ => panic!("{arguments:?}?"),
    }
    println!("survived");
}

/// Asks itself for a dump while its worker sleeps, again and again, until the worker has woken before its next heartbeat. That is
/// a second after the last one; how long the dump takes then, which symbols are looked up for, is another matter.
fn idle() {
    let answers = Answers::caught();
    Builder::new()
        .dump_on_quit()
        .run(|| {
            let _sleeper = CoroutineBuilder::new().name("sleeper").spawn(|| coro::sleep(Duration::MAX));
            let beats = || coro::stats().unwrap().heartbeats;
            let has_woken_at_once = (0..20).any(|_| {
                let before = beats();
                while beats() == before {
                    coro::sleep(Duration::from_millis(1));
                }
                let answers = answers.clone();
                let (tell, told) = coro::sync::channel(1);
                // The worker has nothing to do until this one has read the answer.
                let asker = thread::spawn(move || {
                    while !worker_sleeps() {
                        thread::yield_now();
                    }
                    let asked = Instant::now();
                    // To this thread: it would end the worker's wait by itself.
                    send(libc::SIGQUIT);
                    while worker_sleeps() && !answers.are_there() {
                        thread::yield_now();
                    }
                    let slept_on = asked.elapsed();
                    answers.read_one();
                    tell.send(slept_on).unwrap();
                });
                let slept_on = told.recv().unwrap();
                asker.join().unwrap();
                slept_on < Duration::from_millis(500)
            });
            assert!(has_woken_at_once, "each of 20 dumps came with a heartbeat");
        })
        .unwrap();
    pass_on_the_rest(&answers);
}

/// Asks for a dump while coroutines that don't wait keep all workers.
fn hogs(workers: usize) {
    let answers = Answers::caught();
    Builder::new()
        .workers(workers)
        .dump_on_quit()
        .run(|| {
            let is_over = Arc::new(AtomicBool::new(false));
            let begun = Arc::new(Barrier::new(workers + 1));
            let hog = |is_over: &AtomicBool, begun: &Barrier| {
                begun.wait();
                while !is_over.load(SeqCst) {
                    std::hint::spin_loop();
                }
            };
            let asker = thread::spawn({
                let (is_over, begun, answers) = (is_over.clone(), begun.clone(), answers.clone());
                move || {
                    begun.wait();
                    send(libc::SIGQUIT);
                    answers.read_one();
                    is_over.store(true, SeqCst);
                }
            });
            let hogs: Vec<_> = (1..workers)
                .map(|_| {
                    let (is_over, begun) = (is_over.clone(), begun.clone());
                    CoroutineBuilder::new().name("hog").spawn(move || hog(&is_over, &begun)).unwrap()
                })
                .collect();
            // main is one, too.
            hog(&is_over, &begun);
            asker.join().unwrap();
            hogs.into_iter().for_each(|hog| hog.join().unwrap());
        })
        .unwrap();
    pass_on_the_rest(&answers);
}

/// What comes on standard error; it is passed on to whoever started the program.
#[derive(Clone)]
struct Answers {
    read: Arc<fs::File>,
    original: Arc<fs::File>,
}

impl Answers {
    fn caught() -> Answers {
        use std::os::fd::FromRawFd as _;
        let mut ends = [0; 2];
        // SAFETY: fresh descriptors, which become the two files' own.
        unsafe {
            let original = libc::dup(2);
            assert!(original >= 0 && libc::pipe(ends.as_mut_ptr()) == 0 && libc::dup2(ends[1], 2) == 2);
            libc::close(ends[1]);
            Answers {
                read: Arc::new(fs::File::from_raw_fd(ends[0])),
                original: Arc::new(fs::File::from_raw_fd(original)),
            }
        }
    }

    /// Whether there is something to read.
    fn are_there(&self) -> bool {
        poll(&mut [PollFd::new(self.read.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() > 0
    }

    /// Waits for a dump. Its writer writes it at once.
    fn read_one(&self) {
        let mut text = String::new();
        while !text.contains("SIGQUIT: all coroutines\n") {
            let mut bytes = [0; 4096];
            let length = (&*self.read).read(&mut bytes).unwrap();
            (&*self.original).write_all(&bytes[..length]).unwrap();
            text += &String::from_utf8_lossy(&bytes[..length]);
        }
    }
}

/// At the program's end.
fn pass_on_the_rest(answers: &Answers) {
    use std::os::fd::AsRawFd as _;
    // SAFETY: a descriptor of ours becomes standard error again, and the pipe has no other end any more.
    assert_eq!(unsafe { libc::dup2(answers.original.as_raw_fd(), 2) }, 2);
    std::io::copy(&mut &*answers.read, &mut &*answers.original).unwrap();
}

/// Whether the one worker waits for events: it is the process's first thread.
fn worker_sleeps() -> bool {
    waits_for_events(Path::new("/proc/self")).unwrap()
}

/// To this very thread.
fn send(signal: i32) {
    // SAFETY: a handler of the runtime's takes it.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), signal) };
}
