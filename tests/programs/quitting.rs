//! A program that asks itself for a dump of its coroutines, by SIGQUIT: `quitting idle`, or `quitting hogs WORKERS`. It lives
//! on, and says `survived`; tests/quit.rs knows what is to be written.

use std::io::{Read as _, Write as _};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Barrier};
use std::{env, fs, thread};

use coro::{Builder, CoroutineBuilder};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["idle"] => idle(),
        ["hogs", workers] => hogs(workers.parse().unwrap()),
        _ => panic!("{arguments:?}?"),
    }
    println!("survived");
}

/// Asks itself for a dump while its worker sleeps, again and again, until one has come before the worker's next heartbeat.
fn idle() {
    let answers = Answers::caught();
    Builder::new()
        .dump_on_quit()
        .run(|| {
            let _sleeper =
                CoroutineBuilder::new().name("sleeper").spawn(|| coro::sleep(std::time::Duration::MAX));
            let beats = || coro::stats().unwrap().heartbeats;
            let dumped_at_once = (0..20).any(|_| {
                let before = beats();
                let answers = answers.clone();
                let (tell, told) = coro::sync::channel(1);
                // The worker has nothing to do until this one has read the answer.
                let asker = thread::spawn(move || {
                    wait_until_workers_sleep(1);
                    // To this thread: it would end the worker's wait by itself.
                    send(libc::SIGQUIT);
                    answers.read_one();
                    tell.send(()).unwrap();
                });
                told.recv().unwrap();
                asker.join().unwrap();
                beats() == before
            });
            assert!(dumped_at_once, "each of 20 dumps came with a heartbeat");
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

/// Waits until so many threads of the process wait for events.
fn wait_until_workers_sleep(count: usize) {
    let waits_for_events = |thread: fs::DirEntry| {
        let syscall = fs::read_to_string(thread.path().join("syscall")).unwrap_or_default();
        syscall.split(' ').next() == Some(&libc::SYS_epoll_pwait2.to_string())
    };
    let threads = || fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    while threads().map(waits_for_events).filter(|waits| *waits).count() < count {
        thread::yield_now();
    }
}

/// To this very thread.
fn send(signal: i32) {
    // SAFETY: a handler of the runtime's takes it.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), signal) };
}
