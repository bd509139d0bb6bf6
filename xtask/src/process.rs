//! The workspace that the task runs in, and running other programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The root of the workspace that cargo was called in. The folder that this program was compiled in may be another one: clones
/// can share a target folder, and cargo then takes the program of either.
pub(crate) fn root() -> Result<PathBuf, String> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = package.as_deref().and_then(Path::parent).map(Path::to_owned);
    root.ok_or_else(|| {
        "cargo has not said which workspace this is: start it as `cargo xtask TASK`".to_owned()
    })
}

/// The cargo that runs this task.
pub(crate) fn cargo() -> Result<Command, String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()?);
    Ok(command)
}

/// The packages of the workspace as cargo describes them, with `flags`.
pub(crate) fn metadata(flags: &[&str]) -> Result<Value, String> {
    let mut command = cargo()?;
    command.args(["metadata", "--quiet", "--format-version", "1"]).args(flags);
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("`{}` failed: {}, {error}", line(&command), output.status))
}

/// The target folder, which the environment or a configuration may have moved.
pub(crate) fn target() -> Result<PathBuf, String> {
    let metadata = metadata(&["--no-deps"])?;
    metadata["target_directory"].as_str().map(PathBuf::from).ok_or_else(|| "no target folder".to_owned())
}

/// Whether `cargo NAME` exists.
pub(crate) fn has_cargo_tool(name: &str) -> bool {
    cargo().is_ok_and(|mut cargo| succeeds(cargo.args([name, "--version"])))
}

/// Installs `cargo NAME` from the registry if it does not exist.
pub(crate) fn need_cargo_tool(name: &str) -> Result<(), String> {
    if has_cargo_tool(name) {
        return Ok(());
    }
    println!("cargo {name} is missing: installing it");
    run(cargo()?.args(["install", "--debug", "--locked", &format!("cargo-{name}")]))
}

/// Runs a command to its end; anything but success is an error that names it.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let line = line(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed: {status}")),
        Err(error) => Err(format!("`{line}` could not be started: {error}")),
    }
}

/// Whether a command exists and succeeds. Its output is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default().to_string_lossy();
    let words = command.get_args().map(|word| word.to_string_lossy());
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}
