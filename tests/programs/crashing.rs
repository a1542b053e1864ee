//! A process that crashes: `crashing CASE [ARGUMENT...]`. It first says that it has started; tests/crash.rs knows what is
//! to be said then.

#[path = "crashing/blinded.rs"]
mod blinded;
#[path = "crashing/handlers.rs"]
mod handlers;

use std::hint::black_box;
use std::ptr;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Barrier};
use std::{env, fs, mem, thread};

use coro::{Builder, CoroutineBuilder, spawn};

/// How deep the recursion was, in memory that outlives the process.
static DEPTH: AtomicPtr<u64> = AtomicPtr::new(ptr::null_mut());

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let most = if env::var_os("CORE").is_some() { libc::RLIM_INFINITY } else { 0 };
    // SAFETY: a limit is no threat to memory.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: most, rlim_max: most }) };
    if let Ok(path) = env::var("DEPTH_FILE") {
        share_depth(&path);
    }
    println!("started");
    happen(&arguments);
    println!("survived");
}

fn happen(arguments: &[&str]) {
    match arguments[..] {
        ["overflow", name, frame, before] => overflow(name, frame, before.parse().unwrap()),
        ["overflow", name, frame, before, place] => {
            let (worker, workers) = place.split_once(" of ").unwrap();
            let place = (worker.parse().unwrap(), workers.parse().unwrap());
            overflow_on(place, name, frame, before.parse().unwrap());
        }
        ["sized", kib] => sized(kib.parse().unwrap()),
        ["malloc", before] => {
            let before = before.to_owned();
            in_a_coroutine(move || allocate_deeply(&before));
        }
        ["large-c-frame"] => in_a_coroutine(jump_over_the_redzone),
        ["gives-way-below"] => in_a_coroutine(|| give_way_on(own_stack().1 - BELOW_A_REDZONE)),
        ["gives-way-elsewhere"] => in_a_coroutine(|| give_way_on(new_stack())),
        ["main-elsewhere"] => main_elsewhere(),
        ["null"] => in_a_coroutine(|| write(black_box(16))),
        ["wild"] => in_a_coroutine(|| write(black_box(0x7000_0000_0000))),
        ["general-protection"] => in_a_coroutine(|| write(black_box(0x8000_0000_0000_0000))),
        ["freed"] => freed(),
        ["stranger"] => stranger(),
        ["from-main"] => from_main(write),
        ["from-thread"] => from_main(|place| drop(thread::spawn(move || write(place)).join())),
        ["above"] => in_a_coroutine(|| write(own_stack().1 + 8)),
        ["underrun"] => in_a_coroutine(|| write(own_stack().0 - 64)),
        ["read"] => in_a_coroutine(|| read(own_stack().1 + 8)),
        ["jump"] => in_a_coroutine(|| jump(own_stack().1 + 16)),
        ["kill"] => in_a_coroutine(|| send(libc::SIGSEGV)),
        ["bus"] => in_a_coroutine(bus),
        ["main-overflow"] => in_a_runtime(|| println!("{}", deeper::<512>(0))),
        ["thread-overflow"] => in_a_runtime(|| drop(thread::spawn(|| deeper::<512>(0)).join())),
        ["chained", ..] => {
            handlers::chain();
            happen(&arguments[1..]);
        }
        ["no-allocation", case] => handlers::no_allocation(case),
        ["unreadable"] => blinded::unreadable(),
        ["poisoned", filling] => blinded::poisoned(u8::from_str_radix(filling, 16).unwrap()),
        ["unreadable-records"] => blinded::unreadable_records(),
        ["locked"] => locked(),
        ["in-a-handler"] => in_a_handler(),
        ["threads"] => threads(),
        ["panic"] => panics_in_a_grandchild(),
        _ => panic!("{arguments:?}?"),
    }
}

fn in_a_runtime<T>(main: impl FnOnce() -> T) -> T {
    Builder::new().max_coroutines(100).run(main).unwrap_or_else(|error| panic!("{error}"))
}

/// Between others, so that what lies above and below is in use.
fn in_a_coroutine(f: impl FnOnce() + Send + 'static) {
    in_a_runtime(|| {
        let _below = sleepers(3);
        let culprit = CoroutineBuilder::new().name("culprit").spawn(f).unwrap();
        let _above = sleepers(3);
        drop(culprit.join());
    });
}

