//! Files of frames, generated when first needed and kept.

use std::fs;
use std::path::{Path, PathBuf};

use super::Sizes;
use crate::corpus::Traffic;
use crate::frames::Frames;
use crate::mode::Mode;

/// The file with the traffic of a mode.
pub(super) fn frames(folder: &Path, sizes: Sizes, mode: Mode) -> Result<PathBuf, String> {
    let file = folder.join(format!("{}-{}-{mode}.frames", sizes.guilds, sizes.events));
    if !file.exists() {
        make(folder, sizes, mode, &file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(file)
}

fn make(folder: &Path, sizes: Sizes, mode: Mode, file: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let traffic = Traffic { events: sizes.events, guilds: sizes.guilds, ..Traffic::default() };
    // Written under another name first, so that an interrupted run leaves no incomplete file.
    let unfinished = file.with_extension("unfinished");
    Frames::encode(traffic.payloads(), mode).write(&unfinished)?;
    fs::rename(&unfinished, file)
}
