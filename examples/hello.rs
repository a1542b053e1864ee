//! Three coroutines which greet, and main which joins them.
//!
//! ```text
//! cargo build --example hello
//! gdb -x gdb/coro.py target/debug/examples/hello
//! (gdb) break hello::greet
//! (gdb) run
//! (gdb) coro list                 main waits in a join; the first one runs, the others have not begun
//! (gdb) coro bt 1                 where main waits, though it isn't running
//! (gdb) coro select 1
//! (gdb) up                        until you are in hello::main, then:
//! (gdb) info locals
//! (gdb) coro select .             back to the one that runs
//! (gdb) coro finish               greet returns; nobody else is stopped in
//! ```

fn main() -> coro::Result<()> {
    coro::run(|| {
        let greeters: Vec<_> =
            ["Ada", "Grace", "Barbara"].into_iter().map(|name| coro::spawn(move || greet(name))).collect();
        for greeter in greeters {
            let length = greeter.join().expect("nobody panics");
            println!("those were {length} characters");
        }
    })
}

#[inline(never)]
fn greet(name: &str) -> usize {
    let text = format!("hello, {name}");
    println!("{text}");
    coro::yield_now();
    text.len()
}