fn sleepers(count: usize) -> Vec<coro::JoinHandle<()>> {
    (0..count).map(|_| spawn(|| coro::sleep(std::time::Duration::MAX))).collect()
}

/// Calls itself for ever, in frames of at least so many bytes.
#[inline(never)]
fn deeper<const BYTES: usize>(depth: u64) -> u64 {
    let mut frame = [depth as u8; BYTES];
    black_box(&mut frame);
    let place = DEPTH.load(SeqCst);
    if !place.is_null() {
        // SAFETY: shared memory of a page.
        unsafe { place.write_volatile(depth) };
    }
    if black_box(depth) == u64::MAX {
        return 0;
    }
    deeper::<BYTES>(depth + 1) + u64::from(black_box(&frame)[BYTES / 2])
}

/// Two that call each other.
#[inline(never)]
fn even<const BYTES: usize>(depth: u64) -> u64 {
    let mut frame = [depth as u8; BYTES];
    black_box(&mut frame);
    odd(depth + 1) + u64::from(frame[BYTES / 2])
}

#[inline(never)]
fn odd(depth: u64) -> u64 {
    let mut frame = [depth; 30];
    black_box(&mut frame);
    even::<100>(depth + 1) + frame[3]
}

/// Calls itself from two places, in no order: there is no cycle but of the function.
#[inline(never)]
fn branching(depth: u64) -> u64 {
    let mut frame = [depth; 20];
    black_box(&mut frame);
    if black_box(depth) == u64::MAX {
        return 0;
    }
    let next = if depth.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62 == 0 {
        branching(depth + 1).wrapping_add(frame[1])
    } else {
        branching(depth + 1).wrapping_mul(frame[2])
    };
    black_box(next)
}

/// A few more frames of another function before it begins.
#[inline(never)]
fn prelude(frames: u64, then: fn(u64) -> u64) -> u64 {
    let local = black_box([frames; 4]);
    if frames == 0 { black_box(then(0)) } else { prelude(frames - 1, then) + local[1] }
}

/// What overflows, in frames of a kind.
fn recursion(frame: &str) -> fn(u64) -> u64 {
    match frame {
        "64" => deeper::<64>,
        "200" => deeper::<200>,
        "1000" => deeper::<1000>,
        "3000" => deeper::<3000>,
        "10000" => deeper::<10_000>,
        "70000" => deeper::<70_000>,
        "mutual" => even::<100>,
        "branching" => branching,
        _ => panic!("{frame}?"),
    }
}

fn overflow(name: &str, frame: &str, before: u64) {
    let then = recursion(frame);
    let name = name.to_owned();
    in_a_runtime(|| {
        let others = sleepers(5);
        coro::yield_now();
        let culprit = CoroutineBuilder::new().name(name).spawn(move || prelude(before, then)).unwrap();
        drop(culprit.join());
        drop(others);
    });
}

/// The same, on a worker of several: of those who have a go one gets there.
fn overflow_on((worker, workers): (usize, usize), name: &str, frame: &str, before: u64) {
    let then = recursion(frame);
    let builder = Builder::new().max_coroutines(100).workers(workers);
    let run = builder.run(|| {
        let others = sleepers(5);
        coro::yield_now();
        loop {
            let candidates: Vec<_> = (0..workers)
                .map(|_| {
                    let candidate = CoroutineBuilder::new().name(name);
                    candidate.spawn(move || {
                        let here = thread::current();
                        let number = here.name().and_then(|name| name.strip_prefix("coro-worker-"));
                        if number.map_or(0, |number| number.parse().unwrap()) == worker {
                            say_who_it_is();
                            prelude(before, then);
                        }
                        // Long enough for another worker to take the next one.
                        for n in 0..10_000 {
                            black_box(n);
                        }
                    })
                })
                .collect();
            candidates.into_iter().for_each(|candidate| candidate.unwrap().join().unwrap());
            let _ = &others;
        }
    });
    let () = run.unwrap_or_else(|error| panic!("{error}"));
}

