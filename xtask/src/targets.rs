//! The library crates for other machines: 32 bits; WebAssembly, which has no sockets, no threads and no clock to misuse; and
//! Windows and macOS, where files and locks are others.

use std::path::Path;
use std::process::Command;

use crate::process::{self, cargo, root, succeeds};

/// A machine, by any of the targets that stand for it. The first that is installed is taken.
struct Machine {
    name: &'static str,
    targets: &'static [&'static str],
    packages: &'static [Package],
    /// What runs its unit tests. None: they are compiled for nothing, so they are not.
    runner: Option<fn() -> Option<Runner>>,
}

/// A program with its arguments that runs programs of a target: empty where they run by themselves.
type Runner = Vec<String>;

/// A package and its features, but for zstd.
type Package = (&'static str, &'static str);

const SANS_IO: &[Package] = &[("gateway-codec", "zlib,simd-json"), ("gateway-proto", "zlib,raw")];
/// Without a crypto provider: those have parts in C or assembly.
const CLIENTS: &[Package] = &[
    ("gateway-codec", "zlib,simd-json"),
    ("gateway-proto", "zlib,raw"),
    ("gateway-driver", "zlib,rustls-webpki-roots,rustls-native-roots,rustls-platform-verifier"),
    ("gateway-tokio", "zlib,rustls-webpki-roots"),
    ("gateway-smol", "zlib,rustls-webpki-roots"),
    ("gateway-async-std", "zlib,rustls-webpki-roots"),
];

const MACHINES: [Machine; 4] = [
    Machine {
        name: "32 bits",
        targets: &["i686-unknown-linux-musl", "i686-unknown-linux-gnu"],
        packages: SANS_IO,
        runner: Some(|| cfg!(all(target_os = "linux", target_arch = "x86_64")).then(Vec::new)),
    },
    Machine {
        name: "WebAssembly",
        targets: &["wasm32-wasip1"],
        packages: SANS_IO,
        runner: Some(wasi_runner),
    },
    Machine { name: "Windows", targets: &["x86_64-pc-windows-gnu"], packages: CLIENTS, runner: None },
    Machine {
        name: "macOS",
        targets: &["aarch64-apple-darwin", "x86_64-apple-darwin"],
        packages: CLIENTS,
        runner: None,
    },
];

/// Compiles for each machine whose target is installed, and runs the unit tests where something runs them. Prints a line for
/// each machine that was left out.
pub(crate) fn run() -> Result<(), String> {
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
    let is_32_bits = target.starts_with("i686-");
    // zstd is C: without it, where no compiler for it can be expected.
    let with_c = is_32_bits && has_c_compiler();
    for (package, features) in machine.packages {
        let features = format!("{}{features}", if with_c { "zstd," } else { "" });
        let command = |verb: &str| -> Result<Command, String> {
            let mut cargo = cargo()?;
            cargo.args([verb, "--quiet", "--package", package, "--target", target]);
            cargo.args(["--no-default-features", "--features", &features]);
            Ok(cargo)
        };
        let verb = if machine.runner.is_some() { "build" } else { "check" };
        process::run(&mut command(verb)?)?;
        // The tests of the protocol are built beside the simulated gateway, which has zstd wherever it has sockets.
        let is_testable = with_c || !is_32_bits || *package == "gateway-codec";
        let tests = match machine.runner.map(|runner| runner()) {
            None => "",
            Some(None) => "; its unit tests did not run, nothing here runs them",
            Some(Some(_)) if !is_testable => "; its unit tests did not run, they need a C compiler for it",
            Some(Some(runner)) => {
                let mut test = command("test")?;
                if !runner.is_empty() {
                    let name = target.replace('-', "_").to_uppercase();
                    test.env(format!("CARGO_TARGET_{name}_RUNNER"), runner.join(" "));
                }
                process::run(test.arg("--lib"))?;
                "; its unit tests pass"
            }
        };
        println!("targets: {}: {package} ({features}) compiles for {target}{tests}", machine.name);
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
    succeeds(command.args(["-m32", "-fsyntax-only", "-include", "stdlib.h", "-x", "c", "-"]))
}

/// wasmtime, or node, whose WASI is enough for tests.
fn wasi_runner() -> Option<Runner> {
    if succeeds(Command::new("wasmtime").arg("--version")) {
        return Some(vec!["wasmtime".to_owned(), "run".to_owned()]);
    }
    let script = root().ok()?.join("xtask/wasi.mjs");
    let has_wasi = succeeds(Command::new("node").args(["--no-warnings", "--eval", "require('node:wasi')"]));
    has_wasi.then(|| vec!["node".to_owned(), "--no-warnings".to_owned(), script.display().to_string()])
}
