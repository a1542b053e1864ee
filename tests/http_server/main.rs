//! The embedded server as a client sees it: `main serve`, spoken to with plain sockets.
//! Here is what the tests share; `answers`, `table` and `files` ask what a good peer gets, `peers` what a bad one can do.

mod answers;
mod files;
mod peers;
mod table;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

/// A running `main serve`, killed at the test's end.
struct Server {
    process: Child,
    address: SocketAddr,
    /// Its working directory, removed in the end.
    folder: PathBuf,
}

impl Server {
    fn start(arguments: &[&str]) -> Server {
        Server::start_with(arguments, &[], &[])
    }

    fn start_with_environment(arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        Server::start_with(arguments, variables, &[])
    }

    /// A server with a `wwwroot`.
    fn start_with_files_of(arguments: &[&str], files: &[(&str, &str)]) -> Server {
        Server::start_with(arguments, &[], files)
    }

    fn start_with(arguments: &[&str], variables: &[(&str, &str)], files: &[(&str, &str)]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_main"));
        command.envs(variables.iter().copied());
        Server::start_by(command, arguments, files)
    }

    /// A server that may have so many open files.
    fn start_with_files(count: usize) -> Server {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {count} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_main")]);
        Server::start_by(command, &[], &[])
    }

    fn start_by(mut command: Command, arguments: &[&str], files: &[(&str, &str)]) -> Server {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("coro-http-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        for (path, text) in files {
            let path = folder.join("wwwroot").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        command.current_dir(&folder).env("USER", "somebody");
        command.args(["serve", "--addr", "127.0.0.1:0"]).args(arguments);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        let output = process.stdout.as_mut().expect("stdout is piped");
        BufReader::new(output).read_line(&mut line).expect("the first line is text");
        let rest = line.strip_prefix("serving on http://").expect("the line says where");
        let address = rest.split('/').next().unwrap().parse().expect("an address");
        Server { process, address, folder }
    }

    fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file of its working directory.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("the server accepts")
    }

    /// Sends `request` over a connection of its own and returns all that comes until it closes.
    fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        String::from_utf8(self.exchange_bytes(request)).expect("the answer is text")
    }

    /// As `exchange`, for what is no text.
    fn exchange_bytes(&self, request: impl AsRef<[u8]>) -> Vec<u8> {
        let mut stream = self.connect();
        // A server that refuses may close before all is sent.
        let _ = stream.write_all(request.as_ref());
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer, and no reset");
        answer
    }

    fn get_bytes(&self, target: &str) -> Vec<u8> {
        self.exchange_bytes(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    fn get(&self, target: &str) -> String {
        self.exchange(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head's end").1
}

fn status(answer: &str) -> &str {
    answer.split("\r\n").next().unwrap()
}

/// The value of a header of the first answer.
fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split_once("\r\n\r\n").expect("a head's end").0;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// All values of a header of the first answer.
fn headers<'a>(answer: &'a str, name: &str) -> Vec<&'a str> {
    let head = answer.split_once("\r\n\r\n").expect("a head's end").0;
    head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

/// The chunks of a chunked body, byte by byte as they should be.
fn chunks(mut body: &str) -> Vec<&str> {
    let mut chunks = Vec::new();
    loop {
        let (size, rest) = body.split_once("\r\n").expect("a size line");
        let size = usize::from_str_radix(size, 16).expect("a size");
        let (chunk, rest) = rest.split_at(size);
        body = rest.strip_prefix("\r\n").expect("a chunk's end");
        if size == 0 {
            assert_eq!(body, "");
            return chunks;
        }
        chunks.push(chunk);
    }
}

/// Receives an answer's head, and no byte more.
fn receive_head(stream: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).unwrap(), 0, "ended amid {head:?}");
    }
    head
}

/// Receives one answer with a Content-Length, and no byte more.
fn receive_one(stream: &mut impl BufRead) -> String {
    let answer = receive_head(stream);
    let length = header(&answer, "Content-Length").expect("a length").parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    answer + &String::from_utf8(body).unwrap()
}