/// Its number, and an address in its stack.
fn say_who_it_is() {
    let here = black_box(0_u8);
    println!("culprit {} {:#x}", coro::current().unwrap().id(), ptr::from_ref(&here).addr());
}

/// One function with an array that is larger than the usual stack, on a stack of so many KiB (0: the usual one).
fn sized(kib: usize) {
    #[inline(never)]
    fn large() -> u64 {
        let mut array = [1_u8; 500 << 10];
        black_box(&mut array);
        u64::from(array[77])
    }
    in_a_runtime(|| {
        let builder = CoroutineBuilder::new().name("large");
        let builder = if kib == 0 { builder } else { builder.stack_size(kib << 10) };
        println!("{}", builder.spawn(large).unwrap().join().unwrap());
    });
}

/// Overflows in malloc, most of the time with its lock held: it needs more stack than a frame of this.
#[inline(never)]
fn allocate_deeply(before: &str) {
    #[inline(never)]
    fn grow(depth: u64) -> u64 {
        if black_box(depth) == u64::MAX {
            return 0;
        }
        // SAFETY: malloc and free in pairs, if it ever came back.
        unsafe {
            let memory = black_box(libc::malloc((depth as usize * 7919) % 3000 + 1));
            let below = grow(depth + 1);
            libc::free(memory);
            below + 1
        }
    }
    black_box(prelude(before.len() as u64, grow));
}

/// As a C function with a large array does: it doesn't touch the pages on the way, and ends up in the redzone of the
/// stack below.
#[inline(never)]
fn jump_over_the_redzone() {
    // SAFETY: it faults, which is what is wanted.
    unsafe { std::arch::asm!("sub rsp, 0x78000", "mov byte ptr [rsp + 0x1000], 1", "add rsp, 0x78000") };
}

// As a C function with an array that skips a redzone, and calls back: f runs on the stack that ends at `top`.
std::arch::global_asm!(
    ".globl call_on_stack",
    ".type call_on_stack, @function",
    "call_on_stack:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_rel_offset rbp, 0",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "mov rsp, rsi",
    "call rdi",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    ".size call_on_stack, . - call_on_stack",
);

unsafe extern "C" {
    fn call_on_stack(f: extern "C" fn(), top: usize);
}

/// From a stack's top: it leads into the middle of the next one.
const BELOW_A_REDZONE: usize = 360 << 10;

extern "C" fn give_way() {
    coro::yield_now();
}

fn give_way_on(top: usize) {
    // SAFETY: nobody is to come back.
    unsafe { call_on_stack(give_way, top) };
}

/// The top of a new one.
fn new_stack() -> usize {
    let stack = vec![0_u128; 8192].leak();
    stack.as_mut_ptr_range().end.expose_provenance()
}

/// main may give way on any stack: its own is the thread's.
fn main_elsewhere() {
    in_a_runtime(|| {
        let other = spawn(|| println!("another one had its turn"));
        give_way_on(new_stack());
        assert!(other.is_finished());
        println!("main went on");
    });
}

fn write(address: usize) {
    // SAFETY: it faults, which is what is wanted.
    unsafe { ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
}

fn read(address: usize) {
    // SAFETY: it faults, which is what is wanted.
    black_box(unsafe { ptr::with_exposed_provenance::<u8>(address).read_volatile() });
}

/// Goes on at an address where no code is.
fn jump(address: usize) {
    // SAFETY: it faults, which is what is wanted.
    let function =
        unsafe { mem::transmute::<*const (), extern "C" fn()>(ptr::with_exposed_provenance(address)) };
    function();
}

/// [limit, top) of the stack that runs: slots lie 260 KiB apart, their stacks at the upper end.
fn own_stack() -> (usize, usize) {
    let here = black_box(0_u8);
    let here = ptr::from_ref(&here).addr();
    // A coroutine that has just begun is in the highest pages of its stack; above lies the next one's redzone.
    let mut page = here & !4095;
    while is_readable(page) {
        page += 4096;
    }
    (page - (192 << 10), page)
}

fn is_readable(page: usize) -> bool {
    let mut byte = 0_u8;
    let local = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: ptr::with_exposed_provenance_mut(page), iov_len: 1 };
    // SAFETY: the kernel checks what it reads.
    unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) == 1 }
}

