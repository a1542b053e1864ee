//! Nothing to build: Cargo honours `links` only for a package that has a build script. It says what a build lacks.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Set by compilers that take -Zsanitizer.
    let sanitizers = env::var("CARGO_CFG_SANITIZE").unwrap_or_default();
    if sanitizers.split(',').any(|name| name == "address") && env::var_os("CARGO_FEATURE_SANITIZE").is_none()
    {
        println!(
            "cargo::warning=this build has AddressSanitizer, which takes coroutines' stacks for errors and leaks unless \
             coro-rt has its feature `sanitize`: see debug-docs/sanitizers.md"
        );
    }
}
