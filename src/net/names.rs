//! Names to addresses, without blocking the thread: std's `ToSocketAddrs` with a lookup that only parks the coroutine.

use std::io;
use std::net::{self, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::thread;
use std::vec;

use crate::offload::offload;
use crate::scheduler::worker;
use crate::sync::channel;

/// What can be made into addresses; as [`std::net::ToSocketAddrs`], and for the same types. Numbers are taken as they
/// are; for a name the system's resolver (getaddrinfo) is asked on a thread of its own, while the coroutine is parked.
/// Outside a runtime it blocks the thread.
///
/// ```
/// use coro::net::ToSocketAddrs;
///
/// let addresses = coro::run(|| ("localhost", 80).to_socket_addrs())??;
/// assert!(addresses.into_iter().all(|address| address.ip().is_loopback() && address.port() == 80));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ToSocketAddrs {
    /// The addresses, in the order in which to try them.
    ///
    /// # Errors
    /// As [`std::net::ToSocketAddrs::to_socket_addrs`], naming what was looked up.
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>>;
}

macro_rules! numbers {
    ($($type:ty),*) => {
        $(impl ToSocketAddrs for $type {
            fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
                Ok(vec![SocketAddr::from(*self)].into_iter())
            }
        })*
    };
}

numbers!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToSocketAddrs for [SocketAddr] {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        Ok(Vec::from(self).into_iter())
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)].into_iter()),
            Err(_) => {
                let host = host.to_owned();
                look_up(&format!("{host}:{port}"), move || net::ToSocketAddrs::to_socket_addrs(&(host, port)))
            }
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        match self.parse::<SocketAddr>() {
            Ok(address) => Ok(vec![address].into_iter()),
            Err(_) => {
                let name = self.to_owned();
                look_up(self, move || net::ToSocketAddrs::to_socket_addrs(name.as_str()))
            }
        }
    }
}

impl ToSocketAddrs for String {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        self.as_str().to_socket_addrs()
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        (**self).to_socket_addrs()
    }
}

fn look_up(
    name: &str,
    ask: impl FnOnce() -> io::Result<vec::IntoIter<SocketAddr>> + Send + 'static,
) -> io::Result<vec::IntoIter<SocketAddr>> {
    offload(ask).map_err(|error| io::Error::new(error.kind(), format!("could not look up {name:?}: {error}")))
}

/// Runs what would block the thread on another one, while the coroutine waits for it; in place where there is none. A
/// coroutine that is cancelled meanwhile leaves it to end by itself.
pub(super) fn aside<T: Send + 'static>(
    name: &str,
    blocking: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    if worker::current().is_none() || thread::panicking() {
        return Ok(blocking());
    }
    let (sender, receiver) = channel(1);
    thread::Builder::new().name(name.into()).spawn(move || {
        // Nobody may be there any more.
        let _ = sender.send(blocking());
    })?;
    receiver.recv().map_err(|_| io::Error::other(format!("the thread {name} panicked")))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn other_coroutines_run_while_one_waits_for_the_resolver() {
        crate::run(|| {
            let (release, released) = mpsc::channel();
            let looks_up = crate::spawn(move || {
                look_up("a name", move || {
                    // As slow a resolver as can be: it answers when another coroutine has run.
                    released.recv().unwrap();
                    Ok(vec![SocketAddr::from(([192, 0, 2, 1], 80))].into_iter())
                })
            });
            while crate::stats().unwrap().parked().all(|(reason, count)| reason != "offload" || count == 0) {
                crate::yield_now();
            }
            release.send(()).unwrap();
            let addresses: Vec<_> = looks_up.join().unwrap().unwrap().collect();
            assert_eq!(addresses, [SocketAddr::from(([192, 0, 2, 1], 80))]);
        })
        .unwrap();
    }

    #[test]
    fn failure_names_what_was_looked_up() {
        let answer = crate::run(|| look_up("nowhere:1", || Err(io::Error::other("no such name")))).unwrap();
        assert_eq!(answer.unwrap_err().to_string(), "could not look up \"nowhere:1\": no such name");
        let answer = crate::run(|| "no port".to_socket_addrs()).unwrap();
        assert_eq!(answer.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn numbers_are_not_looked_up() {
        // Outside a runtime, where a lookup would work as well; but these need none.
        for text in ["127.0.0.1:80", "[::1]:80"] {
            assert_eq!(text.to_socket_addrs().unwrap().next(), text.parse().ok());
        }
        assert_eq!(("::1", 80).to_socket_addrs().unwrap().next(), "[::1]:80".parse().ok());
    }
}
