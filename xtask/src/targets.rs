//! The codec and the protocol for other machines: 32 bits, and WebAssembly, which has no sockets, no threads and no clock to
//! misuse.

use std::path::Path;
use std::process::{Command, Stdio};

use lexopt::Parser;

use crate::process::{self, cargo, root};

/// A machine, by any of the targets that stand for it. The first that is installed is taken.
struct Machine {
    name: &'static str,
    targets: &'static [&'static str],
    /// Without zstd, which is C, where no compiler for it can be expected.
    has_c: bool,
    /// What runs its programs, if anything here does.
    runner: fn() -> Option<Runner>,
}

/// What runs programs of a target: nothing for those that run by themselves.
type Runner = Vec<String>;

const MACHINES: [Machine; 2] = [
    Machine {
        name: "32 bits",
        targets: &["i686-unknown-linux-musl", "i686-unknown-linux-gnu"],
        has_c: true,
        runner: || cfg!(all(target_os = "linux", target_arch = "x86_64")).then(Vec::new),
    },
    Machine { name: "WebAssembly", targets: &["wasm32-wasip1"], has_c: false, runner: wasi_runner },
];

/// Compiles for each machine whose target is installed, and runs the unit tests where something runs them. Says in a line
/// what did not run.
pub(crate) fn run(arguments: Parser) -> Result<(), String> {
    crate::no_more(arguments)?;
    for machine in &MACHINES {
        match machine.targets.iter().find(|target| is_installed(target)) {
            Some(target) => check(machine, target)?,
            None => println!(
                "targets: {}: did not run, {} is not installed",
                machine.name,
                machine.targets.join(" or ")
            ),
        }
    }
    Ok(())
}

fn check(machine: &Machine, target: &str) -> Result<(), String> {
    let with_c = machine.has_c && has_c_compiler();
    let zstd = if with_c { "zstd," } else { "" };
    let runner = (machine.runner)();
    for (package, features) in [("gateway-codec", "zlib,simd-json"), ("gateway-proto", "zlib,raw")] {
        let features = format!("{zstd}{features}");
        let chosen = ["--no-default-features", "--features", &features];
        let package_of_target = ["--quiet", "--package", package, "--target", target];
        process::run(cargo().arg("build").args(package_of_target).args(chosen))?;
        // The tests of the protocol are built beside the simulated gateway, which has zstd wherever it has sockets.
        let is_testable = with_c || !machine.has_c || package == "gateway-codec";
        let tests = match &runner {
            Some(runner) if is_testable => {
                let mut test = cargo();
                if !runner.is_empty() {
                    let name = target.replace('-', "_").to_uppercase();
                    test.env(format!("CARGO_TARGET_{name}_RUNNER"), runner.join(" "));
                }
                process::run(test.arg("test").args(package_of_target).args(chosen).arg("--lib"))?;
                "its unit tests pass"
            }
            Some(_) => "its unit tests did not run, they need a C compiler for it",
            None => "its unit tests did not run, nothing here runs them",
        };
        println!("targets: {}: {package} ({features}) compiles for {target}; {tests}", machine.name);
    }
    Ok(())
}

/// Whether the standard library for a target is there. The compiler names a folder for each, installed or not.
fn is_installed(target: &str) -> bool {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let answer = Command::new(compiler).args(["--print", "target-libdir", "--target", target]).output();
    answer.is_ok_and(|answer| {
        answer.status.success() && Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir()
    })
}

/// Whether the C compiler writes for 32 bits, with the headers of a C library.
fn has_c_compiler() -> bool {
    let compiler = std::env::var_os("CC_i686_unknown_linux_gnu").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-m32", "-fsyntax-only", "-include", "stdlib.h", "-x", "c", "-"]);
    succeeds(&mut command)
}

/// wasmtime, or else node, whose WASI is enough for tests.
fn wasi_runner() -> Option<Runner> {
    if succeeds(Command::new("wasmtime").arg("--version")) {
        return Some(vec!["wasmtime".to_owned(), "run".to_owned()]);
    }
    let script = root().join("xtask/wasi.mjs");
    let has_wasi = succeeds(Command::new("node").args(["--no-warnings", "--eval", "require('node:wasi')"]));
    has_wasi.then(|| vec!["node".to_owned(), "--no-warnings".to_owned(), script.display().to_string()])
}

fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
