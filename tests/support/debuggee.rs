//! A process to be looked at, and cores of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use super::{Profile, program};

/// A running process that has said that it is where it is to be looked at; killed in the end.
pub(crate) struct Debuggee {
    child: Child,
    output: BufReader<ChildStdout>,
    folder: Option<PathBuf>,
}

/// Lets a command be attached to by who is not its parent, where the kernel asks (Yama). That is the process's, whatever
/// program it runs then.
pub(crate) fn may_be_traced(command: &mut Command) -> &mut Command {
    let allow = || {
        // SAFETY: changes nothing but who may attach. Kernels without Yama refuse it.
        unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY) };
        Ok(())
    };
    // SAFETY: between fork and exec it makes one system call.
    unsafe { command.pre_exec(allow) }
}

impl Debuggee {
    /// `seen MODE` of that build.
    pub(crate) fn seen(profile: Profile, mode: &str) -> Debuggee {
        Debuggee::start(Command::new(program("seen", profile)).arg(mode))
    }

    /// A command that says `parked` when it is so far.
    pub(crate) fn start(command: &mut Command) -> Debuggee {
        let mut debuggee = Debuggee::start_unheard(command);
        assert_eq!(debuggee.line(), "parked");
        debuggee
    }

    pub(crate) fn start_unheard(command: &mut Command) -> Debuggee {
        may_be_traced(command);
        // The monitor would be one more thread in all that is said.
        let mut child = command
            .env("CORO_MONITOR", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let output = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
        Debuggee { child, output, folder: None }
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a pipe can be read");
        line.trim_end().to_owned()
    }

    /// Waits until its threads sleep in the kernel: io waits for events, for all coroutines of each.
    pub(crate) fn asleep(self) -> Debuggee {
        let is_awake = |task: &fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat"));
            stat.is_ok_and(|stat| !stat.contains(") S "))
        };
        let tasks = format!("/proc/{}/task", self.child.id());
        while fs::read_dir(&tasks).expect("it lives").flatten().any(|task| is_awake(&task)) {
            thread::yield_now();
        }
        self
    }

    pub(crate) fn stat(&self) -> String {
        fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it lives")
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// The options by which GDB attaches to it.
    pub(crate) fn attach(&self) -> [String; 2] {
        ["-p".to_owned(), self.pid()]
    }

    pub(crate) fn lives(&mut self) -> bool {
        self.child.try_wait().expect("the child is ours to wait for").is_none()
    }

    /// Has it killed by a signal with which the kernel writes a core, of which it gives the path.
    pub(crate) fn kernel_core(mut self) -> Core {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        // SAFETY: sends a signal to our own child, which we have not waited for.
        unsafe { libc::kill(pid, libc::SIGABRT) };
        self.child.wait().expect("the child is ours to wait for");
        let folder = self.folder.take().expect("it was started where cores go");
        let found =
            fs::read_dir(&folder).expect("the folder is ours").flatten().map(|entry| entry.path()).next();
        let path = found.unwrap_or_else(|| {
            let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
            panic!(
                "the kernel has written no core to {}: cores go to `{}` here. They have to be files in the \
                 process's folder: as root, `sysctl kernel.core_pattern=core`",
                folder.display(),
                pattern.trim()
            )
        });
        Core { folder, path }
    }

    /// Starts a program in a folder of its own, in which the kernel may leave a core.
    pub(crate) fn where_cores_go(
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Debuggee {
        let folder = scratch("core");
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -c unlimited && exec \"$0\" \"$@\""]).arg(program).args(arguments);
        let mut debuggee = Debuggee::start(command.envs(environment.iter().copied()).current_dir(&folder));
        debuggee.folder = Some(folder);
        debuggee
    }
}

impl Drop for Debuggee {
    fn drop(&mut self) {
        // Whether it works or not, the test has its result.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// A core, removed in the end.
pub(crate) struct Core {
    folder: PathBuf,
    pub(crate) path: PathBuf,
}

impl Drop for Core {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A fresh folder.
pub(crate) fn scratch(name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{}.{number}", std::process::id()));
    // One of a process of that number, long ago.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder can be made where cargo says");
    folder
}
