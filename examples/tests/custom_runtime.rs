//! The adapter that an example brings along passes what it is proven by.

#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../examples/custom_runtime.rs"]
mod custom_runtime;

#[test]
fn an_adapter_over_plain_threads_conforms() {
    for part in
        ["reset", "op-7", "certificate", "heartbeats-are-regular", "a-shard-in-the-background", "leaving"]
    {
        custom_runtime::prove(part).assert_passed();
    }
}
