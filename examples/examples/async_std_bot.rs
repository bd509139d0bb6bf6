//! A small bot on async-std: `cargo run --example async_std_bot -- --help` lists its flags.

use std::process::ExitCode;

use gateway_async_std::{AsyncStdRuntime, async_std};

fn main() -> ExitCode {
    async_std::task::block_on(gateway_examples::bot::main(AsyncStdRuntime))
}
