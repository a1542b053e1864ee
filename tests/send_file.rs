//! Files onto sockets: whole and in part, slowly, from where the kernel can't pass anything on, and to peers that go.

#[path = "support/tcp.rs"]
mod tcp;

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coro::net::UnixStream;
use coro::{JoinHandle, spawn, yield_now};
use pretty_assertions::assert_eq;

use tcp::{connection, run};

/// A file that is removed in the end.
struct Temporary(PathBuf);

impl Temporary {
    fn with(bytes: &[u8]) -> Temporary {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("coro-send-file-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).unwrap();
        Temporary(path)
    }

    fn open(&self) -> File {
        File::open(&self.0).unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn wait_until_parked<T>(sender: &JoinHandle<T>) {
    while coro::stats().unwrap().parked().all(|parked| parked != ("write", 1)) {
        assert!(!sender.is_finished(), "it did not have to wait");
        yield_now();
    }
}

#[test]
fn part_of_a_file_arrives_and_its_position_stays() {
    let bytes = pattern(100_000);
    let temporary = Temporary::with(&bytes);
    run(|| {
        let mut file = temporary.open();
        let (client, mut server) = connection();
        let (here, mut there) = UnixStream::pair().unwrap();
        for (offset, length) in [(0, 0), (0, 1), (4095, 3), (70_000, 30_000)] {
            assert_eq!(client.send_file(&file, offset, length).unwrap(), length);
            assert_eq!(here.send_file(&file, offset, length).unwrap(), length);
            let expected = &bytes[offset as usize..][..length as usize];
            for peer in [&mut server as &mut dyn Read, &mut there] {
                let mut received = vec![0; expected.len()];
                peer.read_exact(&mut received).unwrap();
                assert!(received == expected, "{offset} {length}");
            }
        }
        assert_eq!(client.send_file(&file, 99_990, 1000).unwrap(), 10, "the file has no more");
        assert_eq!(client.send_file(&file, 100_000, 1000).unwrap(), 0);
        assert_eq!(client.send_file(&file, 200_000, 1000).unwrap(), 0);
        assert_eq!(file.stream_position().unwrap(), 0);
        // The socket is as ready as before: a file that has ended says nothing of it.
        assert_eq!(client.send_file(&file, 0, 1).unwrap(), 1);
    });
}

#[test]
fn sender_waits_for_a_peer_that_reads_late_and_others_run() {
    const LENGTH: usize = 40 << 20;
    let bytes = pattern(LENGTH);
    let temporary = Temporary::with(&bytes);
    run(|| {
        let (client, mut server) = connection();
        let file = temporary.open();
        let sender = spawn(move || client.send_file(&file, 0, u64::MAX));
        wait_until_parked(&sender);
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        assert!(received == bytes);
        assert_eq!(sender.join().unwrap().unwrap(), LENGTH as u64);
    });
}

#[test]
fn what_the_kernel_cannot_pass_on_goes_through_a_buffer() {
    // The process's own memory as a file: it can be read, but it has no pages of a cache.
    let bytes: Arc<[u8]> = pattern(3 << 20).into();
    run(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let sent = bytes.clone();
        let sender = spawn(move || {
            let memory = File::open("/proc/self/mem").unwrap();
            here.send_file(&memory, sent.as_ptr().addr() as u64, sent.len() as u64)
        });
        wait_until_parked(&sender);
        let mut received = Vec::new();
        there.read_to_end(&mut received).unwrap();
        assert!(received[..] == bytes[..]);
        assert_eq!(sender.join().unwrap().unwrap(), bytes.len() as u64);
    });
}

#[test]
fn timeout_says_what_was_sent_and_then_that_it_is_one() {
    let temporary = Temporary::with(&pattern(40 << 20));
    run(|| {
        let (client, _server) = connection();
        client.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        let file = temporary.open();
        let sent = client.send_file(&file, 0, u64::MAX).unwrap();
        assert!(0 < sent && sent < 40 << 20, "{sent}");
        let error = client.send_file(&file, sent, u64::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn peer_that_goes_ends_it_and_a_closed_socket_too() {
    let temporary = Temporary::with(&pattern(40 << 20));
    run(|| {
        for closes_itself in [false, true] {
            let (client, server) = connection();
            let client = Arc::new(client);
            let (file, sender) = (temporary.open(), client.clone());
            let sender = spawn(move || {
                let sent = sender.send_file(&file, 0, u64::MAX).unwrap();
                (sent, sender.send_file(&file, sent, u64::MAX).unwrap_err().kind())
            });
            wait_until_parked(&sender);
            if closes_itself {
                client.close();
            } else {
                drop(server);
            }
            let (sent, kind) = sender.join().unwrap();
            assert!(0 < sent && sent < 40 << 20, "{sent}");
            let expected: &[_] = match closes_itself {
                true => &[ErrorKind::NotConnected],
                false => &[ErrorKind::BrokenPipe, ErrorKind::ConnectionReset],
            };
            assert!(expected.contains(&kind), "{kind:?}");
        }
    });
}

#[test]
fn files_that_cannot_be_sent_are_errors() {
    let temporary = Temporary::with(b"text");
    run(|| {
        let (here, _there) = UnixStream::pair().unwrap();
        let file = temporary.open();
        let error = here.send_file(&file, u64::MAX, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with("cannot send from offset 18446744073709551615"), "{error}");
        let only_written = OpenOptions::new().append(true).open(&temporary.0).unwrap();
        let error = here.send_file(&only_written, 0, 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::EBADF));
        let folder = File::open(std::env::temp_dir()).unwrap();
        let error = here.send_file(&folder, 0, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        let (pipe, _end) = nix::unistd::pipe().unwrap();
        let error = here.send_file(&File::from(pipe), 0, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSeekable);
    });
}
