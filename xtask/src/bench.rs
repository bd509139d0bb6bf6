//! Ours beside the field's clients: builds the contenders, with optimisation, and runs them turn by turn.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lexopt::{Arg, Parser};

use crate::process::{self, cargo, root};

/// What twilight speaks is chosen when it is compiled: its features, and the name of the client that has them.
const CLIENTS: [(&str, &str); 3] =
    [("twilight-zlib", "client-zlib"), ("twilight-zstd", "client-zstd"), ("peers", "client")];
/// What does not depend on that.
const PROGRAMS: [&str; 4] = ["bench", "decode", "allocations", "serve"];

/// `--instructions` counts instead of timing; everything else goes to the program `bench`.
pub(crate) fn run(mut arguments: Parser) -> Result<(), String> {
    let (mut instructions, mut rest) = (false, Vec::new());
    let mut at_home = false;
    while let Some(argument) = arguments.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Long("instructions") => instructions = true,
            Arg::Long("report") => match arguments.optional_value() {
                None => at_home = true,
                Some(file) => rest.extend(["--report".into(), file]),
            },
            Arg::Long(name) => rest.push(format!("--{name}").into()),
            Arg::Value(value) => rest.push(value),
            other @ Arg::Short(_) => return Err(other.unexpected().to_string()),
        }
    }
    let folder = target().join("bench");
    let programs = folder.join("programs");
    fs::create_dir_all(&programs).map_err(|error| format!("{}: {error}", programs.display()))?;
    println!("bench: building the contenders");
    for (features, name) in CLIENTS {
        build(features, &["client"])?;
        copy("client", &programs.join(name))?;
    }
    build("peers", &PROGRAMS)?;
    for name in PROGRAMS {
        copy(name, &programs.join(name))?;
    }
    let here = root().join("crates/gateway-bench");
    let mut bench = Command::new(programs.join("bench"));
    bench.arg("--programs").arg(&programs).arg("--frames").arg(folder.join("frames"));
    bench.arg("--scripts").arg(here.join("peers")).arg("--machine").arg(machine());
    if let Some(python) = python(&folder) {
        bench.arg("--python").arg(python);
    }
    if instructions {
        bench.arg("--instructions");
    }
    if at_home {
        bench.arg("--report").arg(here.join("report"));
    }
    process::run(bench.args(rest))
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn build(features: &str, programs: &[&str]) -> Result<(), String> {
    let mut command = cargo();
    command.args(["build", "--release", "--quiet", "--package", "gateway-bench", "--features", features]);
    process::run(command.args(programs.iter().flat_map(|name| ["--bin", name])))
}

/// Under a name of its own: the next build of the same program has other features.
fn copy(name: &str, to: &Path) -> Result<(), String> {
    let from = target().join("release").join(name);
    fs::copy(&from, to).map(drop).map_err(|error| format!("{}: {error}", from.display()))
}

/// A Python that may have the contenders in Python: that of a virtual environment of this task, or the one of the machine.
fn python(folder: &Path) -> Option<PathBuf> {
    let own = folder.join("python/bin/python");
    if own.exists() {
        return Some(own);
    }
    let found = Command::new("python3").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success()).then(|| PathBuf::from("python3"))
}

/// The processor, the compiler and the peers, in a sentence.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, name)| name);
    let compiler = Command::new("rustc").arg("--version").output().ok();
    let compiler = compiler.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap_or_default();
    let version = |name: &str| {
        let head = format!("name = \"{name}\"\nversion = \"");
        let rest = lock.split_once(&head).map_or("", |(_, rest)| rest);
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    format!(
        "{cores} cores of {model}; {}; twilight-gateway {}, twilight-model {}, serenity {}, erltf {}.",
        compiler.unwrap_or_default(),
        version("twilight-gateway"),
        version("twilight-model"),
        version("serenity"),
        version("erltf"),
    )
}
