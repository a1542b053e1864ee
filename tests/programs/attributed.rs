//! A program whose main function has the attribute.

use std::env;

#[coro::main(workers = 2)]
fn main() -> Result<(), String> {
    println!("{} workers", coro::stats().map_err(|error| error.to_string())?.workers);
    if env::args().nth(1).as_deref() == Some("badly") {
        return Err("as asked".into());
    }
    Ok(())
}
