//! The library crates for other machines: 32 bits; WebAssembly, which has no sockets, no threads and no clock to misuse; and
//! Windows and macOS, where files and locks are others.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{self, Done, cargo, root, succeeds};

/// A machine, any of the targets that stand for it, and what is done for the first of these that is installed.
type Machine = (&'static str, &'static [&'static str], fn(&str, &str) -> Done);

const MACHINES: [Machine; 4] = [
    ("32 bits", &["i686-unknown-linux-musl", "i686-unknown-linux-gnu"], |machine, target| {
        let runs_here = cfg!(all(target_os = "linux", target_arch = "x86_64"));
        test_values(machine, target, has_c_compiler(), runs_here.then(String::new))
    }),
    ("WebAssembly", &["wasm32-wasip1"], |machine, target| test_values(machine, target, false, wasi_runner())),
    ("Windows", &["x86_64-pc-windows-gnu"], check_clients),
    ("macOS", &["aarch64-apple-darwin", "x86_64-apple-darwin"], check_clients),
];

/// What is compiled for systems with sockets and files. Without zstd and without a crypto provider: they are C and assembly, and
/// a compiler for these cannot be expected.
const CLIENTS: [(&str, &str); 7] = [
    ("gateway-codec", "zlib,simd-json"),
    ("gateway-proto", "zlib,raw"),
    ("gateway-driver", "zlib,rustls-webpki-roots,rustls-native-roots,rustls-platform-verifier"),
    ("gateway-cluster", "zlib,driver"),
    ("gateway-tokio", "zlib,rustls-webpki-roots,cluster"),
    ("gateway-smol", "zlib,rustls-webpki-roots"),
    ("gateway-async-std", "zlib,rustls-webpki-roots"),
];

/// Compiles for each machine whose target is installed, and runs the unit tests where something runs them. Prints a line for
/// each machine that was left out.
pub(crate) fn run() -> Done {
    for (machine, targets, check) in MACHINES {
        match targets.iter().find(|target| is_installed(target)) {
            Some(target) => check(machine, target)?,
            None => println!("targets: {machine}: did not run, {} is not installed", targets.join(" or ")),
        }
    }
    Ok(())
}

/// The codec and the protocol, with their unit tests. `runner` is a program that runs programs of the target: empty where they
/// run by themselves.
fn test_values(machine: &str, target: &str, has_zstd: bool, runner: Option<String>) -> Done {
    for (package, features) in &CLIENTS[..2] {
        let features = format!("{}{features}", if has_zstd { "zstd," } else { "" });
        let chosen = format!(
            "--quiet --package {package} --target {target} --no-default-features --features {features}"
        );
        process::run(&mut cargo(&format!("build {chosen}")))?;
        // The tests of the protocol are built beside the simulated gateway, which has zstd wherever it has sockets.
        let is_testable = has_zstd || target.starts_with("wasm32") || *package == "gateway-codec";
        let tests = match &runner {
            Some(runner) if is_testable => {
                let mut test = cargo(&format!("test --lib {chosen}"));
                if !runner.is_empty() {
                    let name = target.replace('-', "_").to_uppercase();
                    test.env(format!("CARGO_TARGET_{name}_RUNNER"), runner);
                }
                // Node crashes at the end of a program that has inherited a standard input of an unusual kind.
                process::run(test.stdin(Stdio::null()))?;
                "its unit tests pass"
            }
            Some(_) => "its unit tests did not run, they need a C compiler for it",
            None => "its unit tests did not run, nothing here runs them",
        };
        println!("targets: {machine}: {package} ({features}) compiles for {target}; {tests}");
    }
    Ok(())
}

/// The client, from the codec to the runtimes. Nothing is linked, so no linker for the target needs to be there.
fn check_clients(machine: &str, target: &str) -> Done {
    let mut check = cargo(&format!("check --quiet --target {target} --no-default-features"));
    for (package, features) in CLIENTS {
        let features = features.split(',').map(|feature| format!("{package}/{feature}"));
        check.args(["--package", package, "--features"]).arg(features.collect::<Vec<_>>().join(","));
    }
    process::run(&mut check)?;
    let packages = CLIENTS.map(|(package, _)| package).join(", ");
    println!("targets: {machine}: {packages} compile for {target}");
    Ok(())
}

/// Whether the standard library for a target is there. The compiler names a folder for each, installed or not.
fn is_installed(target: &str) -> bool {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let answer = Command::new(compiler).args(["--print", "target-libdir", "--target", target]).output();
    answer.is_ok_and(|answer| Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir())
}

/// Whether the C compiler writes for 32 bits, with the headers of a C library.
fn has_c_compiler() -> bool {
    let compiler = std::env::var_os("CC_i686_unknown_linux_gnu").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    succeeds(command.args(["-m32", "-fsyntax-only", "-include", "stdlib.h", "-x", "c", "-"]))
}

/// wasmtime, or node, whose WASI is enough for tests.
fn wasi_runner() -> Option<String> {
    if succeeds(Command::new("wasmtime").arg("--version")) {
        return Some("wasmtime run".to_owned());
    }
    let has_wasi = succeeds(Command::new("node").args(["--no-warnings", "--eval", "require('node:wasi')"]));
    has_wasi.then(|| format!("node --no-warnings {}", root().join("xtask/wasi.mjs").display()))
}
