//! What to type in the debugger, for each thing to look at. All such texts are here.

/// The program as it was started, shortened where the working directory allows it.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_else(|_| "main".into());
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(&path).display().to_string()
}

/// Where the debuggers' commands are: they lie in the source tree, beside the program's manifest.
const COMMANDS: &str = "gdb/coro.py";

/// How to look at what `arguments` has brought about.
fn attach(arguments: &str, steps: &[(&str, &str)]) -> String {
    let (program, id) = (program(), std::process::id());
    let mut text = format!(
        "to look at it, from another terminal (as root, if ptrace is not permitted):\n  \
         gdb -x {COMMANDS} {program} -p {id}\n\
         or from the start; then stop it with Ctrl-C:\n  \
         gdb -x {COMMANDS} --args {program} {arguments}\n  (gdb) run\n\
         then:"
    );
    let width = steps.iter().map(|(command, _)| command.len()).fold(22, usize::max);
    for (command, shows) in steps {
        text.push_str(&format!("\n  (gdb) {command:<width$} {shows}"));
    }
    text
}

pub(super) fn park(n: usize) -> String {
    attach(
        &format!("park {n}"),
        &[
            ("coro list -limit 20", "each of the first 20, what it waits for, and where"),
            ("coro group", "those with the same stack as one, with their number"),
            ("coro select 4", "one of them; then `info locals`, `up`, `bt` are its"),
        ],
    )
}

pub(super) fn deadlock() -> String {
    attach(
        "deadlock",
        &[
            ("coro deadlock", "the circle: who waits for whom, and for which lock"),
            ("coro why 1", "why main doesn't go on"),
        ],
    )
}

pub(super) fn hang() -> String {
    attach(
        "hang",
        &[
            ("coro list", "one runs, and another one is ready, but never has its turn"),
            ("bt", "the one that spins: demo::stuck::spin"),
        ],
    )
}

pub(super) fn leak() -> String {
    attach(
        "leak",
        &[
            ("coro group", "one stack has nearly all of them"),
            ("coro group spawn", "and one line has spawned them"),
            ("coro list -sort age -limit 5", "the oldest, and how long they have waited"),
            ("coro why 5", "what one waits for, and that nobody is going to send it"),
        ],
    )
}

pub(super) fn overflow(how: &str) -> String {
    from_the_start(&format!("overflow {how}"), "where it was when its stack ended")
}

pub(super) fn stray(command: &str) -> String {
    from_the_start(command, "who wrote there")
}

/// How to look at a program that dies at once.
fn from_the_start(arguments: &str, shows: &str) -> String {
    let program = program();
    format!(
        "what happened is said below; to look at it:\n  \
         gdb -x {COMMANDS} --args {program} {arguments}\n  \
         (gdb) run                    it stops, and says whose stack it was\n  \
         (gdb) coro bt                {shows}; what repeats is folded\n  \
         (gdb) coro crash             all that is known of it"
    )
}
