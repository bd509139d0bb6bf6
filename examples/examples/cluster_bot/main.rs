//! A bot of many shards: `cargo run --example cluster_bot -- --help` tells its flags.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

mod demo;

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("the system gives a process what a runtime needs");
    match runtime.block_on(demo::run()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            eprintln!("cluster: failed, {sentence}");
            ExitCode::FAILURE
        }
    }
}
