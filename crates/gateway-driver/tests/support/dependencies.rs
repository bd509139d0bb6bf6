//! An adapter depends on no runtime but its own.

use std::process::Command;

/// Crates that are a runtime, or its sockets and timers.
const RUNTIMES: [&str; 5] = ["async-global-executor", "async-io", "async-std", "smol", "tokio"];

/// The runtimes that a crate depends on, except for its tests.
pub(crate) fn runtimes_of(package: &str) -> Vec<&'static str> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"gateway-driver"), "{tree}");
    RUNTIMES.into_iter().filter(|runtime| names.contains(runtime)).collect()
}
