//! A process whose threads run one instruction at a time, as its tracer (ptrace(2)) lets them.
//!
//! One thread of it runs at a time, all others stand still. Only a thread that has entered the kernel is not waited
//! for, because what it waits for there may be another thread: it goes on as soon as the kernel lets it, up to its
//! next instruction. No instruction runs unseen.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use nix::libc;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::Signal;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::registers::Registers;

/// The CPU's `syscall`, and `int3`, which breakpoints are made of.
const SYSCALL: [u8; 2] = [0x0f, 0x05];
const INT3: u8 = 0xcc;

/// A traced process. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    threads: BTreeMap<Pid, Thread>,
    /// Whose turn it is.
    turn: Pid,
    /// Instructions until it is another one's.
    left_of_turn: u32,
    random: Rng,
    /// How it ended, once it has.
    ended: Option<WaitStatus>,
}

#[derive(Clone, Copy, Debug)]
struct Thread {
    /// It stands still. If not, it is in the kernel.
    is_stopped: bool,
    registers: Registers,
    /// To be delivered when it goes on.
    signal: Option<Signal>,
}

/// A thread after a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stepped {
    pub(crate) thread: Pid,
    pub(crate) registers: Registers,
}

impl Process {
    /// Starts a program, stopped at its first instruction. `seed` decides how its threads take turns.
    pub(crate) fn start(program: &Path, arguments: &[&str], seed: u64) -> Process {
        stay_on_one_cpu();
        let mut command = Command::new(program);
        // Its monitor would be one more thread to step, and has nothing to do with coroutines.
        command.env("CORO_MONITOR", "off");
        command.args(arguments).env_remove("RUST_BACKTRACE");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: one system call, which touches nothing of ours.
        unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
        #[expect(clippy::zombie_processes, reason = "a tracer waits by waitpid, here and in `wait`")]
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{} can't be started to be traced: {error} (is ptrace allowed here?)", program.display())
        });
        let pid = Pid::from_raw(child.id().cast_signed());
        let status = waitpid(pid, None).expect("the child is ours to wait for");
        assert_eq!(
            status,
            WaitStatus::Stopped(pid, Signal::SIGTRAP),
            "a traced program stops when it is executed"
        );
        let options = Options::PTRACE_O_EXITKILL | Options::PTRACE_O_TRACECLONE;
        ptrace::setoptions(pid, options).expect("these options exist since Linux 3.8");
        let mut process = Process {
            pid,
            threads: BTreeMap::new(),
            turn: pid,
            left_of_turn: 0,
            random: Rng::with_seed(seed),
            ended: None,
        };
        process.stopped(pid, None);
        process
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// The registers of all threads, as they were when they were last seen: one that is in the kernel now has changed
    /// none of those that matter to a backtrace.
    pub(crate) fn threads(&self) -> impl Iterator<Item = Stepped> {
        self.threads.iter().map(|(thread, state)| Stepped { thread: *thread, registers: state.registers })
    }

    /// Lets it run, not stepped, until its first thread comes to an address. The others must have ended by then; they
    /// may have begun meanwhile.
    pub(crate) fn run_to(&mut self, address: u64) -> Stepped {
        if self.threads[&self.pid].registers.pc == address {
            // Off the breakpoint, before it is there.
            ptrace::step(self.pid, None).expect("it is stopped");
            // The end of another thread may be told first.
            while self.wait(WaitPidFlag::__WALL).is_none() {}
        }
        let mut original = [0; 8];
        self.read(&mut [(address, &mut original)]).expect("code can be read");
        let mut patched = original;
        patched[0] = INT3;
        self.write(address, patched);
        let mut next = Some(self.pid);
        loop {
            if let Some(thread) = next {
                ptrace::cont(thread, None).expect("it is stopped");
            }
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            let status = waitpid(None, Some(flags)).expect("there is a thread to wait for");
            next = match status {
                WaitStatus::Stopped(thread, Signal::SIGTRAP) if thread == self.pid => break,
                // A new thread, and who has made it.
                WaitStatus::Stopped(thread, Signal::SIGSTOP) | WaitStatus::PtraceEvent(thread, ..) => {
                    Some(thread)
                }
                WaitStatus::Exited(thread, _) if thread != self.pid => {
                    self.threads.remove(&thread);
                    None
                }
                _ => panic!("the program doesn't come to {address:#x}, but: {status:?}"),
            };
        }
        self.write(address, original);
        let mut registers = ptrace::getregs(self.pid).expect("it is stopped");
        // Behind the int3.
        registers.rip -= 1;
        assert_eq!(registers.rip, address, "the program stopped elsewhere");
        ptrace::setregs(self.pid, registers).expect("it is stopped");
        self.stopped(self.pid, None)
    }

    /// Lets one thread, or another that comes back from the kernel, execute one instruction. None: the process has
    /// ended.
    pub(crate) fn step(&mut self) -> Option<Stepped> {
        loop {
            if self.ended.is_some() {
                return None;
            }
            let Some(thread) = self.next() else {
                // All are in the kernel: until one comes back nothing changes.
                match self.wait(WaitPidFlag::__WALL) {
                    Some(stepped) => return Some(stepped),
                    None => continue,
                }
            };
            let state = self.threads.get_mut(&thread).expect("`next` gives one of them");
            let signal = state.signal.take();
            state.is_stopped = false;
            let enters_kernel = self.enters_kernel(thread);
            ptrace::step(thread, signal).expect("it is stopped");
            let flags =
                WaitPidFlag::__WALL | if enters_kernel { WaitPidFlag::WNOHANG } else { WaitPidFlag::empty() };
            if let Some(stepped) = self.wait(flags) {
                return Some(stepped);
            }
        }
    }

    /// Lets all its threads run for a moment, and stops them wherever they are then; false: the process has ended.
    pub(crate) fn run_for(&mut self, moment: Duration) -> bool {
        for (thread, state) in self.threads.iter_mut().filter(|(_, state)| state.is_stopped) {
            state.is_stopped = false;
            ptrace::cont(*thread, state.signal.take()).expect("it is stopped");
        }
        thread::sleep(moment);
        for (thread, _) in self.threads.iter().filter(|(_, state)| !state.is_stopped) {
            // One that has ended meanwhile says so below.
            // SAFETY: a signal to a child that is traced, so that it stops.
            unsafe { libc::syscall(libc::SYS_tgkill, self.pid.as_raw(), thread.as_raw(), libc::SIGSTOP) };
        }
        while self.ended.is_none() && self.threads.values().any(|state| !state.is_stopped) {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            match waitpid(None, Some(flags)).expect("there is a thread to wait for") {
                // Of a new thread it is the first one, and was not sent by us.
                WaitStatus::Stopped(thread, Signal::SIGSTOP) => {
                    self.stopped(thread, None);
                }
                // It has made a thread. The SIGSTOP comes after this.
                WaitStatus::PtraceEvent(thread, ..) => ptrace::cont(thread, None).expect("it is stopped"),
                WaitStatus::Stopped(thread, signal) => {
                    ptrace::cont(thread, Some(signal)).expect("it is stopped");
                }
                status @ (WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, ..)) => {
                    self.threads.remove(&thread);
                    self.ended = (thread == self.pid).then_some(status);
                }
                status => panic!("{status:?} of a traced process"),
            }
        }
        self.ended.is_none()
    }

    /// How it ended.
    pub(crate) fn end(&self) -> Option<WaitStatus> {
        self.ended
    }

    /// Lets it run to its end, not stepped.
    pub(crate) fn finish(mut self) -> WaitStatus {
        let stopped: Vec<Pid> =
            self.threads.iter().filter(|(_, state)| state.is_stopped).map(|(thread, _)| *thread).collect();
        for thread in stopped {
            ptrace::detach(thread, None).expect("it is stopped");
        }
        while self.ended.is_none() {
            if let Some(Stepped { thread, .. }) = self.wait(WaitPidFlag::__WALL) {
                ptrace::detach(thread, None).expect("it is stopped");
            }
        }
        self.ended.expect("that is what was waited for")
    }

    /// Reads several places at once; an error if one of them can't be read.
    pub(crate) fn read(&self, places: &mut [(u64, &mut [u8])]) -> io::Result<()> {
        let remote: Vec<RemoteIoVec> = places
            .iter()
            .map(|(address, bytes)| RemoteIoVec { base: *address as usize, len: bytes.len() })
            .collect();
        let wanted: usize = remote.iter().map(|place| place.len).sum();
        let mut local: Vec<IoSliceMut<'_>> =
            places.iter_mut().map(|(_, bytes)| IoSliceMut::new(bytes)).collect();
        match process_vm_readv(self.pid, &mut local, &remote) {
            Ok(length) if length == wanted => Ok(()),
            Ok(length) => Err(io::Error::other(format!("only {length} of {wanted} bytes can be read"))),
            Err(error) => Err(error.into()),
        }
    }

    fn write(&self, address: u64, bytes: [u8; 8]) {
        let place = std::ptr::without_provenance_mut(address as usize);
        ptrace::write(self.pid, place, i64::from_ne_bytes(bytes))
            .expect("it is stopped, and code can be patched");
    }

    /// Whose turn it is: threads change after a random number of instructions.
    fn next(&mut self) -> Option<Pid> {
        let stopped: Vec<Pid> =
            self.threads.iter().filter(|(_, state)| state.is_stopped).map(|(thread, _)| *thread).collect();
        if self.left_of_turn == 0 || !stopped.contains(&self.turn) {
            self.turn = self.random.choice(stopped)?;
            // Long turns now and then, so that one thread gets through what another one is in the middle of.
            let longest = if self.random.u32(..4) == 0 { 3000 } else { 40 };
            self.left_of_turn = self.random.u32(..longest);
        }
        self.left_of_turn = self.left_of_turn.saturating_sub(1);
        Some(self.turn)
    }

    fn enters_kernel(&self, thread: Pid) -> bool {
        let mut code = [0; 2];
        // What can't be read is a fault, which comes back at once.
        let _ = self.read(&mut [(self.threads[&thread].registers.pc, &mut code)]);
        code == SYSCALL
    }

    /// Waits for a change of one of the threads, if the flags say so; gives one that has come to its next instruction.
    fn wait(&mut self, flags: WaitPidFlag) -> Option<Stepped> {
        // Only what this thread traces: other tests have debuggees of their own.
        let status =
            waitpid(None, Some(flags | WaitPidFlag::__WNOTHREAD)).expect("there is a thread to wait for");
        match status {
            WaitStatus::StillAlive => None,
            WaitStatus::Stopped(thread, Signal::SIGTRAP) => Some(self.stopped(thread, None)),
            // A new thread's first stop.
            WaitStatus::Stopped(thread, Signal::SIGSTOP) if !self.is_known(thread) => {
                self.stopped(thread, None);
                None
            }
            WaitStatus::Stopped(thread, signal) => {
                self.stopped(thread, Some(signal));
                None
            }
            // It has made a thread. The step is not over yet.
            WaitStatus::PtraceEvent(thread, _, event) if event == Event::PTRACE_EVENT_CLONE as i32 => {
                self.stopped(thread, None);
                None
            }
            WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, ..) => {
                self.threads.remove(&thread);
                if thread == self.pid {
                    self.ended = Some(status);
                }
                None
            }
            _ => panic!("{status:?} of a traced process"),
        }
    }

    fn is_known(&self, thread: Pid) -> bool {
        self.threads.contains_key(&thread)
    }

    fn stopped(&mut self, thread: Pid, signal: Option<Signal>) -> Stepped {
        let registers = Registers::from(ptrace::getregs(thread).expect("it is stopped"));
        self.threads.insert(thread, Thread { is_stopped: true, registers, signal });
        Stepped { thread, registers }
    }
}

/// Tracer and debuggee, which inherits this, never run at the same time. On two CPUs each step would wake up another one:
/// that takes twice as long.
fn stay_on_one_cpu() {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).expect("a thread may ask for its own CPUs");
    let cpus: Vec<usize> = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true)).collect();
    let mut one = CpuSet::new();
    let cpu = cpus[NEXT.fetch_add(1, Ordering::Relaxed) % cpus.len()];
    one.set(cpu).expect("it is one of the set's numbers");
    sched_setaffinity(this, &one).expect("a thread may run on fewer CPUs than it was given");
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // Whether it works or not, the test has its result.
            let _ = nix::sys::signal::kill(self.pid, Signal::SIGKILL);
            while self.ended.is_none() {
                self.wait(WaitPidFlag::__WALL);
            }
        }
    }
}
