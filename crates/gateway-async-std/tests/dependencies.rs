//! The dependencies of this adapter.

#[path = "../../gateway-driver/tests/support/dependencies.rs"]
mod dependencies;

#[test]
fn the_only_runtime_is_the_adapters_own() {
    assert_eq!(
        dependencies::runtimes_of("gateway-async-std"),
        ["async-global-executor", "async-io", "async-std"]
    );
}
