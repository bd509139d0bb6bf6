//! The source files of a crate of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

/// All Rust files below the `src` of this crate.
pub(crate) fn sources_of(crate_name: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(crate_name).join("src");
    sources(&root, &mut files);
    files
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
