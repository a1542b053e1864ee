//! One visit: a request and its answer, over a new connection or over one that was kept.
//! Also when to give up, so that what hinders every visit is said once and not a thousand times.

use super::Problem;
use super::gate::Gate;
use super::tally::{Failure, Visit};
use coro::http::{Answer, Client, ExchangeError};
use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// For one connect, and for one request with its answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// For the server to close after its answer.
const CLOSING: Duration = Duration::from_secs(1);

/// What each coroutine needs to know.
#[derive(Debug)]
pub(super) struct Plan {
    address: SocketAddr,
    path: String,
    keep_alive: bool,
    /// For one connect, and for one request with its answer.
    patience: Duration,
    gate: Gate,
    /// How many connections have brought something, be it a failure.
    answered: AtomicU64,
    given_up: OnceLock<GiveUp>,
}

/// Why further visits make no sense.
#[derive(Debug, Clone, Copy)]
enum GiveUp {
    OutOfPorts,
    NotAccepted,
    Silence,
}

/// What a visit leaves: its result, and the connection if that was kept. Nothing if it was not
/// tried, because others gave up.
pub(super) type Left = Option<(Visit, Option<Client>)>;

impl Plan {
    pub(super) fn new(
        address: SocketAddr,
        path: &str,
        keep_alive: bool,
        patience: Duration,
        gate: Gate,
    ) -> Plan {
        let (answered, given_up) = (AtomicU64::new(0), OnceLock::new());
        Plan { address, path: path.into(), keep_alive, patience, gate, answered, given_up }
    }

    /// One coroutine's work.
    pub(super) fn visit(&self, kept: Option<Client>) -> Left {
        if let Some(mut client) = kept {
            let start = Instant::now();
            match self.request(&mut client) {
                // The server may close a kept connection just when the request is on its way;
                // only if it does so with a new one as well it is an error.
                Err(ExchangeError::Closed | ExchangeError::Send(_) | ExchangeError::Receive(_)) => {}
                result => return Some(self.leave(client, result, start, 0)),
            }
        }
        let pass = self.gate.enter();
        let start = Instant::now();
        let made = match self.given_up.get() {
            Some(_) => None,
            None => self.connect().map(|connected| {
                connected.map(|mut client| {
                    let result = self.request(&mut client);
                    (client, result)
                })
            }),
        };
        self.gate.leave(pass);
        match made? {
            Ok((client, result)) => Some(self.leave(client, result, start, 1)),
            Err(failure) => Some((Visit { connects: 0, left_open: false, outcome: Err(failure) }, None)),
        }
    }

    /// Why the visitors gave up, if they did.
    pub(super) fn given_up(&self) -> Option<Problem> {
        let Plan { address, patience, .. } = self;
        self.given_up.get().map(|why| match why {
            GiveUp::OutOfPorts => out_of_ports(*address),
            GiveUp::NotAccepted => Problem::new(format!(
                "gave up: {address} has neither accepted nor refused a connection within {patience:?}; is the server \
                 stuck, with its listen backlog full?"
            )),
            GiveUp::Silence => Problem::new(format!(
                "gave up: {address} accepts connections, but answered no request within {patience:?}"
            )),
        })
    }

    /// Whether the server was seen to drop connections when many came at once.
    pub(super) fn server_drops(&self) -> bool {
        // Those who gave up pass the gate at once, which looks like overtaking.
        self.given_up.get().is_none() && self.gate.is_stuck()
    }

