//! Ours beside the field's clients: builds the contenders, with optimisation, and runs them turn by turn.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lexopt::{Arg, Parser};

use crate::process::{self, cargo, root};

/// Clients of others, each with nobody else compiled in: the feature, and the name of the program. What twilight speaks is
/// chosen when it is compiled.
const CLIENTS: [(&str, &str); 4] = [
    ("serenity", "serenity"),
    ("twilight", "twilight-plain"),
    ("twilight-zlib", "twilight-zlib"),
    ("twilight-zstd", "twilight-zstd"),
];
/// Ours, and what measures.
const PROGRAMS: [&str; 5] = ["bench", "client", "decode", "allocations", "serve"];

/// Everything but `--report` goes to the program `bench`. With `--quick` nothing is optimised: it is only to be seen that
/// everything works.
pub(crate) fn run(mut arguments: Parser) -> Result<(), String> {
    let (mut quick, mut at_home, mut rest) = (false, false, Vec::new());
    while let Some(argument) = arguments.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Long("quick") => {
                quick = true;
                rest.push("--quick".into());
            }
            Arg::Long("report") => at_home = true,
            Arg::Long(name) => rest.push(format!("--{name}").into()),
            Arg::Value(value) => rest.push(value),
            other @ Arg::Short(_) => return Err(other.unexpected().to_string()),
        }
    }
    let profile = if quick { "dev" } else { "release" };
    let folder = target().join("bench");
    let programs = folder.join(profile);
    fs::create_dir_all(&programs).map_err(|error| format!("{}: {error}", programs.display()))?;
    println!("bench: building the contenders");
    for (features, name) in CLIENTS {
        build(profile, &["--no-default-features", "--features", features], &["client"])?;
        copy(profile, "client", &programs.join(name))?;
    }
    build(profile, &["--features", "peers"], &PROGRAMS)?;
    for name in PROGRAMS {
        copy(profile, name, &programs.join(name))?;
    }
    let here = root().join("crates/gateway-bench");
    let mut bench = Command::new(programs.join("bench"));
    bench.arg("--programs").arg(&programs).arg("--frames").arg(folder.join("frames"));
    bench.arg("--scripts").arg(here.join("peers")).arg("--machine").arg(machine());
    if let Some(python) = python(&folder) {
        bench.arg("--python").arg(python);
    }
    if let Some(packages) = node_packages(&folder) {
        bench.args(["--node", "node", "--packages"]).arg(packages);
    }
    if at_home {
        bench.arg("--report").arg(here.join("report"));
    }
    process::run(bench.args(rest))
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn build(profile: &str, features: &[&str], programs: &[&str]) -> Result<(), String> {
    let mut command = cargo();
    command.args(["build", "--profile", profile, "--quiet", "--package", "gateway-bench"]).args(features);
    process::run(command.args(programs.iter().flat_map(|name| ["--bin", name])))
}

/// Under a name of its own: the next build of the same program has other features.
fn copy(profile: &str, name: &str, to: &Path) -> Result<(), String> {
    // Cargo's folder of the profile `dev` has another name.
    let from = target().join(profile.replace("dev", "debug")).join(name);
    fs::copy(&from, to).map(drop).map_err(|error| format!("{}: {error}", from.display()))
}

/// A Python that may have the contenders in Python: that of a virtual environment of this task, or the one of the machine.
fn python(folder: &Path) -> Option<PathBuf> {
    let own = folder.join("python/bin/python");
    if own.exists() {
        return Some(own);
    }
    runs("python3").then(|| PathBuf::from("python3"))
}

/// Where this task has the packages of the contenders in JavaScript, if there is a Node to load them.
fn node_packages(folder: &Path) -> Option<PathBuf> {
    let own = folder.join("node");
    (own.join("node_modules/@discordjs/ws").exists() && runs("node")).then_some(own)
}

/// Whether the machine has a program that tells its version.
fn runs(program: &str) -> bool {
    let told = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    told.is_ok_and(|status| status.success())
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
