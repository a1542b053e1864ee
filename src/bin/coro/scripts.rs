//! The debuggers' scripts, which the program carries, and where it puts them: so it is one file, which can be copied to where
//! the program runs that is to be looked at.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::{env, io, process};

use nix::unistd::{User, getegid, geteuid};

use crate::problem::Problem;

/// Path and text of each.
macro_rules! scripts {
    ($($path:literal,)*) => {
        &[$(($path, include_str!(concat!("../../../", $path)))),*]
    };
}

/// All of them, by their paths in coro's sources.
pub(crate) const ALL: &[(&str, &str)] = scripts![
    "gdb/coro.py",
    "gdb/coro_debug/__init__.py",
    "gdb/coro_debug/access.py",
    "gdb/coro_debug/backtrace.py",
    "gdb/coro_debug/breaks.py",
    "gdb/coro_debug/chosen.py",
    "gdb/coro_debug/command.py",
    "gdb/coro_debug/commands/__init__.py",
    "gdb/coro_debug/commands/addr.py",
    "gdb/coro_debug/commands/bt.py",
    "gdb/coro_debug/commands/crash.py",
    "gdb/coro_debug/commands/deadlock.py",
    "gdb/coro_debug/commands/dump.py",
    "gdb/coro_debug/commands/group.py",
    "gdb/coro_debug/commands/info.py",
    "gdb/coro_debug/commands/list.py",
    "gdb/coro_debug/commands/stacks.py",
    "gdb/coro_debug/commands/stats.py",
    "gdb/coro_debug/commands/thread.py",
    "gdb/coro_debug/commands/tree.py",
    "gdb/coro_debug/commands/why.py",
    "gdb/coro_debug/corefile.py",
    "gdb/coro_debug/coroutine.py",
    "gdb/coro_debug/deep.py",
    "gdb/coro_debug/elf.py",
    "gdb/coro_debug/fold.py",
    "gdb/coro_debug/frames.py",
    "gdb/coro_debug/graph.py",
    "gdb/coro_debug/greeting.py",
    "gdb/coro_debug/layout.py",
    "gdb/coro_debug/memory.py",
    "gdb/coro_debug/objects.py",
    "gdb/coro_debug/once.py",
    "gdb/coro_debug/options.py",
    "gdb/coro_debug/places.py",
    "gdb/coro_debug/port.py",
    "gdb/coro_debug/records.py",
    "gdb/coro_debug/registry.py",
    "gdb/coro_debug/remarks.py",
    "gdb/coro_debug/rendering.py",
    "gdb/coro_debug/report.py",
    "gdb/coro_debug/session.py",
    "gdb/coro_debug/shown.py",
    "gdb/coro_debug/snapshot.py",
    "gdb/coro_debug/source.py",
    "gdb/coro_debug/text.py",
    "gdb/coro_debug/verdict.py",
    "gdb/coro_debug/waits.py",
    "gdb/coro_debug/walker.py",
    "gdb/coro_debug/whereabouts.py",
    "gdb/coro_gdb/__init__.py",
    "gdb/coro_gdb/breaks.py",
    "gdb/coro_gdb/commands.py",
    "gdb/coro_gdb/compat.py",
    "gdb/coro_gdb/completion.py",
    "gdb/coro_gdb/frames.py",
    "gdb/coro_gdb/functions.py",
    "gdb/coro_gdb/gcore.py",
    "gdb/coro_gdb/guard.py",
    "gdb/coro_gdb/once.py",
    "gdb/coro_gdb/port.py",
    "gdb/coro_gdb/printers.py",
    "gdb/coro_gdb/select.py",
    "gdb/coro_gdb/selection.py",
    "gdb/coro_gdb/sessions.py",
    "gdb/coro_gdb/skip.py",
    "gdb/coro_gdb/stack.py",
    "gdb/coro_gdb/stepping.py",
    "gdb/coro_gdb/stops.py",
    "gdb/coro_gdb/unwinder.py",
    "gdb/coro_gdb/values.py",
    "lldb/coro.py",
    "lldb/coro_lldb/__init__.py",
    "lldb/coro_lldb/attach.py",
    "lldb/coro_lldb/breaks.py",
    "lldb/coro_lldb/commands.py",
    "lldb/coro_lldb/compat.py",
    "lldb/coro_lldb/core_notes.py",
    "lldb/coro_lldb/crowd.py",
    "lldb/coro_lldb/formats.py",
    "lldb/coro_lldb/linux.py",
    "lldb/coro_lldb/memory.py",
    "lldb/coro_lldb/once.py",
    "lldb/coro_lldb/os_plugin.py",
    "lldb/coro_lldb/plugged.py",
    "lldb/coro_lldb/port.py",
    "lldb/coro_lldb/real_threads.py",
    "lldb/coro_lldb/select.py",
    "lldb/coro_lldb/sessions.py",
    "lldb/coro_lldb/stack.py",
    "lldb/coro_lldb/stepping.py",
    "lldb/coro_lldb/stop.py",
    "lldb/coro_lldb/summaries.py",
    "lldb/coro_lldb/threads.py",
    "lldb/coro_lldb/values.py",
];

