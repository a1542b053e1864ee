//! The embedded server as a client sees it: `main serve`, spoken to with plain sockets.
//! Here is what the tests share; `answers` asks what a good peer gets, `peers` what a bad one can do.

mod answers;
mod peers;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

/// A running `main serve`, killed at the test's end.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(arguments: &[&str]) -> Server {
        Server::start_by(Command::new(env!("CARGO_BIN_EXE_main")), arguments)
    }

    /// A server that may have so many open files.
    fn start_with_files(count: usize) -> Server {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {count} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_main")]);
        Server::start_by(command, &[])
    }

    fn start_by(mut command: Command, arguments: &[&str]) -> Server {
        command.args(["serve", "--addr", "127.0.0.1:0"]).args(arguments);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        let output = process.stdout.as_mut().expect("stdout is piped");
        BufReader::new(output).read_line(&mut line).expect("the first line is text");
        let rest = line.strip_prefix("serving on http://").expect("the line says where");
        let address = rest.split('/').next().unwrap().parse().expect("an address");
        Server { process, address }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("the server accepts")
    }

    /// Sends `request` over a connection of its own and returns all that comes until it closes.
    fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        // A server that refuses may close before all is sent.
        let _ = stream.write_all(request.as_ref());
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer, and no reset");
        String::from_utf8(answer).expect("the answer is text")
    }

    fn get(&self, target: &str) -> String {
        self.exchange(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
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

/// Receives one answer with a Content-Length, and no byte more.
fn receive_one(stream: &mut impl BufRead) -> String {
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut answer).unwrap(), 0, "ended amid {answer:?}");
    }
    let length = header(&answer, "Content-Length").expect("a length").parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    answer + &String::from_utf8(body).unwrap()
}
