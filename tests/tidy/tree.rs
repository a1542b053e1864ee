//! The files of the repository: those that Git tracks, and new ones that it doesn't ignore. So build products
//! and cores that lie about are never read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Paths relative to the top level, with `/`, sorted.
pub(crate) struct Tree {
    paths: Vec<String>,
}

impl Tree {
    /// The top level of the repository.
    pub(crate) fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    /// Asks Git; without Git, or in an unpacked archive, walks the folders.
    pub(crate) fn load() -> Self {
        let mut paths = listed_by_git(Self::root()).unwrap_or_else(|| walked(Self::root()));
        // Git also lists what was deleted and not yet committed.
        paths.retain(|path| Self::root().join(path).symlink_metadata().is_ok());
        paths.sort();
        assert!(
            paths.iter().any(|path| path == "Cargo.toml"),
            "no Cargo.toml in {:?}: not the tree",
            Self::root()
        );
        Self { paths }
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// Path and text of each regular UTF-8 file for which `wanted` holds.
    pub(crate) fn texts(self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (String, String)> {
        self.paths.into_iter().filter(move |path| wanted(path)).filter_map(|path| {
            let file = Self::root().join(&path);
            let is_file = file.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
            let text = is_file.then(|| fs::read(&file).ok())??;
            Some((path, String::from_utf8(text).ok()?))
        })
    }
}

fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    // A tree that lies inside some other repository is not that repository's.
    if !root.join(".git").exists() {
        return None;
    }
    let listing = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").arg("-C").arg(root).args(listing).output().ok()?;
    let listed = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(listed.split_terminator('\0').map(str::to_owned).collect())
}

fn walked(root: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).into_iter().flatten().flatten() {
            let path = folder.join(entry.file_name());
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            match path.to_str() {
                Some("target" | ".git") | None => {}
                Some(name) if name.ends_with("__pycache__") => {}
                Some(_) if is_folder => folders.push(path),
                Some(name) => paths.push(name.to_owned()),
            }
        }
    }
    paths
}

#[test]
fn listing_has_this_file_and_no_build_product() {
    for paths in [Tree::load().paths, walked(Tree::root())] {
        assert!(paths.iter().any(|path| path == "tests/tidy/tree.rs"));
        assert!(!paths.iter().any(|path| path.starts_with("target/") || path.starts_with(".git/")));
    }
}
