//! Rules for the debugger scripts: what may import what, and that each command explains itself.

use crate::Problem;

/// What the shared scripts may not know: a debugger's modules.
const DEBUGGERS: [&str; 4] = ["gdb", "lldb", "coro_gdb", "coro_lldb"];
/// What is beyond the oldest Python that a debugger may carry (3.8), as it stands in code.
const TOO_NEW: [(&str, &str); 4] = [
    (".removeprefix(", "`str.removeprefix` came with Python 3.9"),
    (".removesuffix(", "`str.removesuffix` came with Python 3.9"),
    ("zip(strict=", "`zip(strict=…)` came with Python 3.10"),
    ("\n    match ", "`match` came with Python 3.10"),
];

/// Words of the debug ABI that only who decodes it needs.
const DECODERS: [&str; 6] =
    ["COROABI", "record fields", "class fields", "state word", "wait reasons", "saved registers"];

/// The registry is decoded in one place: a debugger's own side has no second decoder.
pub(crate) fn check_one_decoder(path: &str, text: &str) -> Vec<Problem> {
    let lines = text.lines().enumerate();
    let found = lines.filter_map(|(number, line)| {
        let word = DECODERS.iter().find(|word| line.contains(**word))?;
        let what = format!("`{word}` is for the decoder of the registry, which is gdb/coro_debug. Ask that.");
        Some(Problem::new(path, number + 1, what))
    });
    found.collect()
}

/// The scripts that both debuggers share know neither.
pub(crate) fn check_imports(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        let Some(names) = code.strip_prefix("import ").or_else(|| code.strip_prefix("from ")) else {
            continue;
        };
        // Of `from a.b import c`, the module.
        let modules = if code.starts_with("from ") { names.split(' ').next().unwrap_or("") } else { names };
        for module in modules.split(',').map(|module| module.trim().split(['.', ' ']).next().unwrap_or("")) {
            if DEBUGGERS.contains(&module) {
                let what = format!(
                    "this imports `{module}`, but what both debuggers share knows neither. Let the port do it."
                );
                problems.push(Problem::new(path, number + 1, what));
            }
        }
    }
    problems
}

/// Python as old as a debugger may carry runs it.
pub(crate) fn check_age(path: &str, text: &str) -> Vec<Problem> {
    let found = TOO_NEW.iter().flat_map(|(code, what)| {
        text.match_indices(code).map(move |(at, _)| {
            let line = text[..at + code.len()].lines().count();
            Problem::new(path, line, format!("{what}, and debuggers with 3.8 are in use."))
        })
    });
    found.collect()
}

/// Each command's docstring begins with its usage, and explains it in a paragraph of its own.
pub(crate) fn check_commands(path: &str, text: &str) -> Vec<Problem> {
    let lines: Vec<&str> = text.lines().collect();
    let mut problems = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let Some(name) = line.strip_prefix("@command(\"").and_then(|rest| rest.split('"').next()) else {
            continue;
        };
        let usage = lines.get(number + 2).map_or("", |line| line.trim());
        let is_usage = usage.strip_prefix("\"\"\"coro ").is_some_and(|rest| {
            rest.strip_prefix(name).is_some_and(|more| more.is_empty() || more.starts_with(' '))
        });
        let is_explained = lines.get(number + 3).is_some_and(|line| line.trim().is_empty())
            && lines.get(number + 4).is_some_and(|line| line.trim().starts_with(char::is_uppercase));
        if !(is_usage && is_explained) {
            let what = format!(
                "the command `{name}` has no help. Let its function's docstring begin with `coro {name} …`, an empty \
                 line, and a sentence."
            );
            problems.push(Problem::new(path, number + 1, what));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debugger_in_the_shared_scripts_is_caught() {
        for line in [
            "import gdb",
            "    import os, lldb",
            "from gdb.unwinder import Unwinder",
            "from coro_gdb import port",
        ] {
            assert_eq!(
                check_imports("gdb/coro_debug/a.py", &format!("\"\"\"A.\"\"\"\n{line}\n"))[0].line,
                2,
                "{line}"
            );
        }
        for line in ["import struct", "from . import gdb_like", "# import gdb", "from .port import Port"] {
            assert_eq!(check_imports("gdb/coro_debug/a.py", line), [], "{line}");
        }
    }

    #[test]
    fn second_decoder_is_caught() {
        assert_eq!(check_one_decoder("lldb/a.py", "a = 1\nrows(\"record fields\")\n")[0].line, 2);
        assert_eq!(check_one_decoder("lldb/a.py", "records = registry.records()\n"), []);
    }

    #[test]
    fn new_python_is_caught() {
        assert_eq!(check_age("gdb/a.py", "a\nb.removeprefix('x')\n")[0].line, 2);
        assert_eq!(check_age("gdb/a.py", "def f(x):\n    match x:\n")[0].line, 2);
        assert_eq!(check_age("gdb/a.py", "remove = prefix\n    matches = 1\n"), []);
    }

    #[test]
    fn command_without_help_is_caught() {
        let with = |docstring: &str| {
            format!("@command(\"list\", X)\ndef run(session, arguments):\n    {docstring}\n")
        };
        let good = "\"\"\"coro list [FILTERS]\n\n    Lists them.\n    \"\"\"";
        assert_eq!(check_commands("gdb/a.py", &with(good)), []);
        for bad in [
            "pass",
            "\"\"\"Lists them.\"\"\"",
            "\"\"\"coro lists\n\n    Lists.\"\"\"",
            "\"\"\"coro list\n    Lists.\"\"\"",
        ] {
            assert_eq!(check_commands("gdb/a.py", &with(bad)).len(), 1, "{bad}");
        }
    }
}
