//! What addr2line says of thousands of random addresses is what we say; and damage is no crash.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fastrand::Rng;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use super::*;
use crate::debug::mutation::{corpus, damage, seeds};

/// A frame as text: function, path, line.
type Said = (Vec<u8>, String, u64);

fn path_of(place: &Place<'_>) -> String {
    let mut path = String::new();
    for part in [place.folder, place.directory, place.file] {
        let part = String::from_utf8_lossy(part);
        if part.starts_with('/') {
            path.clear();
        } else if !path.is_empty() && !part.is_empty() && !path.ends_with('/') {
            path.push('/');
        }
        path.push_str(&part);
    }
    path
}

fn ours(symbolizer: &Symbolizer<'_>, number: usize) -> Vec<Said> {
    let calls = symbolizer.answer(number).iter();
    let path = |place: &Place<'_>| if place.line == 0 { String::new() } else { path_of(place) };
    calls.map(|call| (call.function.bytes.to_vec(), path(&call.place), call.place.line)).collect()
}

type Context<'a> = addr2line::Context<gimli::EndianSlice<'a, gimli::LittleEndian>>;

fn theirs(context: &Context<'_>, address: u64) -> Vec<Said> {
    let mut frames = context.find_frames(address).skip_all_loads().unwrap();
    let mut said = Vec::new();
    while let Some(frame) = frames.next().unwrap() {
        let name = frame.function.map(|function| function.name.slice().to_vec()).unwrap_or_default();
        let (file, line) = frame.location.map_or((None, None), |at| (at.file.map(str::to_owned), at.line));
        let line = u64::from(line.unwrap_or(0));
        // Of code of no line we take the file of the line before.
        let file = file.filter(|_| line != 0).unwrap_or_default();
        said.push((name, file, line));
    }
    said
}

/// Compares so many answers about a file's code. Returns how many there were, and how many calls were inlined.
fn compare(path: &Path, count: usize) -> (usize, usize) {
    let data = fs::read(path).unwrap();
    let object = object::File::parse(&*data).unwrap();
    let section = |id: gimli::SectionId| {
        let section = object.section_by_name(id.name());
        let data = section.and_then(|section| section.data().ok()).unwrap_or_default();
        Ok::<_, gimli::Error>(gimli::EndianSlice::new(data, gimli::LittleEndian))
    };
    let context = Context::from_dwarf(gimli::Dwarf::load(section).unwrap()).unwrap();
    let image = Image::parse(&data).unwrap();
    let mut functions: Vec<(u64, u64)> = object
        .symbols()
        .filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.size() > 0)
        .map(|symbol| (symbol.address(), symbol.size()))
        .collect();
    functions.sort_unstable();

    let mut random = Rng::with_seed(7);
    let mut symbolizer = Symbolizer::boxed();
    let (mut compared, mut inlined) = (0, 0);
    while compared < count {
        symbolizer.clear();
        let mut asked = Vec::new();
        // Of some neighbours, as many of the small as of the large ones; and some between them. Neighbours, because they are
        // of few units, each of which takes time.
        let first = random.usize(..functions.len().saturating_sub(32).max(1));
        let neighbours = &functions[first..functions.len().min(first + 32)];
        let span = neighbours[neighbours.len() - 1].0 - neighbours[0].0 + 1;
        for _ in 0..MOST_ADDRESSES / 2 {
            let (start, size) = neighbours[random.usize(..neighbours.len())];
            asked.push(start + random.u64(..size));
            asked.push(neighbours[0].0 + random.u64(..span));
        }
        let numbers: Vec<_> = asked.iter().map(|address| symbolizer.ask(0, *address).unwrap()).collect();
        symbolizer.resolve(0, &image);
        for (address, number) in asked.iter().zip(numbers) {
            let theirs = theirs(&context, *address);
            let mut ours = ours(&symbolizer, number);
            if theirs.is_empty() {
                // Then ours is a symbol at most.
                assert!(ours.iter().all(|(_, file, _)| file.is_empty()), "{address:#x}: {ours:?}");
                continue;
            }
            if let ([(_, _, _)], [(name, _, _)]) = (&mut ours[..], &theirs[..])
                && name.is_empty()
            {
                ours[0].0.clear();
            }
            let said: Vec<_> = ours.iter().map(|(name, file, line)| (Text(name), file, line)).collect();
            let expected: Vec<_> = theirs.iter().map(|(name, file, line)| (Text(name), file, line)).collect();
            assert_eq!(said, expected, "{}: {address:#x}", path.display());
            compared += 1;
            inlined += theirs.len() - 1;
        }
    }
    (compared, inlined)
}

