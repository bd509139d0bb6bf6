//! The library crates for other machines: 32 bits; WebAssembly, which has no sockets, no threads and no clock to misuse; and
//! Windows and macOS, where files and locks are others.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{self, cargo, root, succeeds};

/// A machine, by any of the targets that stand for it. The first that is installed is taken.
struct Machine {
    name: &'static str,
    targets: &'static [&'static str],
    check: fn(&Machine, &str) -> Result<(), String>,
}

/// A program with its arguments that runs programs of a target: empty where they run by themselves.
type Runner = Vec<String>;

const MACHINES: [Machine; 4] = [
    Machine {
        name: "32 bits",
        targets: &["i686-unknown-linux-musl", "i686-unknown-linux-gnu"],
        check: |machine, target| {
            let runs_here = cfg!(all(target_os = "linux", target_arch = "x86_64"));
            test_values(machine, target, has_c_compiler(), runs_here.then(Vec::new))
        },
    },
    Machine {
        name: "WebAssembly",
        targets: &["wasm32-wasip1"],
        check: |machine, target| test_values(machine, target, false, wasi_runner()),
    },
    Machine { name: "Windows", targets: &["x86_64-pc-windows-gnu"], check: check_clients },
    Machine {
        name: "macOS",
        targets: &["aarch64-apple-darwin", "x86_64-apple-darwin"],
        check: check_clients,
    },
];

/// What is compiled for systems with sockets and files. Without zstd and without a crypto provider: they are C and assembly, and
/// a compiler for these cannot be expected.
const CLIENTS: [(&str, &str); 6] = [
    ("gateway-codec", "zlib,simd-json"),
    ("gateway-proto", "zlib,raw"),
    ("gateway-driver", "zlib,rustls-webpki-roots,rustls-native-roots,rustls-platform-verifier"),
    ("gateway-tokio", "zlib,rustls-webpki-roots"),
    ("gateway-smol", "zlib,rustls-webpki-roots"),
    ("gateway-async-std", "zlib,rustls-webpki-roots"),
];

/// Compiles for each machine whose target is installed, and runs the unit tests where something runs them. Prints a line for
/// each machine that was left out.
pub(crate) fn run() -> Result<(), String> {
    for machine in &MACHINES {
        match machine.targets.iter().find(|target| is_installed(target)) {
            Some(target) => (machine.check)(machine, target)?,
            None => println!(
                "targets: {}: did not run, {} is not installed",
                machine.name,
                machine.targets.join(" or ")
            ),
        }
    }
    Ok(())
}

/// The codec and the protocol, with their unit tests.
fn test_values(
    machine: &Machine,
    target: &str,
    has_zstd: bool,
    runner: Option<Runner>,
) -> Result<(), String> {
    for (package, features) in &CLIENTS[..2] {
        let features = format!("{}{features}", if has_zstd { "zstd," } else { "" });
        let chosen =
            ["--package", package, "--target", target, "--no-default-features", "--features", &features];
        process::run(cargo()?.args(["build", "--quiet"]).args(chosen))?;
        // The tests of the protocol are built beside the simulated gateway, which has zstd wherever it has sockets.
        let is_testable = has_zstd || target.starts_with("wasm32") || *package == "gateway-codec";
        let tests = match &runner {
            Some(runner) if is_testable => {
                let mut test = cargo()?;
                if !runner.is_empty() {
                    let name = target.replace('-', "_").to_uppercase();
                    test.env(format!("CARGO_TARGET_{name}_RUNNER"), runner.join(" "));
                }
                // Node crashes at the end of a program that has inherited a standard input of an unusual kind.
                test.stdin(Stdio::null());
                process::run(test.args(["test", "--quiet", "--lib"]).args(chosen))?;
                "its unit tests pass"
            }
            Some(_) => "its unit tests did not run, they need a C compiler for it",
            None => "its unit tests did not run, nothing here runs them",
        };
        println!("targets: {}: {package} ({features}) compiles for {target}; {tests}", machine.name);
    }
    Ok(())
}

/// The client, from the codec to the runtimes. Nothing is linked, so no linker for the target needs to be there.
fn check_clients(machine: &Machine, target: &str) -> Result<(), String> {
    let mut check = cargo()?;
    check.args(["check", "--quiet", "--target", target, "--no-default-features"]);
    for (package, features) in CLIENTS {
        let features = features.split(',').map(|feature| format!("{package}/{feature}"));
        check.args(["--package", package, "--features"]).arg(features.collect::<Vec<_>>().join(","));
    }
    process::run(&mut check)?;
    println!(
        "targets: {}: {} compile for {target}",
        machine.name,
        CLIENTS.map(|(package, _)| package).join(", ")
    );
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
