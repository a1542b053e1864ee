//! A process that meets its limits: `limits STEP...`. The steps are taken in order, and each says on stdout what came of
//! it. tests/bad_input.rs knows what should.
//!
//! A step narrows what the kernel gives (`address-space=MIB`, `files=COUNT`, `deny=CALL:ERRNO`, `default-sigpipe`),
//! or runs something (`run`, `run=CAPACITY`, `exhaust`, `fill`, `overflow`, ...): see `main`. What stands behind a step
//! `exec` is a program and its arguments, which takes this one's place.

#[path = "limits/filter.rs"]
mod filter;
#[path = "limits/threads.rs"]
mod threads;

use std::hint::black_box;
use std::io::Write;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;
use std::{env, fs, io, ptr, slice, thread};

use coro::net::{TcpListener, TcpStream};
use coro::sync::channel;
use coro::{Builder, CoroutineBuilder, JoinHandle, spawn, stats, yield_now};
use filter::deny;

/// Where the region is asked to lie.
const HINT: usize = 0x10_0000_0000;
const PAGE: usize = 4096;

fn main() {
    let mut steps = env::args().skip(1);
    while let Some(step) = steps.next() {
        let (what, value) = step.split_once('=').unwrap_or((&step, ""));
        match what {
            "address-space" => limit(libc::RLIMIT_AS, value.parse::<u64>().unwrap() << 20),
            "files" => limit(libc::RLIMIT_NOFILE, value.parse().unwrap()),
            "deny" => deny(value),
            "default-sigpipe" => default_sigpipe(),
            "occupy" => occupy(value.parse().unwrap()),
            "run" => run(value.parse().ok()),
            "size" => size(),
            "exhaust" => exhaust(),
            "fill" => fill(),
            "deny-while-running" => deny_while_running(value),
            "overflow" => overflow(),
            "redzones" => redzones(),
            "broken-pipe" => broken_pipe(),
            "refuse-threads-from" => threads::refuse_from(value.parse().unwrap()),
            "workers" => threads::workers(value.parse().unwrap()),
            "refused-workers" => threads::refused_workers(value.parse().unwrap()),
            "offload" => threads::offload(),
            "no-proc" => no_proc(),
            "exit" => end(|| std::process::exit(3)),
            "abort" => end(|| std::process::abort()),
            "exec" => {
                let error = Command::new(steps.next().unwrap()).args(steps).exec();
                panic!("{value}: {error}");
            }
            _ => panic!("{step}?"),
        }
    }
}

fn builder(capacity: Option<usize>) -> Builder {
    capacity.map_or(Builder::new(), |capacity| Builder::new().max_coroutines(capacity))
}

/// Starts a runtime, and uses it.
fn run(capacity: Option<usize>) {
    let result = builder(capacity).run(|| {
        let handles: Vec<_> = (0..20).map(|n| spawn(move || n)).collect();
        let sum: i32 = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
        let redzone = spawn(redzone).join().unwrap();
        println!("sum {sum}, capacity {}, redzone by {redzone}", stats().unwrap().capacity);
    });
    if let Err(error) = result {
        println!("error: {error}");
    }
}

/// How much address space the process takes.
fn size() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmSize:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("{} GiB of address space", kib >> 20);
}

/// How the redzone of the running coroutine's stack was made: `mprotect` shows in the process's mappings.
fn redzone() -> &'static str {
    let here = black_box(0_u8);
    let here = ptr::from_ref(&here).addr();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mappings = maps.lines().map(|line| {
        let address = |text| usize::from_str_radix(text, 16).unwrap();
        let (range, rest) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        (address(start), address(end), rest.starts_with("---p"))
    });
    let mut closed_until = 0;
    for (start, end, is_closed) in mappings {
        if (start..end).contains(&here) {
            return if closed_until == start { "mprotect" } else { "guard" };
        }
        closed_until = if is_closed { end } else { 0 };
    }
    "nothing"
}

