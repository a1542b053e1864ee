//! The debuggers' commands, as their scripts describe them: names, usage and help have their only home there.

use crate::scripts;

/// A command of the scripts': `coro NAME ...`.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// What stands behind the name in its usage: `[FILTERS]`.
    pub(crate) arguments: &'static str,
    /// Its help's first sentence, without the dot.
    pub(crate) summary: String,
    /// All of its help but the usage.
    pub(crate) text: String,
}

/// All of them, in the order of `help coro`.
pub(crate) fn all() -> Vec<Command> {
    let list = scripts::text("gdb/coro_debug/commands/__init__.py");
    let names = list.lines().find_map(|line| line.strip_prefix("from . import ")).unwrap_or("");
    let names = names.split('#').next().unwrap_or("").split(',').map(str::trim);
    names.filter_map(described).collect()
}

/// A command by the module of its name: what its decorator names as the filters' help, and its docstring.
fn described(name: &'static str) -> Option<Command> {
    let module = scripts::text(&format!("gdb/coro_debug/commands/{name}.py"));
    let (_, definition) = module.split_once(&format!("@command(\"{name}\""))?;
    let (decorator, rest) = definition.split_once('\n')?;
    let (_, docstring) = rest.split_once("\"\"\"")?;
    let (docstring, _) = docstring.split_once("\"\"\"")?;
    let (usage, text) = docstring.split_once('\n')?;
    let mut text = unindented(text);
    let summary = joined(text.split("\n\n").next().unwrap_or(""));
    let summary = summary.split_once(". ").map_or(summary.as_str(), |(first, _)| first);
    let summary = summary.trim_end_matches('.').to_owned();
    if let Some(filters) = filters(decorator) {
        text = format!("{text}\n\nFilters:\n{filters}");
    }
    let arguments = usage.strip_prefix("coro ")?.strip_prefix(name)?.trim();
    Some(Command { name, arguments, summary, text })
}

/// The help on filters that a decorator names.
fn filters(decorator: &str) -> Option<String> {
    let (_, text) = scripts::text("gdb/coro_debug/options.py").split_once("HELP = \"\"\"\\\n")?;
    let (text, _) = text.split_once("\"\"\"")?;
    let is_sorted = !decorator.contains("options_.HELP_UNSORTED");
    let lines = text.lines().filter(|line| is_sorted || !line.trim_start().starts_with("-sort "));
    decorator.contains("options_.HELP").then(|| lines.collect::<Vec<&str>>().join("\n"))
}

/// A docstring's text without the indentation of its function.
fn unindented(text: &str) -> String {
    let lines = text.lines().map(|line| line.strip_prefix("    ").unwrap_or(line));
    lines.collect::<Vec<&str>>().join("\n").trim().to_owned()
}

/// A paragraph as one line.
fn joined(paragraph: &str) -> String {
    paragraph.split_whitespace().collect::<Vec<&str>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_scripts_is_described() {
        let all = all();
        let names: Vec<&str> = all.iter().map(|command| command.name).collect();
        let modules = scripts::ALL.iter().filter_map(|(path, _)| {
            let name = path.strip_prefix("gdb/coro_debug/commands/")?.strip_suffix(".py")?;
            (name != "__init__").then_some(name)
        });
        let mut modules: Vec<&str> = modules.collect();
        let mut sorted = names.clone();
        modules.sort_unstable();
        sorted.sort_unstable();
        assert_eq!(sorted, modules);
        assert_eq!(names[..2], ["list", "bt"], "in the scripts' order");
        for command in &all {
            assert!(command.summary.starts_with(char::is_uppercase), "{command:?}");
            assert!(
                !command.text.contains("\"\"\"") && command.text.len() > command.summary.len(),
                "{command:?}"
            );
        }
    }

    #[test]
    fn help_is_the_scripts_with_their_filters() {
        let all = all();
        let of = |name: &str| all.iter().find(|command| command.name == name).unwrap();
        assert_eq!(
            (of("list").arguments, of("list").summary.as_str()),
            ("[FILTERS]", "Lists the coroutines")
        );
        assert!(of("list").text.contains("\n    -sort S ") && of("list").text.contains("\n    -state S "));
        assert!(!of("group").text.contains("-sort") && of("group").text.contains("\n    -state S "));
        assert!(of("bt").arguments.starts_with("ID|NAME|.") && !of("bt").text.contains("Filters:"));
    }
}
