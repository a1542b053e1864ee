//! Libraries that are written for sockets that block work over ours: the examples with them say what they should.

mod support;

use std::process::Command;
use std::sync::Once;

use pretty_assertions::assert_eq;

use support::program::target_directory;

/// Builds the package of the examples, once; they are no part of this one, which would wait for TLS to be compiled.
fn build() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let output = Command::new(env!("CARGO"))
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/libraries"))
            .args(["build", "--quiet", "--locked", "--target-dir"])
            .arg(target_directory().join("libraries"))
            .output()
            .expect("cargo starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo could not build examples/libraries:\n{said}");
    });
}

/// What an example prints.
fn output(name: &str) -> String {
    let path = target_directory().join("libraries/debug").join(name);
    build();
    let output = Command::new(&path).output().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{name}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn rustls_speaks_over_our_streams() {
    let expected: String = (0..3).map(|n| format!("TLSv1_3: client {n} speaks in private\n")).collect();
    assert_eq!(output("tls_echo"), expected + "0 connections left\n");
}

#[test]
fn tungstenite_speaks_over_our_streams() {
    let expected: String =
        (0..3).map(|n| format!("client {n}: {} bytes came back\n", 2 + n * 20_000)).collect();
    assert_eq!(output("websocket_echo"), expected + "0 connections left\n");
}

#[test]
fn imap_speaks_over_our_streams() {
    let expected: String = (0..3).map(|n| format!("user{n} has 42 mails\n")).collect();
    assert_eq!(output("third_party_client"), expected + "0 connections left\n");
}
