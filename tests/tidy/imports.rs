//! The order of dependence: a module imports only what stands to its left in [`ORDER`].
//!
//! So the lower half can be read, tested and run in a signal handler without the upper half. The order is
//! explained in debug-docs/architecture.md.

use crate::Problem;
use crate::source::{closing, code_of, is_word, leading_word, line_of, without_tests, words};

/// The library's top modules. A module may use those before it and itself.
pub(crate) const ORDER: [&str; 19] = [
    "error",
    "arch",
    "abi",
    "sys",
    "stack",
    "registry",
    "debug",
    "coroutine",
    "reactor",
    "scheduler",
    "sync",
    "offload",
    "future",
    "time",
    "net",
    "runtime",
    "attributes",
    "http",
    "bench",
];

/// Who a file under `src` is.
enum Owner<'a> {
    /// `lib.rs` names everything.
    Library,
    /// `main.rs` with its modules, `crate` being the program.
    Program,
    /// A program in a folder of its own under `src/bin`.
    SeparateProgram,
    Module(&'a str),
}

/// The problems of the paths in one file under `src`.
pub(crate) fn check(path: &str, text: &str) -> Vec<Problem> {
    let code = without_tests(&code_of(text));
    match owner_of(path) {
        _ if is_test_file(path) => Vec::new(),
        Owner::Library | Owner::SeparateProgram => Vec::new(),
        Owner::Program => check_program(path, &code),
        Owner::Module(module) => check_module(path, &code, module),
    }
}

fn owner_of(path: &str) -> Owner<'_> {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    let top = inner.split('/').next().unwrap_or(inner);
    match top.strip_suffix(".rs").unwrap_or(top) {
        "lib" => Owner::Library,
        "main" | "demo" => Owner::Program,
        "bin" => Owner::SeparateProgram,
        module => Owner::Module(module),
    }
}

/// `#[cfg(test)] mod tests;` lies in a file of that name, or in a folder.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn check_module(path: &str, code: &str, module: &str) -> Vec<Problem> {
    let Some(own) = ORDER.iter().position(|&known| known == module) else {
        let what = format!(
            "module `{module}` has no place in the order of dependence. Give it one, right of all that it \
             imports and left of all that import it: in ORDER of tests/tidy/imports.rs and in \
             debug-docs/architecture.md."
        );
        return vec![Problem::new(path, 0, what)];
    };
    let report = |import: Import| {
        let line = line_of(code, import.at);
        let name = import.name;
        let what = match ORDER.iter().position(|known| *known == name) {
            Some(other) if other <= own => return None,
            Some(_) => format!(
                "`{module}` imports `crate::{name}`, which stands to its right in the order of dependence \
                 ({}). Move what is needed to a module at or left of `{module}`, have the caller hand it \
                 in (a value, a function, a trait), or move this code up into `{name}`.",
                ORDER.join(" → ")
            ),
            None => format!(
                "`crate::{name}` goes through the crate's root, so it doesn't show which module it depends \
                 on. Name the module that defines it; if `{name}` is a new module, give it its place in \
                 ORDER of tests/tidy/imports.rs."
            ),
        };
        Some(Problem::new(path, line, what))
    };
    imports(path, code).into_iter().filter_map(report).collect()
}

/// A program sees the library as its users do.
fn check_program(path: &str, code: &str) -> Vec<Problem> {
    let through_crate = imports(path, code).into_iter().map(|import| (import.at, import.name));
    let declared = words(code, "mod").map(|at| {
        let rest = code[at + 3..].trim_start();
        let name = leading_word(rest);
        (at, if rest[name.len()..].starts_with(';') { name } else { "" })
    });
    through_crate
        .chain(declared.filter(|_| path == "src/main.rs"))
        .filter(|(_, name)| ORDER.contains(name))
        .map(|(at, name)| {
            let what = format!(
                "the program compiles the library's module `{name}` a second time, as its own. Use \
                 `coro::{name}`; what isn't public there isn't meant for programs."
            );
            Problem::new(path, line_of(code, at), what)
        })
        .collect()
}

/// A name directly below the crate's root, and where it is written.
struct Import<'a> {
    at: usize,
    name: &'a str,
}

/// All that `code` reaches through `crate::`, or through enough `super::` to end up there.
fn imports<'a>(path: &str, code: &'a str) -> Vec<Import<'a>> {
    let mut found = Vec::new();
    // Not `$crate`: that is a macro's way to the root, from wherever it is used.
    for at in words(code, "crate").filter(|&at| !code[..at].ends_with('$')) {
        names_after(code, at + "crate".len(), &mut found);
    }
    let inline = inline_modules(code);
    for at in words(code, "super") {
        let mut end = at + "super".len();
        let mut levels = 1;
        while code[end..].starts_with("::super") {
            end += "::super".len();
            levels += 1;
        }
        let inside = inline.iter().filter(|(from, to)| (from..to).contains(&&at)).count();
        if levels >= depth_of(path) + inside {
            names_after(code, end, &mut found);
        }
    }
    found
}