/// Coroutines that wait until they are let go.
struct Crowd {
    go: coro::sync::Sender<()>,
    waiting: std::sync::Arc<coro::sync::Receiver<()>>,
    members: Vec<JoinHandle<bool>>,
}

impl Crowd {
    fn new() -> Crowd {
        let (go, waiting) = channel(1);
        Crowd { go, waiting: waiting.into(), members: Vec::new() }
    }

    /// Adds members until there can't be another one, and says why.
    fn grow(&mut self, stack_size: usize) {
        let error = loop {
            let waiting = self.waiting.clone();
            match CoroutineBuilder::new().stack_size(stack_size).spawn(move || waiting.recv().is_ok()) {
                Ok(member) => self.members.push(member),
                Err(error) => break error,
            }
        };
        println!("{} alive, then: {error}", self.members.len());
    }

    /// Lets some go.
    fn shrink(&mut self, count: usize) {
        (0..count).for_each(|_| self.go.send(()).unwrap());
        // Whom a value wakes is not told beforehand.
        while self.members.iter().filter(|member| member.is_finished()).count() < count {
            yield_now();
        }
        self.members.retain(|member| !member.is_finished());
    }
}

/// All stacks of both classes, some of them given back, and all again.
fn exhaust() {
    let result = builder(Some(100)).run(|| {
        let mut crowd = Crowd::new();
        crowd.grow(1);
        crowd.shrink(10);
        crowd.grow(1);
        crowd.shrink(90);
        crowd.grow(8 << 20);
    });
    println!("ended: {result:?}");
}

/// As many coroutines as there can be; then what else a process needs mappings for still works.
fn fill() {
    leave_mappings(60_000);
    let result = builder(None).run(|| {
        let mut crowd = Crowd::new();
        crowd.grow(1);
        let large =
            thread::spawn(|| vec![1_u8; 64 << 20].iter().map(|byte| usize::from(*byte)).sum::<usize>());
        println!("a thread has summed up {}", large.join().unwrap());
        crowd.shrink(100);
        crowd.grow(1);
    });
    println!("ended: {result:?}");
}

/// Uses up all mappings that the kernel gives a process but for so many: some distributions give a million, and each redzone
/// costs a stack besides.
fn leave_mappings(count: usize) {
    let most: usize = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    let used = most.saturating_sub(count);
    // SAFETY: a mapping of its own, which nobody reads.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            used * PAGE,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert!(used == 0 || start != libc::MAP_FAILED);
    // Every second page is a mapping, and so is what lies between.
    for page in (1..used).step_by(2) {
        // SAFETY: in the mapping above, of which nothing is read or written.
        let result = unsafe { libc::mprotect(start.wrapping_byte_add(page * PAGE), PAGE, libc::PROT_READ) };
        assert_eq!(result, 0);
    }
}

fn deny_while_running(call: &str) {
    let result = builder(None).run(|| {
        let (go, wait) = channel(1);
        let before = spawn(move || wait.recv().unwrap());
        yield_now();
        deny(call);
        match CoroutineBuilder::new().spawn(|| ()) {
            Ok(handle) => println!("spawned: {:?}", handle.join()),
            Err(error) => println!("error: {error}"),
        }
        go.send(7).unwrap();
        println!("the one before: {}", before.join().unwrap());
    });
    println!("ended: {result:?}");
}

fn overflow() {
    limit(libc::RLIMIT_CORE, 0);
    #[inline(never)]
    fn descend(depth: usize) -> usize {
        let frame = black_box([depth as u8; 512]);
        if black_box(false) { 0 } else { descend(depth + 1) + usize::from(frame[depth % 512]) }
    }
    println!("descending");
    let result = builder(None).run(|| spawn(|| descend(black_box(0))).join());
    println!("came back: {result:?}");
}

