//! A program whose main function has the attribute.

use std::env;
use std::sync::Arc;
use std::time::Duration;

#[coro::main(workers = 2, grace = Duration::from_millis(5))]
fn main() -> Result<(), String> {
    println!("{} workers", coro::stats().map_err(|error| error.to_string())?.workers);
    match env::args().nth(1).as_deref() {
        Some("badly") => Err("as asked".into()),
        // Somebody doesn't end with it.
        Some("early") => {
            let begun = Arc::new(coro::sync::Event::new());
            let begins = begun.clone();
            let lasts = move || {
                begins.set();
                coro::sleep(Duration::from_secs(3600));
            };
            coro::spawn(|| coro::shield(lasts));
            begun.wait();
            Err("as asked".into())
        }
        _ => Ok(()),
    }
}
