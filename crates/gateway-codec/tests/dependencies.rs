//! The dependencies of the codec: none that a REST tool does not need.

use std::process::Command;

#[test]
fn there_is_no_runtime_no_websocket_and_no_tls() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = ["tree", "--package", "gateway-codec", "--edges", "normal", "--prefix", "none", "--offline"];
    let output = Command::new(cargo).args(tree).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"serde_json"), "{text}");
    let unwanted = ["tokio", "smol", "async-std", "async-io", "futures-io", "tungstenite", "rustls", "ring"];
    let found: Vec<&&str> = unwanted.iter().filter(|name| names.contains(name)).collect();
    assert!(found.is_empty(), "{found:?}");
}
