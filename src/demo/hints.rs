//! What to type in the debugger, for each thing to look at. All such texts are here.

/// The program as it was started, shortened where the working directory allows it.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_else(|_| "main".into());
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(&path).display().to_string()
}

/// How to look at what `arguments` has brought about.
fn attach(arguments: &str, steps: &[(&str, &str)]) -> String {
    let (program, id) = (program(), std::process::id());
    let mut text = format!(
        "to look at it, from another terminal (as root, if ptrace is not permitted):\n  \
         gdb {program} -p {id}\n\
         or from the start; then stop it with Ctrl-C:\n  \
         gdb --args {program} {arguments}\n  (gdb) run\n\
         then:"
    );
    for (command, shows) in steps {
        text.push_str(&format!("\n  (gdb) {command:<22} {shows}"));
    }
    text
}

pub(super) fn park(n: usize) -> String {
    attach(
        &format!("park {n}"),
        &[
            ("bt", "the worker's stack: it waits for events, because nobody can run"),
            ("info proc mappings", "those without a file, first of all: there the coroutines' stacks lie"),
        ],
    )
}

pub(super) fn deadlock() -> String {
    attach(
        "deadlock",
        &[("bt", "the worker waits for events, and behind it main in a join: none of them will end")],
    )
}

pub(super) fn hang() -> String {
    attach("hang", &[("bt", "the coroutine that spins: demo::stuck::spin")])
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
         gdb --args {program} {arguments}\n  \
         (gdb) run\n  \
         (gdb) bt 5                   {shows}\n  \
         (gdb) p $sp                  the stack pointer\n  \
         (gdb) p $_siginfo._sifields._sigfault.si_addr\n  \
         {:28} the address that it touched",
        ""
    )
}
