//! `select!` written wrong: the compiler says what is wrong with it. The macro's text is compiled alone, with nothing that it
//! could name: that comes to light later than what these tests are about.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::{env, fs};

/// What the compiler says to `select!` of these arms.
fn said_to(arms: &str) -> String {
    let source = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sync/select.rs")).unwrap();
    let start = source.find("macro_rules! select {").unwrap();
    let end = start + source[start..].find("\n}\n").unwrap() + 3;
    let text =
        format!("#[macro_export]\n{}\npub fn f() {{ crate::select! {{ {arms} }} }}\n", &source[start..end]);
    let mut compiler = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "lib", "--crate-name", "misuse", "--emit", "metadata"])
        .args(["--out-dir", env!("CARGO_TARGET_TMPDIR"), "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    compiler.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = compiler.wait_with_output().unwrap();
    assert!(!output.status.success(), "{arms}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn arms_that_are_none_are_told_of() {
    for (arms, expected) in [
        ("receive(r) -> v => 1, _ => 2", "`receive(r)` is none of the arms"),
        ("recv() -> v => 1", "`recv()` is none of the arms"),
        ("send(s) -> v => 1", "`send(s)` is none of the arms"),
        ("_ => 1, recv(r) -> v => 2", "`_ => ...` has to be the last arm"),
        ("recv(r) -> v => 1, _ => {} wait(e) => 2", "`_ => ...` has to be the last arm"),
        ("recv(r) -> v => 1, _ => 2, _ => 3", "`_ => ...` has to be the last arm"),
        ("v = recv(r) => 1", "no arm begins with `v = recv(r) => 1`"),
        ("recv(r) -> v => 1, 7", "no arm begins with `7`"),
        ("", "without an arm there is nothing to wait for"),
    ] {
        let said = said_to(arms);
        assert!(said.contains(expected), "{arms}: {said}");
        assert!(!said.contains("recursion limit"), "{arms}: {said}");
    }
    let said = said_to("recv(r) -> v => 1, wait(e) => 2, after(d) => {} send(s, 1) => 3, _ => 4");
    assert!(!said.contains("select!: "), "{said}");
}
