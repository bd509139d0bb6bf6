//! The programs that measure, and their output.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use gateway_codec::Compression;
use serde_json::Value;

use crate::client::Who;
use crate::mode::Mode;

/// The locations of the programs.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The folder with `decode`, `allocations`, `serve` and `client`, and with `serenity`, `twilight-plain`,
    /// `twilight-zlib` and `twilight-zstd`, which are `client` with no other contender compiled in.
    pub folder: PathBuf,
    /// The folder with the scripts of contenders in other languages.
    pub scripts: PathBuf,
    /// A Python that has the contenders in Python, if there is one.
    pub python: Option<PathBuf>,
    /// A Node with the contenders in JavaScript, if there is one.
    pub node: Option<Node>,
}

/// Node and its packages.
#[derive(Debug, Clone)]
pub struct Node {
    /// The program.
    pub program: PathBuf,
    /// The folder whose `node_modules` contains the packages.
    pub packages: PathBuf,
}

/// A contender in another language.
#[derive(Debug, Clone, Copy)]
pub(super) struct Script {
    pub(super) file: &'static str,
    pub(super) needs: Needs,
}

/// The dependency of a script.
#[derive(Debug, Clone, Copy)]
pub(super) enum Needs {
    /// A module of Python.
    Module(&'static str),
    /// A package of Node.
    Package(&'static str),
}

impl Programs {
    pub(super) fn program(&self, name: &str) -> Command {
        Command::new(self.folder.join(name))
    }

    /// The program for a client: twilight supports only the compression of its build.
    pub(super) fn client(&self, who: Who, mode: Mode) -> Command {
        self.program(match (who, mode.compression) {
            (Who::Serenity, _) => "serenity",
            (Who::Twilight, Compression::ZlibStream) => "twilight-zlib",
            (Who::Twilight, Compression::ZstdStream) => "twilight-zstd",
            (Who::Twilight, _) => "twilight-plain",
            _ => "client",
        })
    }

    /// The command for a contender in another language. `None` if its dependency is missing.
    pub(super) fn script(&self, script: Script) -> Option<Command> {
        let file = self.scripts.join(script.file);
        if !file.exists() {
            return None;
        }
        match script.needs {
            Needs::Module(module) => {
                let python = self.python.as_ref()?;
                let import = format!("import {module}");
                let found = Command::new(python).args(["-c", &import]).stderr(Stdio::null()).status();
                found.is_ok_and(|status| status.success()).then(|| {
                    let mut command = Command::new(python);
                    command.arg(file);
                    command
                })
            }
            Needs::Package(package) => {
                let Node { program, packages } = self.node.as_ref()?;
                packages.join("node_modules").join(package).exists().then(|| {
                    let mut command = Command::new(program);
                    command.arg(file).arg("--packages").arg(packages);
                    command
                })
            }
        }
    }
}

/// The exit status of a script whose dependency is missing.
const SKIPPED: i32 = 77;

/// Runs a program to its end and parses the line of JSON that it prints. `None` if its dependency is missing.
pub(super) fn json_or_skip(command: &mut Command) -> Result<Option<Value>, String> {
    let name = shown(command);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.code() == Some(SKIPPED) {
        return Ok(None);
    }
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).map(Some).map_err(|error| format!("{name}: {error}"))
}

/// As [`json_or_skip`], for a program without dependencies.
pub(super) fn json_of(command: &mut Command) -> Result<Value, String> {
    json_or_skip(command)?.ok_or_else(|| format!("{}: skipped", shown(command)))
}

/// The instructions of one pass of a program with the option `--passes`: the difference between two passes and one.
pub(super) fn instructions_of(command: &Command) -> Result<f64, String> {
    Ok(counted(command, 2)? - counted(command, 1)?)
}

fn counted(command: &Command, passes: u32) -> Result<f64, String> {
    let mut counting = Command::new("valgrind");
    counting.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(command.get_program());
    counting.args(command.get_args()).args(["--passes", &passes.to_string()]);
    let name = shown(command);
    let output = counting.stdin(Stdio::null()).output().map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.split_once("Collected : "));
    let count = count.and_then(|(_, count)| count.trim().parse().ok()).filter(|_| output.status.success());
    count.ok_or_else(|| format!("{name} under valgrind: {}", said.trim()))
}

/// The number in a field of an object.
pub(super) fn number(object: &Value, field: &str) -> Result<f64, String> {
    object[field].as_f64().ok_or_else(|| format!("no number {field} in {object}"))
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let words = command.get_args().map(|word| word.to_string_lossy());
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}

/// A running server. Dropping it ends the server.
pub(super) struct Serving {
    child: Child,
    /// Closing it ends the server.
    input: Option<ChildStdin>,
    pub(super) port: u16,
}

impl Serving {
    pub(super) fn start(command: &mut Command) -> Result<Self, String> {
        let name = shown(command);
        let failed = |error: std::io::Error| format!("{name}: {error}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(failed)?;
        let input = child.stdin.take();
        let mut first = String::new();
        let mut output = BufReader::new(child.stdout.take().ok_or("the server has no output")?);
        output.read_line(&mut first).map_err(failed)?;
        // The remaining output is discarded, so that a full pipe does not block the server.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let port = first.trim().strip_prefix("listening ").and_then(|port| port.parse().ok());
        let port = port.ok_or_else(|| format!("{name}: it does not listen: {first}"))?;
        Ok(Self { child, input, port })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.input.take());
        // Ends a server that does not end by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
