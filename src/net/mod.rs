//! TCP, with std's names and std's behaviour, where a call that would block parks the coroutine instead.

mod registered;
mod tcp;
#[cfg(test)]
mod tests;
pub(crate) mod watch;

pub use tcp::{Incoming, TcpListener, TcpStream};
