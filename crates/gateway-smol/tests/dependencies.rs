//! What this adapter brings along.

#[path = "../../gateway-driver/tests/support/dependencies.rs"]
mod dependencies;

#[test]
fn there_is_no_runtime_but_our_own() {
    assert_eq!(dependencies::runtimes_of("gateway-smol"), ["async-io", "smol"]);
}
