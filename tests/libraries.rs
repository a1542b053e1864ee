//! Libraries that are written for sockets that block work over ours: the examples with them say what they should.

mod support;

use std::process::Command;

use pretty_assertions::assert_eq;

use support::{Profile, program};

/// What an example prints.
fn output(name: &str) -> String {
    let path = program(name, Profile::Debug);
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