    fn connect(&self) -> Option<Result<Client, Failure>> {
        let before = self.answered.load(Ordering::Relaxed);
        match Client::connect(&self.address, self.patience) {
            Ok(client) => Some(Ok(client)),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                let _ = self.given_up.set(GiveUp::OutOfPorts);
                None
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                self.waited_in_vain(before, GiveUp::NotAccepted);
                // Which descriptor it was says nothing here, and would make each a failure of its own.
                let reason = format!("neither accepted nor refused within {:?}", self.patience);
                Some(Err(Failure::new("connect", reason)))
            }
            Err(error) => Some(Err(Failure::new("connect", error.to_string()))),
        }
    }

    fn request(&self, client: &mut Client) -> Result<Answer, ExchangeError> {
        let before = self.answered.load(Ordering::Relaxed);
        let result = client.get(&self.path, self.keep_alive, self.patience, |_| {});
        if matches!(result, Err(ExchangeError::TimedOut(_))) {
            self.waited_in_vain(before, GiveUp::Silence);
        } else {
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Gives up if nobody else got anything either since `before` were answered.
    fn waited_in_vain(&self, before: u64, why: GiveUp) {
        if self.answered.load(Ordering::Relaxed) == before {
            let _ = self.given_up.set(why);
        }
    }

    /// Keeps the connection or sees it closed.
    fn leave(
        &self,
        client: Client,
        result: Result<Answer, ExchangeError>,
        start: Instant,
        connects: u64,
    ) -> (Visit, Option<Client>) {
        let time = start.elapsed();
        let visit = |left_open, outcome| Visit { connects, left_open, outcome };
        match result {
            Err(error) => (visit(false, Err(Failure::of_exchange(&error))), None),
            Ok(answer) if self.keep_alive && answer.keep_alive => {
                (visit(false, Ok((answer, time))), Some(client))
            }
            Ok(answer) => {
                // Who closes first keeps the port in TIME_WAIT: let it be the server.
                let left_open = !client.wait_for_close(CLOSING);
                (visit(left_open, Ok((answer, time))), None)
            }
        }
    }
}

/// Why no port was left, with the system's figures.
fn out_of_ports(address: SocketAddr) -> Problem {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let range = read("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.split_ascii_whitespace().collect::<Vec<_>>().join("-");
    let sockets = read("/proc/net/sockstat");
    let mut words = sockets.split_ascii_whitespace().skip_while(|word| *word != "tw");
    let waiting = words.nth(1).unwrap_or("an unknown number of");
    Problem::new(format!(
        "could not connect to {address}: no local port is free (EADDRNOTAVAIL): the range is {range}, and \
         {waiting} connections are in TIME_WAIT, most for a minute; wait, use --keep-alive, or widen \
         net.ipv4.ip_local_port_range"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::gate::NARROW;
    use super::*;
    use nix::sys::socket::{Backlog, listen};
    use std::net::{TcpListener, TcpStream};

    /// What visitors of a listener that accepts nobody bring home, and why they gave up.
    fn visits(listener: &TcpListener) -> (Vec<Failure>, String) {
        let gate = Gate::new(NARROW, 10);
        let address = listener.local_addr().unwrap();
        let plan = std::sync::Arc::new(Plan::new(address, "/", false, Duration::from_millis(50), gate));
        let visitor = || {
            let plan = plan.clone();
            coro::spawn(move || plan.visit(None))
        };
        let left = coro::run(|| {
            let visitors: Vec<_> = (0..10).map(|_| visitor()).collect();
            visitors.into_iter().filter_map(|visitor| visitor.join().unwrap()).collect::<Vec<_>>()
        });
        let failures = left.unwrap().into_iter().map(|(visit, _)| visit.outcome.unwrap_err()).collect();
        (failures, plan.given_up().expect("they give up").to_string())
    }

    #[test]
    fn visitors_give_up_where_nobody_is_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(50));
        let full: Vec<_> = std::iter::from_fn(|| connect().ok()).collect();
        let (failures, why) = visits(&listener);
        assert_eq!(failures.len(), NARROW, "the others did not try");
        let expected = Failure::new("connect", "neither accepted nor refused within 50ms");
        assert!(failures.iter().all(|failure| *failure == expected), "{failures:?}");
        assert!(why.contains("neither accepted nor refused a connection within 50ms"), "{why}");
        drop(full);
    }

    #[test]
    fn visitors_give_up_where_nobody_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (failures, why) = visits(&listener);
        assert_eq!(failures.len(), NARROW, "the others did not try");
        assert!(failures.iter().all(|failure| failure.kind == "timeout"), "{failures:?}");
        assert!(why.contains("answered no request within 50ms"), "{why}");
    }
}
