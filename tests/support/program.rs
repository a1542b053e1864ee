//! Debuggees: the programs of tests/programs, built in the profile that a test asks for.
//!
//! Cargo builds the examples when it runs all tests, but not for `cargo test --test NAME`; nor does it ever
//! build them in two profiles. So the tests ask for what they need. What is fresh costs a look.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{env, fs, process};

/// How a debuggee is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Profile {
    /// Not optimised, with all debug information.
    Debug,
    /// Optimised, with line tables.
    Release,
    /// As `Release`, with all debug information: in a target directory of its own.
    Full,
    /// As `Release`, then stripped of symbols and debug information.
    Stripped,
    /// As `Release`, linked with all that it needs, at no fixed address: a static-pie. Of a program that is built in no
    /// other way in release builds, whose place it takes.
    Static,
    /// As `Debug`, with the feature `sanitize`.
    Checked,
    /// As `Checked`, with AddressSanitizer; in the target directory in which tests/run.sh builds so, too.
    Sanitized,
}

/// The package's features, as this test was built with them: with the same ones Cargo finds the library built.
const FEATURES: [(&str, bool); 3] = [
    ("default", cfg!(feature = "default")),
    ("http", cfg!(feature = "http")),
    ("demo", cfg!(feature = "demo")),
];

/// The path of an example, built if it isn't there or out of date; at most once a process.
pub(crate) fn program(name: &str, profile: Profile) -> PathBuf {
    program_with(name, profile, &[])
}

/// As [`program`], for an example that needs more features than the test has.
pub(crate) fn program_with(name: &str, profile: Profile, features: &[&str]) -> PathBuf {
    type Built = HashMap<(String, Profile), Arc<OnceLock<PathBuf>>>;
    static BUILT: Mutex<Option<Built>> = Mutex::new(None);
    let cell = {
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        built.get_or_insert_default().entry((name.to_owned(), profile)).or_default().clone()
    };
    // Not under the lock: the others' programs may well be there.
    cell.get_or_init(|| match profile {
        Profile::Stripped => strip(name, &program_with(name, Profile::Release, features)),
        _ => build(name, profile, features),
    })
    .clone()
}

/// The line of a file of the repository that ends with `// line MARKER`.
pub(crate) fn line_of(path: &str, marker: &str) -> u32 {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    let end = format!("// line {marker}");
    let mut lines = text.lines().zip(1..).filter(|(line, _)| line.ends_with(&end)).map(|(_, number)| number);
    match (lines.next(), lines.next()) {
        (Some(line), None) => line,
        (None, _) => panic!("no line of {path} ends with `{end}`"),
        _ => panic!("several lines of {path} end with `{end}`"),
    }
}

fn build(name: &str, profile: Profile, more: &[&str]) -> PathBuf {
    let mut target = target_directory();
    let is_optimised = matches!(profile, Profile::Release | Profile::Full | Profile::Static);
    let (profile_name, mut folder) =
        if is_optimised { ("release", PathBuf::from("release")) } else { ("dev", "debug".into()) };
    let mut features = more.to_vec();
    let mut cargo = Command::new(env!("CARGO"));
    let command = if profile == Profile::Static { "rustc" } else { "build" };
    cargo.args([command, "--quiet", "--example", name, "--profile", profile_name, "--no-default-features"]);
    if is_optimised {
        // The programs alone: what the tests need, and the demo, is most of a build.
        cargo.args(["--package", "coro-programs"]);
    } else {
        // With all else, as the tests were built: then Cargo finds what they need built.
        cargo.arg("--workspace");
        features.extend(FEATURES.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name));
    }
    if matches!(profile, Profile::Checked | Profile::Sanitized) {
        features.push("sanitize");
    }
    if profile == Profile::Full {
        target.push("full");
        cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "2");
    }
    if profile == Profile::Sanitized {
        target.push("sanitize");
        folder = Path::new(&host()).join(folder);
        // An own --target, so that build scripts and macros, which run while the rest is built, are left out of it.
        cargo.args(["--config", &format!("build.target = {:?}", host())]);
        cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
    }
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["--features", &features.join(","), "--target-dir"]);
    cargo.arg(&target);
    if profile == Profile::Static {
        // The program's alone, which says what is linked: so nothing else has to be built again.
        cargo.args(["--", "-C", "target-feature=+crt-static"]);
    }
    let output =
        cargo.output().unwrap_or_else(|error| panic!("cargo ({}) does not start: {error}", env!("CARGO")));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo could not build the example {name} ({profile:?}):\n{said}");
    let folder = target.join(folder).join("examples");
    let mut path = folder.join(name);
    if !path.exists() {
        // It may be a library.
        path = folder.join(format!("lib{name}.so"));
    }
    assert!(
        path.exists(),
        "cargo has built the example {name} ({profile:?}), but not to {}",
        folder.display()
    );
    path
}

/// The platform for which rustc compiles when it isn't told another one.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("who has cargo has rustc");
    let version = String::from_utf8_lossy(&output.stdout);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap_or_else(|| panic!("`rustc -vV` names no host: {version}")).to_owned()
}

/// Where the running test lies: `TARGET/PROFILE/deps/NAME-HASH`.
pub(crate) fn target_directory() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let target = test.ancestors().nth(3).filter(|_| test.parent().is_some_and(|deps| deps.ends_with("deps")));
    target
        .unwrap_or_else(|| panic!("{} does not lie in a target directory of Cargo's", test.display()))
        .to_owned()
}

fn strip(name: &str, from: &Path) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let to = folder.join(format!("{name}-stripped"));
    // Another test may strip, or run, the same program right now: the new one takes its place as a whole.
    let unfinished = folder.join(format!("{name}-stripped.{}", process::id()));
    let output = Command::new("strip").arg("-o").arg(&unfinished).arg(from).output();
    let output = output.unwrap_or_else(|error| {
        panic!(
            "strip, which comes with the C compiler, does not start ({error}): tests/install.sh installs it"
        )
    });
    assert!(output.status.success(), "strip failed: {}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&unfinished, &to).expect("a file just made can be renamed");
    to
}
