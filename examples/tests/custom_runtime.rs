//! The example adapter passes the conformance suite.

#[allow(dead_code, reason = "the program's main is not called here")]
#[path = "../examples/custom_runtime.rs"]
mod custom_runtime;

use gateway_driver::Spawn;

/// The whole table.
#[test]
fn the_adapter_over_threads_passes_the_suite() {
    custom_runtime::prove("").assert_passed();
}

/// On a separate thread, since this one waits for it.
#[test]
fn a_task_runs_in_the_background() {
    let (done, is_done) = std::sync::mpsc::channel();
    custom_runtime::ThreadRuntime.spawn(Box::pin(async move { done.send(()).unwrap() }));
    is_done.recv().unwrap();
}
