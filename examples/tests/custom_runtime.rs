//! The adapter that an example brings along passes what it is proven by.

#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../examples/custom_runtime.rs"]
mod custom_runtime;

/// The whole table.
#[test]
fn an_adapter_over_plain_threads_conforms() {
    custom_runtime::prove("").assert_passed();
}
