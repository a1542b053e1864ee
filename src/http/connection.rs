//! One connection of a server, from its first byte to its end.
//! The coroutine that runs it is its own; whatever a peer does, only that coroutine waits.

use super::deadline::Deadline;
use super::head::Status;
use super::input::Input;
use super::output::Output;
use super::proxy::{self, Front};
use super::reply::{Common, Reply};
use super::request::{self, Limits, MAX_HEADERS, Progress, Refusal, Version};
use super::server::Handler;
use crate::net::TcpStream;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{self, MsgFlags};

/// What a connection may take of time and memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    pub(super) limits: Limits,
    /// From the last answer to the next request's first byte.
    pub(super) idle: Duration,
    /// From a request's first byte to its head's end.
    pub(super) head: Duration,
    /// From there to its body's end.
    pub(super) body: Duration,
    /// For the peer to take what is sent.
    pub(super) write: Duration,
    /// Whether the peer may say for whom it speaks.
    pub(super) proxy: bool,
}

/// While a refused peer goes on sending, this much is read and dropped, for this long: closing
/// with unread bytes sends a reset, which would overtake the answer.
const LINGER: (usize, Duration) = (16 * 1024 * 1024, Duration::from_secs(2));

/// Serves requests until either side ends the connection or a limit is met.
///
/// # Errors
///
/// What ended it, unless it ended in order. Nobody needs to act on it.
pub(super) fn serve<H: Handler>(
    stream: &TcpStream,
    peer: SocketAddr,
    handler: &H,
    common: &Common,
    allowance: &Allowance,
) -> io::Result<()> {
    let mut input = Input::new();
    let mut output = Output::new(allowance.write);
    let mut head_deadline = None;
    let mut client = peer.ip();
    loop {
        if input.bytes().is_empty() {
            output.flush(stream)?;
            input.shrink();
            if input.fill(stream, &mut Deadline::within(allowance.idle))? == 0 {
                return Ok(());
            }
        }
        let mut headers = [MaybeUninit::uninit(); MAX_HEADERS];
        let front = if allowance.proxy { proxy::parse(input.bytes()) } else { Ok(Front::Other) };
        let progress = match front {
            Ok(Front::Whole(length, source)) => {
                input.consume(length);
                client = source.unwrap_or_else(|| peer.ip());
                continue;
            }
            Ok(Front::Part) => Ok(Progress::PartOfHead),
            Ok(Front::Other) => request::parse(input.bytes(), &mut headers, allowance.limits),
            Err(why) => {
                let (status, version) = (Status::BAD_REQUEST, Version::Http11);
                Err(Refusal { status, why, version, head_only: false })
            }
        };
        match progress {
            Ok(Progress::Whole { request, total }) => {
                let request = request.with_client(client);
                let reply = Reply::to(&request, stream, &mut output, common);
                let sent = handler(&request, reply)?;
                input.consume(total);
                head_deadline = None;
                if !sent.keep_alive {
                    output.flush(stream)?;
                    let is_read = input.bytes().is_empty() && !has_unread(stream);
                    return if is_read { Ok(()) } else { linger(stream, &mut input) };
                }
            }
            Ok(Progress::PartOfHead) => {
                output.flush(stream)?;
                let deadline = head_deadline.get_or_insert_with(|| Deadline::within(allowance.head));
                if !fill_head(stream, &mut input, deadline)? {
                    return Ok(());
                }
            }
            Ok(Progress::PartOfBody { total, expects_continue }) => {
                if expects_continue {
                    output.pending().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                output.flush(stream)?;
                let mut deadline = Deadline::within(allowance.body);
                while input.bytes().len() < total {
                    if input.fill(stream, &mut deadline)? == 0 {
                        return Ok(());
                    }
                }
            }
            Err(refusal) => {
                Reply::refuse(refusal, stream, &mut output, common)?;
                output.flush(stream)?;
                return linger(stream, &mut input);
            }
        }
    }
}

/// Receives until the head is worth parsing again; `false` when the peer has ended.
fn fill_head(stream: &TcpStream, input: &mut Input, deadline: &mut Deadline) -> io::Result<bool> {
    let parsed = input.bytes().len();
    loop {
        let seen = input.bytes().len();
        if input.fill(stream, deadline)? == 0 {
            return Ok(false);
        }
        if request::worth_parsing(input.bytes(), parsed, seen) {
            return Ok(true);
        }
    }
}

/// Whether the peer has sent something that nobody has received.
fn has_unread(stream: &TcpStream) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    // Neither an error nor the end has to be lingered for.
    socket::recv(stream.as_raw_fd(), &mut [0], flags).is_ok_and(|count| count > 0)
}

/// Ends our side, and lets the peer finish sending, within bounds.
fn linger(stream: &TcpStream, input: &mut Input) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let (mut left, mut deadline) = (LINGER.0, Deadline::within(LINGER.1));
    while left > 0 {
        input.consume(input.bytes().len());
        match input.fill(stream, &mut deadline)? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}