/// One's text.
pub(crate) fn text(path: &str) -> &'static str {
    let found = ALL.iter().find(|(known, _)| *known == path);
    found.unwrap_or_else(|| panic!("there is no script {path}")).1
}

/// The folder that has them, of this user's own: `gdb/coro.py` and `lldb/coro.py` are to be loaded. They are written where
/// they aren't there yet, or have been changed.
pub(crate) fn unpacked() -> Result<PathBuf, Problem> {
    let cache = cache()?;
    let folder = cache.join(format!("coro/scripts-{}-{:016x}", env!("CARGO_PKG_VERSION"), fingerprint()));
    make_own(&cache, &folder)?;
    for (path, text) in ALL {
        let path = folder.join(path);
        if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            continue;
        }
        write(&path, text).map_err(|error| {
            Problem(format!("can't write the debugger's script {}: {error}", path.display()))
        })?;
    }
    Ok(folder)
}

/// Where a user's programs keep what they can make again. HOME may be somebody else's, as `sudo` and `su` can leave it: then
/// it isn't taken.
fn cache() -> Result<PathBuf, Problem> {
    let of = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let is_own =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.uid() == geteuid().as_raw());
    let home = || of("HOME").filter(is_own).or_else(|| Some(User::from_uid(geteuid()).ok()??.dir));
    of("XDG_CACHE_HOME").or_else(|| Some(home()?.join(".cache"))).ok_or_else(|| {
        Problem(format!(
            "there is no folder for the debugger's scripts: user {} has no home; set XDG_CACHE_HOME",
            geteuid()
        ))
    })
}

/// What tells one set of scripts from another.
fn fingerprint() -> u64 {
    let mut hasher = DefaultHasher::new();
    ALL.hash(&mut hasher);
    hasher.finish()
}

/// Makes a folder that is nobody else's: a debugger will execute what is in it. Nor may anybody put another in its place: so
/// the folders from `cache` on are looked at, too.
fn make_own(cache: &Path, folder: &Path) -> Result<(), Problem> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| {
        let advice = "set XDG_CACHE_HOME to a folder that can be written to";
        Problem(format!(
            "can't make the folder {} for the debugger's scripts: {error}; {advice}",
            folder.display()
        ))
    })?;
    // The user may have made `cache` a link, to wherever they like.
    let is_safe = |path: &&Path| {
        let metadata = if *path == cache { fs::metadata(path) } else { fs::symlink_metadata(path) };
        metadata.is_ok_and(|metadata| nobody_else_changes(&metadata, *path == folder))
    };
    let unsafe_one =
        folder.ancestors().take_while(|path| path.starts_with(cache)).find(|path| !is_safe(path));
    let Some(path) = unsafe_one else { return Ok(()) };
    let advice = if path == cache { "set XDG_CACHE_HOME to a folder of your own" } else { "remove it" };
    Err(Problem(format!(
        "the folder {} isn't of user {} alone, so that the debugger's scripts in it may be somebody else's: {advice}",
        path.display(),
        geteuid()
    )))
}

/// Whether another user than root can neither change what is in a folder nor, where it isn't `ours` alone, rename what is
/// this user's there.
fn nobody_else_changes(folder: &Metadata, is_ours: bool) -> bool {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    if is_ours {
        return folder.is_dir() && folder.uid() == user && folder.mode() & 0o022 == 0;
    }
    // With a umask of 002, which takes a group for each user, all is writable for that group.
    let others = if folder.gid() == group { 0o002 } else { 0o022 };
    let is_sticky = folder.mode() & 0o1000 != 0;
    folder.is_dir() && [0, user].contains(&folder.uid()) && (folder.mode() & others == 0 || is_sticky)
}

/// Writes a file as a whole: another `coro` may be reading it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let unfinished = path.with_extension(format!("{}.tmp", process::id()));
    fs::write(&unfinished, text)?;
    fs::set_permissions(&unfinished, Permissions::from_mode(0o600))?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_is_carried() {
        fn collect(folder: &Path, into: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    collect(&path, into);
                } else if path.extension().is_some_and(|extension| extension == "py") {
                    let inner = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
                    into.push(inner.to_str().unwrap().to_owned());
                }
            }
        }
        let mut there = Vec::new();
        for folder in ["gdb", "lldb"] {
            collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut there);
        }
        // That one is for programs, which have it in them.
        there.retain(|path| path != "gdb/autoload.py");
        there.sort_unstable();
        assert_eq!(ALL.iter().map(|(path, _)| *path).collect::<Vec<&str>>(), there);
    }
}