/// The first names of the path or the group that follows a `::` at `end`. Macros, which live at the root by
/// the language's rule, are left out.
fn names_after<'a>(code: &'a str, end: usize, found: &mut Vec<Import<'a>>) {
    let Some(rest) = code[end..].strip_prefix("::") else { return };
    let start = end + 2;
    if !rest.starts_with('{') {
        let name = if rest.starts_with('*') { "*" } else { leading_word(rest) };
        if !rest[name.len()..].starts_with('!') {
            found.push(Import { at: start, name });
        }
        return;
    }
    let group_end = closing(code, start) - 1;
    let mut at = start + 1;
    while at < group_end {
        let item = &code[at..group_end];
        let name = if item.starts_with('*') { "*" } else { leading_word(item) };
        match item.as_bytes()[0] {
            b'{' => at = closing(code, at),
            // On to the next comma that is not in a group of its own.
            _ if name.is_empty() => at += 1,
            _ => {
                found.push(Import { at, name });
                at += item.bytes().position(|byte| byte == b',' || byte == b'{').unwrap_or(item.len());
            }
        }
    }
    found.retain(|import| import.name != "self");
}

/// How many `super`s lead from a file's module to the crate's root.
fn depth_of(path: &str) -> usize {
    let inner = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
    let names = inner.split('/').count();
    if inner == "main" || inner.ends_with("/mod") { names - 1 } else { names }
}

/// The spans of the bodies of `mod name { … }`.
fn inline_modules(code: &str) -> Vec<(usize, usize)> {
    let body = |at: usize| {
        let rest = code[at + 3..].trim_start();
        let after = rest.trim_start_matches(|c: char| !c.is_ascii() || is_word(c as u8)).trim_start();
        let open = code.len() - after.len();
        after.starts_with('{').then(|| (open, closing(code, open)))
    };
    words(code, "mod").filter_map(body).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines at which problems are found, when `text` is the content of `path`.
    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(path, text).iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn import_from_the_right_is_caught_in_every_form() {
        let cases = [
            "use crate::scheduler::park;",
            "pub(crate) use crate::net;",
            "use crate::{error::Error, sys::{self, epoll}, scheduler::{queue, park}};",
            "use crate::{\n    net,\n};",
            "fn f() { crate::runtime::spawn(|| {}) }",
            "type T = Vec<crate::time::Instant>;",
            "use super::super::scheduler::park;",
            "fn f() { super::super::net::bind(); }",
            "use super::super::{abi, sync};",
            "use self::super::super::sync;",
            "mod inner { use super::super::super::http; }",
            "macro_rules! m { () => { crate::sync::Mutex } }",
        ];
        for text in cases {
            assert_eq!(check("src/reactor/source.rs", text).len(), 1, "{text}");
        }
        assert_eq!(lines("src/reactor/source.rs", "//! x\n\nuse crate::{\n    error,\n    net,\n};\n"), [5]);
        assert_eq!(lines("src/error.rs", "use super::abi;"), [1]);
        assert_eq!(lines("src/stack/mod.rs", "use super::registry::publish;"), [1]);
    }

    #[test]
    fn message_names_file_line_import_and_rule() {
        let problems = check("src/stack/slots.rs", "//! x\nuse crate::scheduler::park;\n");
        let message = problems[0].to_string();
        let parts = ["src/stack/slots.rs:2: ", "`crate::scheduler`", "error → arch → abi", "Move"];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }

    #[test]
    fn import_from_the_left_is_allowed() {
        let text = "use crate::{abi::{record, net}, error::Error};\nuse crate::reactor::Source;\n\
                    use super::timers;\nuse std::{net, time};\nmod inner { use super::super::net; }\n\
                    pub(in super::super) fn f() {}\n\
                    fn g() { $crate::net::x(); crate::trace!(); a::net::b(); }";
        assert_eq!(check("src/reactor/source.rs", text), []);
    }

    #[test]
    fn comments_strings_and_tests_may_name_anything() {
        let text = "//! Woken by [`crate::scheduler`].\nconst A: &str = \"crate::net\"; /* crate::http */\n\
                    #[cfg(test)]\nmod tests {\n    use crate::runtime::spawn;\n}\n";
        assert_eq!(check("src/reactor/source.rs", text), []);
        assert_eq!(check("src/reactor/timers/tests.rs", "use crate::runtime;"), []);
        assert_eq!(check("src/lib.rs", "pub use crate::runtime::spawn;"), []);
        // But what follows the tests is not a test.
        let text = "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::runtime::spawn;\n";
        assert_eq!(lines("src/reactor/source.rs", text), [3]);
    }

    #[test]
    fn way_through_the_root_is_caught() {
        assert_eq!(lines("src/net/tcp.rs", "use crate::Error;"), [1]);
        assert!(check("src/net/tcp.rs", "use crate::*;")[0].what.contains("`crate::*`"));
        assert_eq!(lines("src/net/tcp.rs", "use crate::{self as root, spawn};"), [1]);
    }

    #[test]
    fn module_without_a_place_is_caught() {
        assert_eq!(lines("src/novelty/mod.rs", ""), [0]);
    }

    #[test]
    fn program_uses_the_library_by_its_name() {
        assert_eq!(lines("src/main.rs", "mod demo;\nmod net;\n"), [2]);
        assert_eq!(lines("src/demo/options.rs", "use crate::runtime::Builder;"), [1]);
        assert_eq!(check("src/demo/options.rs", "use coro::runtime::Builder;\nuse crate::demo::routes;"), []);
        assert_eq!(check("src/bin/coro/main.rs", "mod debug;\nuse crate::debug::Args;"), []);
    }
}
