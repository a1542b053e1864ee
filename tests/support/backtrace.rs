//! Backtraces: what a debugger printed, as frames; and how they differ from what was expected.
//!
//! Names are brought to their last segment, without generic arguments and hashes, because that is what
//! debuggers and profiles agree on: `nested::inner_work::h6e4f…`, `inner_work` and `nested::inner_work` are
//! one function.

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The last segment of the function's path, `{closure}` for any closure, [`UNKNOWN`] if it has no name.
    pub(crate) function: String,
    /// The source file, as the debugger says it: perhaps its last part only; perhaps nothing.
    pub(crate) file: String,
    /// 0 if it has none.
    pub(crate) line: u32,
    /// Whether the debugger shows it as inlined in the frame below.
    pub(crate) is_inlined: bool,
}

/// The name of a function that has none.
pub(crate) const UNKNOWN: &str = "??";

/// What GDB calls a frame whose CFI says that it is a signal's: here, a coroutine's `entry`.
const SIGNAL_FRAME: &str = "<signal handler called>";

/// The frames of GDB's `bt`.
pub(crate) fn of_gdb(text: &str) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for line in text.lines() {
        let Some((_, rest)) = numbered(line, "#") else { continue };
        let (has_address, rest) = match rest.strip_prefix("0x").and_then(|rest| rest.split_once(" in ")) {
            Some((_, rest)) => (true, rest),
            None => (false, rest),
        };
        let (file, line) = rest.rsplit_once(" at ").map_or(("", 0), |(_, place)| file_and_line(place));
        // No address: the frame above is a part of this one's code.
        if let Some(above) = frames.last_mut() {
            above.is_inlined = !has_address && rest != SIGNAL_FRAME;
        }
        let function = if rest == SIGNAL_FRAME { rest.to_owned() } else { last_segment(rest) };
        frames.push(Frame { function, file: file.to_owned(), line, is_inlined: false });
    }
    frames
}

/// The frames of LLDB's `bt`.
pub(crate) fn of_lldb(text: &str) -> Vec<Frame> {
    let frame = |line: &str| {
        let line = line.trim_start().trim_start_matches("* ");
        let (_, rest) = numbered(line, "frame #")?;
        // Without a module or a symbol there is an address only.
        let (_, code) = rest.split_once('`').unwrap_or(("", ""));
        let (is_inlined, function) = match code.rsplit_once(" [inlined] ") {
            Some((_, function)) => (true, function),
            None => (false, code),
        };
        let (file, line) = code.rsplit_once(" at ").map_or(("", 0), |(_, place)| file_and_line(place));
        Some(Frame { function: last_segment(function), file: file.to_owned(), line, is_inlined })
    };
    text.lines().filter_map(frame).collect()
}

/// The frames of a `std::backtrace::Backtrace`, printed. It doesn't say what is inlined.
pub(crate) fn of_std(text: &str) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for line in text.lines().map(str::trim_start) {
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(frame) = frames.last_mut() {
                let (file, line) = file_and_line(place);
                (frame.file, frame.line) = (file.to_owned(), line);
            }
        } else if let Some((number, name)) = line.split_once(": ")
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            let function = last_segment(name);
            frames.push(Frame { function, file: String::new(), line: 0, is_inlined: false });
        }
    }
    frames
}

/// A line that begins with a mark and a number; the number and what follows it.
fn numbered<'a>(line: &'a str, mark: &str) -> Option<(u32, &'a str)> {
    let rest = line.strip_prefix(mark)?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = rest.split_at(end);
    Some((number.parse().ok()?, rest.trim_start_matches([':', ' '])))
}

/// `FILE:LINE`, perhaps with `:COLUMN`, which is of no interest.
fn file_and_line(place: &str) -> (&str, u32) {
    let mut parts = place.split(':');
    let (file, line) = (parts.next(), parts.next().and_then(|line| line.parse().ok()));
    file.zip(line).unwrap_or(("", 0))
}

