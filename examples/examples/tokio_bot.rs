//! A small bot on tokio: `cargo run --example tokio_bot -- --help` lists its flags.

use std::process::ExitCode;

use gateway_tokio::TokioRuntime;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the system gives a process what a runtime needs");
    runtime.block_on(gateway_examples::bot::main(TokioRuntime))
}
