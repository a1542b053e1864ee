//! Money goes from account to account, and suddenly nothing goes any more. Who waits for whom?
//!
//! ```text
//! cargo run --example find_the_deadlock     it stops coming forward
//! gdb -x gdb/coro.py -p $(pidof find_the_deadlock)
//! (gdb) coro list                           most wait for a mutex; each line says who holds it
//! (gdb) coro deadlock                       the circle: who holds what the next one wants
//! (gdb) coro why 1                          main's join, and what is behind it
//! (gdb) coro bt NUMBER                      of one in the circle: the line which takes its second lock
//! ```
//!
//! The way out: always lock the account with the smaller number first.

use std::sync::Arc;

use coro::sync::Mutex;

const ACCOUNTS: usize = 5;

fn main() -> coro::Result<()> {
    coro::run(|| {
        let accounts: Arc<Vec<Mutex<i64>>> = Arc::new((0..ACCOUNTS).map(|_| Mutex::new(100)).collect());
        let clerks: Vec<_> = (0..ACCOUNTS)
            .map(|from| {
                let accounts = accounts.clone();
                let to = (from + 1) % ACCOUNTS;
                let clerk = coro::CoroutineBuilder::new().name(format!("clerk {from}->{to}"));
                clerk.spawn(move || (0..1000).for_each(|amount| transfer(&accounts, from, to, amount)))
            })
            .collect::<coro::Result<_>>()?;
        for clerk in clerks {
            clerk.join().expect("no clerk panics");
        }
        println!("all the money has arrived");
        Ok(())
    })?
}

#[inline(never)]
fn transfer(accounts: &[Mutex<i64>], from: usize, to: usize, amount: i64) {
    let mut source = accounts[from].lock().expect("nobody panics with a lock");
    println!("{amount} from {from} to {to}");
    coro::yield_now(); // as it may happen in any call that waits
    let mut target = accounts[to].lock().expect("nobody panics with a lock");
    *source -= amount;
    *target += amount;
}