#[derive(PartialEq)]
struct Text<'a>(&'a [u8]);

impl std::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// A folder for the programs of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("coro-symbolize-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    /// Compiles a text; returns the program.
    fn compile(&self, compiler: &str, arguments: &[&str], source: (&str, &str)) -> PathBuf {
        let (file, text) = source;
        fs::write(self.0.join(file), text).unwrap();
        let output = Command::new(compiler)
            .current_dir(&self.0)
            .args(arguments)
            .args(["-o", "program", file])
            .output()
            .unwrap_or_else(|error| panic!("{compiler} does not start: {error}"));
        assert!(
            output.status.success(),
            "{compiler} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.0.join("program")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const RUST: &str = r#"
use std::collections::HashMap;
mod inner { #[inline(always)] pub fn twice(x: u64) -> u64 { x.wrapping_mul(2) } }
#[derive(Debug, Clone)] struct Shape { name: String, sides: Vec<u64> }
fn shapes(n: u64) -> Vec<Shape> {
    (0..n).map(|i| Shape { name: format!("shape {i}"), sides: (0..i % 7).map(inner::twice).collect() }).collect()
}
fn main() {
    let n = std::env::args().count() as u64 * 10;
    let mut by: HashMap<String, Shape> = shapes(n).into_iter().map(|s| (s.name.clone(), s)).collect();
    let mut names: Vec<_> = by.keys().cloned().collect();
    names.sort_by(|a, b| b.cmp(a));
    for name in names { println!("{name}: {:?}", by.remove(&name)); }
}
"#;

const C: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static inline int twice(int x) { return x * 2; }
static int compare(const void *a, const void *b) { return twice(*(const int *)a) - twice(*(const int *)b); }
__attribute__((noinline)) static int fill(int *numbers, int count) {
    int sum = 0;
    for (int i = 0; i < count; i++) { numbers[i] = twice(rand()) % 1000; sum += numbers[i]; }
    return sum;
}
int main(int argc, char **argv) {
    int numbers[64];
    int sum = fill(numbers, 64);
    qsort(numbers, 64, sizeof *numbers, compare);
    char text[32];
    snprintf(text, sizeof text, "%d %s", sum, argv[argc - 1]);
    puts(text);
    return (int)strlen(text);
}
"#;

#[test]
fn own_test_program_is_told_as_by_addr2line() {
    let (compared, inlined) = compare(&std::env::current_exe().unwrap(), 4000);
    assert!(compared >= 4000 && inlined > 100, "{compared}, {inlined}");
}

#[test]
fn rust_programs_are_told_as_by_addr2line() {
    let folder = Folder::new("rust");
    for arguments in [
        &["-g"][..],
        &["-O", "-g"],
        &["-O", "-g", "-C", "lto=fat", "-C", "codegen-units=1"],
        &["-O", "-g", "-C", "dwarf-version=5"],
        &["-O", "-C", "debuginfo=line-tables-only"],
    ] {
        let program = folder.compile("rustc", arguments, ("shapes.rs", RUST));
        let (compared, inlined) = compare(&program, 2000);
        assert!(compared >= 2000 && inlined > 500, "{arguments:?}: {compared}, {inlined}");
    }
}

#[test]
fn c_programs_are_told_as_by_addr2line() {
    let folder = Folder::new("c");
    for arguments in [
        &["-g", "-gdwarf-5"][..],
        &["-g", "-gdwarf-4"],
        &["-O2", "-g", "-gdwarf-5"],
        &["-O2", "-g", "-gdwarf-4"],
        &["-O2", "-g", "-gdwarf-3"],
    ] {
        let program = folder.compile("cc", arguments, ("sorted.c", C));
        let (compared, _) = compare(&program, 300);
        assert!(compared >= 300, "{arguments:?}");
    }
}

/// Where there are no lines, there are names; and it is known why.
#[test]
fn compressed_split_and_missing_debug_information_leave_names() {
    let folder = Folder::new("without-lines");
    let names = |program: &Path| {
        let data = fs::read(program).unwrap();
        let object = object::File::parse(&*data).unwrap();
        let address =
            object.symbols().find(|symbol| symbol.name() == Ok("fill")).map(|symbol| symbol.address());
        let image = Image::parse(&data).unwrap();
        let mut symbolizer = Symbolizer::boxed();
        let number = address.map(|address| symbolizer.ask(0, address + 4).unwrap());
        symbolizer.resolve(0, &image);
        let said = number.map(|number| {
            let call = symbolizer.answer(number)[0];
            (String::from_utf8_lossy(call.function.bytes).into_owned(), call.place.file.is_empty())
        });
        (said, image.has_lines(), image.is_compressed, symbolizer.is_split(), image.has_symbols)
    };
    let compiled = |arguments: &[&str]| folder.compile("cc", arguments, ("sorted.c", C));
    let fill = Some(("fill".to_owned(), true));
    assert_eq!(names(&compiled(&["-g"])), (Some(("fill".into(), false)), true, false, false, true));
    assert_eq!(names(&compiled(&["-g", "-gz=zlib"])), (fill.clone(), false, true, false, true));
    let (said, _, _, is_split, _) = names(&compiled(&["-g", "-gsplit-dwarf"]));
    assert_eq!((said.map(|(name, _)| name), is_split), (Some("fill".into()), true));
    assert_eq!(names(&compiled(&[])), (fill, false, false, false, true));
    assert_eq!(names(&compiled(&["-s"])), (None, false, false, false, false));
}

#[test]
fn more_addresses_than_there_is_room_for_are_refused() {
    let mut symbolizer = Symbolizer::boxed();
    for address in 0..MOST_ADDRESSES as u64 {
        assert_eq!(symbolizer.ask(0, address), Some(address as usize));
    }
    assert_eq!((symbolizer.ask(0, 5), symbolizer.ask(0, 1000)), (Some(5), None));
    symbolizer.clear();
    assert_eq!(
        (symbolizer.ask(0, 1000), symbolizer.answer(0), symbolizer.answer(1)),
        (Some(0), &[][..], &[][..])
    );
}

/// A crash is no time to trust a file. What is said of a damaged one may be anything; that something is said is all.
#[test]
fn damaged_files_are_no_crash() {
    for (name, bytes) in corpus() {
        let object = object::File::parse(&*bytes).unwrap();
        let text = object.section_by_name(".text").unwrap();
        let debug: Vec<_> = object
            .sections()
            .filter(|section| {
                section.name().is_ok_and(|name| name.starts_with(".debug") || name == ".symtab")
            })
            .filter_map(|section| section.file_range())
            .collect();
        for seed in seeds() {
            let mut random = Rng::with_seed(seed);
            let mut damaged = bytes.clone();
            // Mostly where the debug information is; else in the headers or anywhere.
            let (start, size) = match random.u64(..8) {
                0 => (0, 64),
                1 => (0, bytes.len() as u64),
                _ => debug[random.usize(..debug.len())],
            };
            damage(&mut damaged[start as usize..(start + size) as usize], &mut random);
            let Some(image) = Image::parse(&damaged) else { continue };
            let mut symbolizer = Symbolizer::boxed();
            for address in (text.address()..text.address() + text.size()).step_by(23) {
                symbolizer.ask(0, address);
            }
            symbolizer.resolve(0, &image);
            for call in (0..MOST_ADDRESSES).flat_map(|number| symbolizer.answer(number)) {
                assert!(format!("{} {}", call.function, call.place).len() > 1, "{name}, seed {seed}");
            }
        }
    }
}
