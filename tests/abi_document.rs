//! debug-docs/abi.md is what the program says of itself: it names every table and kind of field, and the reader that
//! it gives as an example reads.

mod support;

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use pretty_assertions::assert_eq;
use support::Profile;
use support::image::header_by_note;
use support::parked::Parked;
use support::registry_reader::Registry;

fn document() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("debug-docs/abi.md")).unwrap()
}

#[test]
fn document_names_every_table_and_kind_of_field_and_the_version() {
    let document = document();
    let parked = Parked::start(Profile::Debug);
    let image = parked.image();
    let registry = Registry::at(&image, header_by_note(&image).unwrap()).unwrap();
    let (major, minor) = registry.header().version;
    assert!(document.contains(&format!("It is version **{major}.{minor}**")), "not {major}.{minor}");
    let kinds = registry.names("field kinds").unwrap();
    let missing: Vec<&str> = registry
        .table_names()
        .into_iter()
        .chain(kinds.values().map(String::as_str))
        .filter(|name| !document.contains(&format!("`{name}`")))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn example_reader_lists_who_waits_for_what() {
    let document = document();
    let (_, rest) = document.split_once("```python\n").expect("the page has a program");
    let (reader, _) = rest.split_once("```").expect("the program has an end");
    let parked = Parked::start(Profile::Debug);
    let output = Command::new("python3").args(["-c", reader, &parked.pid().to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    rows.sort();
    let said: Vec<&[&str]> = rows.iter().map(|row| &row[1..4]).filter(|row| row[0] != "io").collect();
    let image = parked.image();
    let registry = Registry::at(&image, header_by_note(&image).unwrap()).unwrap();
    let mut coroutines = registry.coroutines().unwrap();
    coroutines.retain(|coroutine| coroutine.state != "free" && coroutine.name != "io");
    coroutines.sort_by_key(|coroutine| coroutine.id.to_string());
    let expected: Vec<[&str; 3]> =
        coroutines.iter().map(|c| [&*c.name, &*c.state, &*c.wait_reason]).collect();
    assert!(expected.iter().any(|row| row[0] == "locker" && row[2] == "mutex"), "{expected:?}");
    assert_eq!(said, expected);
}
