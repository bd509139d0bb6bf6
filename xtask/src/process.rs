//! The workspace that the task runs in, and running other programs.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

pub(crate) type Done<T = ()> = Result<T, Box<dyn Error>>;

/// The root of the workspace that cargo was called in. The folder that this program was compiled in may be another one: clones
/// can share a target folder, and cargo then takes the program of either.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    package.as_deref().and_then(Path::parent).map_or_else(|| ".".into(), Path::to_owned)
}

/// The cargo that runs this task, with these words behind it.
pub(crate) fn cargo(words: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(words.split_whitespace());
    command
}

/// The workspace as cargo describes it, with `flags`.
pub(crate) fn metadata(flags: &str) -> Done<Value> {
    let mut command = cargo(&format!("metadata --quiet --format-version 1 {flags}"));
    let output = command.stderr(Stdio::inherit()).output()?;
    let read = serde_json::from_slice(&output.stdout);
    Ok(read.map_err(|error| format!("`{}` failed: {}, {error}", line(&command), output.status))?)
}

/// The target folder, which the environment or a configuration may have moved.
pub(crate) fn target() -> Done<PathBuf> {
    Ok(metadata("--no-deps")?["target_directory"].as_str().ok_or("no target folder")?.into())
}

/// Installs `cargo NAME` from the registry if it does not exist.
pub(crate) fn need_cargo_tool(name: &str) -> Done {
    if succeeds(&mut cargo(&format!("{name} --version"))) {
        return Ok(());
    }
    println!("cargo {name} is missing: installing it");
    run(&mut cargo(&format!("install --debug --locked cargo-{name}")))
}

/// Runs a command to its end; anything but success is an error that names it.
pub(crate) fn run(command: &mut Command) -> Done {
    let line = line(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed: {status}").into()),
        Err(error) => Err(format!("`{line}` could not be started: {error}").into()),
    }
}

/// Whether a command exists and succeeds. Its output is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
