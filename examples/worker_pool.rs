//! Four workers take jobs from one queue. One job hangs, then another one: in the end all workers have.
//!
//! ```text
//! cargo run --example worker_pool           it stops before the last job
//! gdb -x gdb/coro.py -p $(pidof worker_pool)
//! (gdb) coro list -name worker              where each of them is, and for how long
//! (gdb) coro list -fn fetch                 those which are in a job that fetches
//! (gdb) coro apply -name worker -- p $coro()
//! (gdb) coro select NUMBER                  one of them
//! (gdb) up                                  into fetch, then into perform; which job it is:
//! (gdb) info locals
//! (gdb) coro why NUMBER                     the connection that it reads from, and whose it is
//! ```

use std::io::{self, Read};
use std::sync::Arc;

use coro::net::{TcpListener, TcpStream};
use coro::sync::{Mutex, Receiver, channel};

const WORKERS: usize = 4;
const JOBS: usize = 40;

#[derive(Debug)]
enum Job {
    Compute(u64),
    Fetch(std::net::SocketAddr),
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    coro::run(|| {
        // It takes connections, as the kernel does that for it, and never answers.
        let silent = TcpListener::bind("127.0.0.1:0")?;
        let (sender, receiver) = channel(8);
        let queue = Arc::new(Mutex::new(receiver));
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| {
                let queue = queue.clone();
                coro::CoroutineBuilder::new().name(format!("worker {number}")).spawn(move || work(&queue))
            })
            .collect::<coro::Result<_>>()?;
        for number in 0..JOBS {
            let is_fetch = number % 8 == 7;
            sender.send(if is_fetch {
                Job::Fetch(silent.local_addr()?)
            } else {
                Job::Compute(number as u64)
            })?;
        }
        drop(sender);
        for worker in workers {
            let done = worker.join().map_err(|error| error.to_string())?;
            println!("a worker did {done} jobs");
        }
        Ok(())
    })?
}

/// Takes jobs until there are no more; returns how many it did.
fn work(queue: &Mutex<Receiver<Job>>) -> usize {
    let mut done = 0;
    loop {
        // The lock is given back before the job begins.
        let job = queue.lock().expect("nobody panics with the queue").recv();
        let Ok(job) = job else { return done };
        perform(&job).unwrap_or_else(|error| eprintln!("{job:?}: {error}"));
        done += 1;
    }
}

#[inline(never)]
fn perform(job: &Job) -> io::Result<()> {
    match job {
        Job::Compute(n) => println!("{n}! mod 1009 = {}", (1..=*n).fold(1, |product, i| product * i % 1009)),
        Job::Fetch(address) => println!("{} bytes came", fetch(*address)?.len()),
    }
    Ok(())
}

#[inline(never)]
fn fetch(address: std::net::SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