/// How many pages below each of a hundred stacks can't be touched, while all of them are in use.
fn redzones() {
    let look = || {
        let pages = closed_pages_below();
        yield_now();
        pages
    };
    let result = builder(None).run(|| {
        let crowd: Vec<_> = (0..100).map(|_| spawn(look)).collect();
        let pages = crowd.into_iter().map(|member| member.join().unwrap());
        println!("{} pages below each stack, or more", pages.min().unwrap());
    });
    println!("ended: {result:?}");
}

/// The pages below the running stack, as far as none of them can be read.
fn closed_pages_below() -> usize {
    const STACK: usize = 192 << 10;
    let here = black_box(0_u8);
    let page = ptr::from_ref(&here).addr() & !(PAGE - 1);
    let limit = (page - STACK..page).step_by(PAGE).rev().find(|page| !is_readable(*page));
    let below = (0..limit.unwrap_or(0)).step_by(PAGE).rev();
    limit.map_or(0, |_| 1 + below.take_while(|page| !is_readable(*page)).count())
}

/// Whether the kernel can read a byte, which is no fault if it can't.
fn is_readable(address: usize) -> bool {
    let mut byte = 0_u8;
    let to = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let from = libc::iovec { iov_base: ptr::with_exposed_provenance_mut(address), iov_len: 1 };
    // SAFETY: it writes to the one byte.
    unsafe { libc::process_vm_readv(libc::getpid(), &raw const to, 1, &raw const from, 1, 0) == 1 }
}

fn broken_pipe() {
    builder(None)
        .run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            println!("{:?}", client.write(b"x").unwrap_err().kind());
        })
        .unwrap();
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: the kernel reads the structure, and a limit is no threat to memory.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const limit) }, 0);
}

/// Takes the place where the region is asked to lie, runs `exhaust`, and looks whether what was taken besides is as it was:
/// so many pages, below which the kernel then puts the region.
fn occupy(pages: usize) {
    let map = |hint: usize, length| {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: it replaces no mapping.
        let start =
            unsafe { libc::mmap(ptr::without_provenance_mut(hint), length, protection, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        start.cast::<u8>()
    };
    assert_eq!(map(HINT, PAGE).addr(), HINT);
    // SAFETY: mapped, ours, never unmapped.
    let occupied = unsafe { slice::from_raw_parts_mut(map(0, pages * PAGE), pages * PAGE) };
    occupied.fill(7);
    exhaust();
    println!("untouched: {}", occupied.iter().all(|byte| *byte == 7));
}

fn default_sigpipe() {
    // SAFETY: no handler runs by it.
    assert_ne!(unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) }, libc::SIG_ERR);
}

/// From now on this process sees an empty folder in place of /proc, and nobody else does. Who may not mount anything may in a
/// user namespace of its own, where the system allows these.
fn no_proc() {
    // SAFETY: this process has one thread, and none of its memory is shared.
    let is_alone = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0 || libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) == 0
    };
    let mount = |kind: *const libc::c_char, target: *const libc::c_char, flags| {
        // SAFETY: the texts end with a NUL.
        unsafe { libc::mount(c"none".as_ptr(), target, kind, flags, ptr::null()) == 0 }
    };
    let is_mounted = is_alone
        && mount(ptr::null(), c"/".as_ptr(), libc::MS_REC | libc::MS_PRIVATE)
        && mount(c"tmpfs".as_ptr(), c"/proc".as_ptr(), 0);
    let error = io::Error::last_os_error();
    assert!(
        is_mounted,
        "/proc can't be hidden ({error}): run the tests as root, or where there are user namespaces"
    );
    assert!(!fs::exists("/proc/self").unwrap());
}

/// The process is ended by a coroutine while others wait, and while the first worker is kept by main: so by the second one.
fn end(f: fn()) {
    let result = Builder::new().workers(2).run(|| {
        for _ in 0..10 {
            spawn(|| coro::sleep(Duration::MAX));
        }
        spawn(f);
        loop {
            thread::park();
        }
    });
    let () = result.unwrap();
}
