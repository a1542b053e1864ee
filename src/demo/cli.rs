//! What can be asked for on the command line. The doc comments are the text of `--help`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;

/// Rounds of coroutines against an HTTP server; and programs to practise debugging on
///
/// Each round starts N coroutines; each of them connects, sends one request, reads the whole answer,
/// checks it and closes; then all N are joined. Where nothing listens, a server is started within
/// the same program, on coroutines of the same runtime.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) load: Load,
}

/// The lwan demo.
#[derive(Debug, Args)]
pub(super) struct Load {
    /// The server; with port 0, an embedded one on a free port
    #[arg(long, default_value = "127.0.0.1:8080", value_parser = parse_address)]
    pub(super) addr: SocketAddr,
    /// Coroutines in each round
    #[arg(short, default_value = "100", value_name = "N")]
    pub(super) n: NonZeroUsize,
    /// Rounds; without it, new rounds start for 8 seconds, however many that are
    #[arg(long, value_name = "R")]
    pub(super) rounds: Option<NonZeroUsize>,
    /// Keep each coroutine's connection open and hand it on from round to round
    #[arg(long)]
    pub(super) keep_alive: bool,
    /// Threads that run the coroutines, an embedded server's too
    #[arg(long, default_value = "1", value_name = "W")]
    pub(super) workers: NonZeroUsize,
    /// What to request
    #[arg(long, default_value = "/", value_parser = parse_path)]
    pub(super) path: String,
    /// Never start the embedded server: a server that is not there is an error
    #[arg(long)]
    pub(super) no_embed: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the embedded server alone
    Serve(Serve),
    /// Park N coroutines in different ways, for looking at them in a debugger
    Park(Park),
    /// Overflow a coroutine's stack; the process says so and dies of SIGSEGV, as it should
    Overflow {
        /// By which means
        #[arg(value_enum, default_value_t = Overflow::Recursion)]
        how: Overflow,
    },
    /// Write to another coroutine's redzone; the process says whose and dies of SIGSEGV, as it should
    Wild,
    /// Write to the stack of a coroutine that has ended; a debug build says whose and dies of SIGSEGV
    Stale,
    /// Three coroutines lock three mutexes in a circle and wait for ever
    Deadlock,
    /// One coroutine computes for ever without yielding, so no other one runs
    Hang,
    /// Each request leaves a coroutine behind that waits for ever: more and more of them
    Leak,
    /// Compute with floating point in many coroutines that switch all the time, and compare
    Floats(Floats),
}

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Where to listen; port 0 takes a free one, and the first line printed says which
    #[arg(long, default_value = "127.0.0.1:8080", value_parser = parse_address)]
    pub(super) addr: SocketAddr,
    /// Close connections on which no request begins for so many seconds
    #[arg(long, default_value = "15", value_name = "SECONDS", value_parser = parse_seconds)]
    pub(super) keep_alive_timeout: u64,
    /// Close connections whose request's head, or body, is not complete after so many seconds
    #[arg(long, default_value = "15", value_name = "SECONDS", value_parser = parse_seconds)]
    pub(super) request_timeout: u64,
    /// Answer as lwan's testrunner does also where that is not what the RFCs say
    ///
    /// The longest prefix is the route, and case does not matter; ranges are lwan's; /quit-lwan ends the
    /// program. CACHE_FOR and KEEP_ALIVE_TIMEOUT are taken from the environment, in seconds.
    #[arg(long)]
    pub(super) lwan_compat: bool,
    /// Threads that serve, each with a listener of its own
    #[arg(long, default_value = "1", value_name = "N")]
    pub(super) workers: NonZeroUsize,
}

#[derive(Debug, Args)]
pub(super) struct Park {
    /// How many
    pub(super) n: NonZeroUsize,
    /// Then wake and join them all, and say how long that took
    ///
    /// Without it they stay parked until the program is killed. A sleeping coroutine can't be
    /// woken early, nor one that connects: so with --wake none is parked in a sleep or a connect.
    #[arg(long)]
    pub(super) wake: bool,
    /// Besides, two that yield to each other for ever: one runs, and one is ready
    ///
    /// They keep a CPU busy.
    #[arg(long, conflicts_with = "wake")]
    pub(super) yielding: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Overflow {
    /// A function that calls itself for ever
    Recursion,
    /// Two functions that call each other for ever
    Mutual,
    /// One function with an array larger than the stack
    Frame,
    /// A recursion that allocates: the stack ends within malloc
    Malloc,
    /// A C function that calls back into one which goes too deep
    Callback,
    /// A signal that comes when there is no room for its handler
    Signal,
}

#[derive(Debug, Args)]
pub(super) struct Floats {
    /// Coroutines
    #[arg(short, default_value = "1000", value_name = "N")]
    pub(super) n: NonZeroUsize,
    /// Steps of each; after each step it gives way to the others
    #[arg(long, default_value = "200", value_name = "S")]
    pub(super) steps: NonZeroUsize,
}

/// Names are resolved here, before the runtime starts: it would wait for a slow resolver.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let addresses = text
        .to_socket_addrs()
        .map_err(|error| format!("{error} (ADDRESS:PORT is wanted, as in 127.0.0.1:8080)"))?;
    preferred(addresses).ok_or_else(|| "the name has no address".into())
}

/// Of a name's addresses the one to take. Many servers listen on 0.0.0.0 only, while localhost is often ::1 first:
/// the demo would find nobody there, and embed a server of its own beside the one that was meant.
fn preferred(addresses: impl Iterator<Item = SocketAddr>) -> Option<SocketAddr> {
    addresses.min_by_key(SocketAddr::is_ipv6)
}

/// A path that can stand in a request line: it begins with `/` and holds no space nor line end.
fn parse_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("a path begins with a slash".into());
    }
    match text.chars().find(|letter| !letter.is_ascii_graphic()) {
        None => Ok(text.into()),
        Some(letter) => Err(format!("{letter:?} can't stand in a request; write it as %xx")),
    }
}

/// One second at least, one day at most.
fn parse_seconds(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(seconds),
        _ => Err("a number from 1 to 86400 is wanted".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_ipv4_address_of_a_name_is_taken_first() {
        let taken = |texts: &[&str]| preferred(texts.iter().map(|text| text.parse().unwrap()));
        let [v6, v4, other] = ["[::1]:8080", "127.0.0.1:8080", "127.0.0.2:8080"];
        assert_eq!(taken(&[v6, v4, other]).unwrap().to_string(), v4);
        assert_eq!(taken(&[v6]).unwrap().to_string(), v6);
        assert_eq!(taken(&[]), None);
        assert_eq!(parse_address("[::1]:80").unwrap().to_string(), "[::1]:80");
    }

    #[test]
    fn a_path_that_would_break_the_request_line_is_refused() {
        for path in ["hello", "", "/a b", "/a\r\nHost: b", "/ä"] {
            assert!(parse_path(path).is_err(), "{path:?}");
        }
        assert_eq!(parse_path("/a%20b?c=d").unwrap(), "/a%20b?c=d");
    }

    #[test]
    fn the_original_demo_can_be_asked_for() {
        let cli = Cli::try_parse_from(["main", "--rounds", "1000", "-n", "500"]).unwrap();
        assert_eq!((cli.load.rounds.unwrap().get(), cli.load.n.get()), (1000, 500));
    }

    #[test]
    fn the_demos_options_do_not_mix_with_subcommands() {
        assert!(Cli::try_parse_from(["main", "-n", "5", "hang"]).is_err());
    }
}