/// The last segment of the path with which `text` begins.
///
/// The path ends at the first space or parenthesis outside angle brackets; a hash is not a segment.
pub(crate) fn last_segment(text: &str) -> String {
    let mut segments = vec![String::new()];
    let mut depth = 0;
    let mut before = ' ';
    for c in text.chars() {
        match c {
            // `->` in a function's type closes nothing.
            '>' if before != '-' => depth -= 1,
            '<' => depth += 1,
            ' ' | '(' if depth == 0 => break,
            ':' if depth == 0 && before == ':' => segments.push(String::new()),
            ':' if depth == 0 => {}
            _ if depth == 0 => segments.last_mut().expect("there is always one").push(c),
            _ => {}
        }
        before = c;
    }
    let is_hash = |name: &str| {
        name.len() == 17 && name.starts_with('h') && name[1..].bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    match segments.iter().rfind(|name| !name.is_empty() && !is_hash(name)) {
        None => UNKNOWN.into(),
        Some(name) if name.contains("closure") => "{closure}".into(),
        Some(name) if name.starts_with("___lldb_unnamed_symbol") => UNKNOWN.into(),
        Some(name) => name.clone(),
    }
}

/// One step of an expected backtrace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A frame of this function, at any place.
    Function(&'static str),
    /// A frame of this function at a line of a source file (its last part).
    Line(&'static str, &'static str, u32),
    /// The same, shown as inlined in the frame below.
    Inlined(&'static str, &'static str, u32),
    /// A coroutine's lowest frame, and below it its resumer's highest: `entry` and `switch`.
    Boundary,
    /// Any frames, perhaps none, but no unknown one and no boundary's.
    Gap,
    /// The first function of the process or thread, as the last frame of all.
    Root,
}

/// How what a debugger printed, and the frames in it, differ from what was expected. Empty: not at all.
pub(crate) fn problems(text: &str, frames: &[Frame], expected: &[Expected]) -> Vec<String> {
    let mut problems = Vec::new();
    for complaint in ["corrupt", "Backtrace stopped", "error:"] {
        if let Some(line) = text.lines().find(|line| line.contains(complaint)) {
            problems.push(format!("the debugger complains: {line}"));
        }
    }
    for (number, frame) in frames.iter().enumerate().filter(|(_, frame)| frame.function == UNKNOWN) {
        problems.push(format!("frame {number} is of an unknown function: {frame:?}"));
    }
    problems.extend(difference(frames, expected));
    problems
}

/// The first difference.
fn difference(frames: &[Frame], expected: &[Expected]) -> Option<String> {
    let mut rest = frames.iter().enumerate().peekable();
    let mut may_skip = false;
    for step in expected {
        let fits = |frame: &Frame| match *step {
            Expected::Function(name) => frame.function == name,
            Expected::Line(name, file, _) | Expected::Inlined(name, file, _) => {
                frame.function == name && frame.file.rsplit('/').next() == Some(file)
            }
            Expected::Boundary => is_entry(frame),
            Expected::Gap | Expected::Root => false,
        };
        if *step == Expected::Gap {
            may_skip = true;
            continue;
        }
        if *step == Expected::Root {
            return root_problem(frames.last()?, rest.map(|(_, frame)| frame));
        }
        while may_skip && rest.next_if(|(_, frame)| !fits(frame) && !is_of_boundary(frame)).is_some() {}
        may_skip = false;
        let Some((number, frame)) = rest.next() else {
            return Some(format!("the backtrace ends before {step:?}"));
        };
        if !fits(frame) {
            return Some(format!("frame {number} should be {step:?}, but is {frame:?}"));
        }
        match *step {
            Expected::Line(.., line) | Expected::Inlined(.., line) if frame.line != line => {
                return Some(format!("frame {number} should be at line {line}: {frame:?}"));
            }
            Expected::Inlined(..) if !frame.is_inlined => {
                return Some(format!("frame {number} should be shown as inlined: {frame:?}"));
            }
            Expected::Boundary => match rest.next() {
                Some((_, below)) if below.function == "switch" => {}
                below => {
                    return Some(format!("below the entry in frame {number} should be `switch`: {below:?}"));
                }
            },
            _ => {}
        }
    }
    rest.next().map(|(number, frame)| format!("frame {number} is one too many: {frame:?}"))
}

fn is_entry(frame: &Frame) -> bool {
    frame.function == SIGNAL_FRAME || frame.function == "entry"
}

fn is_of_boundary(frame: &Frame) -> bool {
    is_entry(frame) || frame.function == "switch"
}

fn root_problem<'a>(last: &Frame, mut rest: impl Iterator<Item = &'a Frame>) -> Option<String> {
    if let Some(frame) = rest.find(|frame| is_of_boundary(frame)) {
        return Some(format!("there is one boundary too many: {frame:?}"));
    }
    (!is_root(&last.function)).then(|| format!("the last frame is not where a thread starts, but {last:?}"))
}

/// Whether a function is one in which processes and threads start: C's `main` (GDB ends there if it can) or
/// what calls it, and what glibc calls a thread's.
pub(crate) fn is_root(function: &str) -> bool {
    ["main", "_start", "start_thread", "clone", "__clone", "clone3", "__clone3"].contains(&function)
}