/// Writes to the stack of a coroutine that has ended. Only a debug build closes it.
fn freed() {
    in_a_runtime(|| {
        let culprit = CoroutineBuilder::new().name("culprit").spawn(|| {
            let victim = CoroutineBuilder::new().name("victim").spawn(|| own_stack().1 - 100).unwrap();
            let _above = sleepers(3);
            write(victim.join().unwrap());
        });
        drop(culprit.unwrap().join());
    });
}

fn stranger() {
    in_a_runtime(|| {
        let (tell, told) = coro::sync::channel(1);
        let _victim = CoroutineBuilder::new().name("victim").spawn(move || {
            tell.send(own_stack().0).unwrap();
            coro::sleep(std::time::Duration::MAX);
        });
        let _between = sleepers(2);
        let culprit =
            CoroutineBuilder::new().name("culprit").spawn(move || write(told.recv().unwrap() - 200));
        drop(culprit.unwrap().join());
    });
}

/// Somebody without a stack of the region's touches a redzone.
fn from_main(touch: impl FnOnce(usize)) {
    in_a_runtime(|| {
        let (tell, told) = coro::sync::channel(1);
        let _victim = CoroutineBuilder::new().name("victim").spawn(move || {
            tell.send(own_stack().0).unwrap();
            coro::sleep(std::time::Duration::MAX);
        });
        let _above = sleepers(2);
        touch(told.recv().unwrap() - 4096);
    });
}

fn send(signal: i32) {
    // SAFETY: to this very thread.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), signal) };
}

/// A mapped file that has become shorter.
fn bus() {
    let path = env::temp_dir().join(format!("coro-crashing-{}", std::process::id()));
    fs::write(&path, [1; 5000]).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    use std::os::fd::AsRawFd as _;
    // SAFETY: a new mapping of a file; that it faults is what is wanted.
    unsafe {
        let map = libc::mmap(ptr::null_mut(), 8192, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
        file.set_len(0).unwrap();
        black_box(map.cast::<u8>().read_volatile());
    }
}

/// Overflows with the locks of standard output and error held, and one of its own.
fn locked() {
    static OWN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let body = || {
        let _own = OWN.lock().unwrap();
        let _locks = (std::io::stdout().lock(), std::io::stderr().lock());
        prelude(3, deeper::<300>);
    };
    in_a_runtime(|| drop(CoroutineBuilder::new().name("holder").spawn(body).unwrap().join()));
}

/// Overflows in a handler that runs on the coroutine's own stack.
fn in_a_handler() {
    extern "C" fn in_a_handler(_: i32) {
        black_box(deeper::<300>(0));
    }
    let body = || {
        // SAFETY: the handler does what is wanted of it.
        unsafe { libc::signal(libc::SIGUSR1, in_a_handler as *const () as libc::sighandler_t) };
        send(libc::SIGUSR1);
    };
    in_a_runtime(|| drop(CoroutineBuilder::new().name("interrupted").spawn(body).unwrap().join()));
}

/// Eight threads with a runtime each, all of which overflow at once.
fn threads() {
    let barrier = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let barrier = barrier.clone();
            thread::spawn(move || {
                in_a_runtime(|| {
                    let racer = CoroutineBuilder::new().name(format!("racer-{number}")).spawn(move || {
                        barrier.wait();
                        prelude(3, deeper::<300>)
                    });
                    drop(racer.unwrap().join());
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| drop(thread.join()));
}

/// A panic, which ends only its coroutine.
fn panics_in_a_grandchild() {
    in_a_runtime(|| {
        let child = CoroutineBuilder::new().name("child").spawn(|| {
            let grandchild = CoroutineBuilder::new().name("grandchild").spawn(|| panic!("in a grandchild"));
            drop(grandchild.unwrap().join());
        });
        child.unwrap().join().unwrap();
    });
}

fn share_depth(path: &str) {
    use std::os::fd::AsRawFd as _;
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    // SAFETY: a new mapping of a file that has a page.
    let map = unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(ptr::null_mut(), 4096, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    assert_ne!(map, libc::MAP_FAILED);
    DEPTH.store(map.cast(), SeqCst);
}
