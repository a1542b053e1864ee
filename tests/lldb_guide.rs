//! The sessions in debug-docs/lldb.md are what LLDB says. `CORO_REGENERATE=1 cargo test --test lldb_guide` writes them anew.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use support::guide::{self, Session};
use support::{Profile, lldb_going_on, program};

const IMPORT: &str = "command script import lldb/coro.py";

/// A program of a session's, killed in the end.
struct Scene {
    child: Option<Child>,
    options: Vec<String>,
}

impl Scene {
    /// `$ PROGRAM ARGUMENTS &` and `$ lldb -p $(pidof …)`; or `$ lldb -- PROGRAM ARGUMENTS`.
    fn start(session: &Session) -> Scene {
        let first = session.start.first().expect("a session begins with a line `$ …`");
        if let Some(line) = first.strip_suffix(" &") {
            let mut child =
                command(line).stdout(Stdio::piped()).spawn().expect("a program that was built starts");
            let mut output = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
            let mut said = String::new();
            output.read_line(&mut said).expect("a pipe can be read");
            // The others may be written, as nobody waits for them.
            std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
            let options = vec!["-p".to_owned(), child.id().to_string()];
            return Scene { child: Some(child), options };
        }
        let line = first.strip_prefix("lldb -- ").expect("a session starts LLDB");
        let command = command(line);
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let options =
            [String::from("--")].into_iter().chain(words.map(|word| word.to_string_lossy().into_owned()));
        Scene { child: None, options: options.collect() }
    }

    fn run(&self, commands: &[String]) -> Vec<String> {
        let all: Vec<&str> = [IMPORT].into_iter().chain(commands.iter().map(String::as_str)).collect();
        let said = lldb_going_on(&self.options, &all);
        let last = |command: &String| said.block(command).to_owned();
        let is_said =
            |line: &&str| !["Process ", "Current executable"].iter().any(|start| line.starts_with(start));
        commands
            .iter()
            .map(last)
            .map(|block| block.lines().filter(is_said).map(|line| line.to_owned() + "\n").collect())
            .collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Whether it works or not, the test has its result.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `./main …` or `./target/debug/examples/NAME …`.
fn command(line: &str) -> Command {
    let mut words = line.split(' ');
    let name = words.next().expect("a program");
    let path = match name.strip_prefix("./target/debug/examples/") {
        Some(example) => program(example, Profile::Debug),
        None => {
            assert_eq!(name, "./main");
            env!("CARGO_BIN_EXE_main").into()
        }
    };
    let mut command = Command::new(path);
    command.args(words).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

#[test]
fn sessions_are_what_lldb_says() {
    guide::check("debug-docs/lldb.md", "lldb", "(lldb) ", |session| {
        let scene = Scene::start(session);
        move |commands: &[String]| scene.run(commands)
    });
}
