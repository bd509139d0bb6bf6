//! A bot of many shards: `cargo run --example cluster_bot -- --help` tells its flags.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

mod bot;
mod demo;
mod options;

use std::process::ExitCode;

use options::Asked;

fn main() -> ExitCode {
    let asked = match Asked::from_command_line() {
        Ok(Some(asked)) => asked,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("the system gives a process what a runtime needs");
    let result = runtime.block_on(async {
        match asked {
            Asked::Demo => demo::run().await.map(|line| println!("{line}")),
            Asked::Bot(options) => bot::run(options).await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("cluster: failed, {sentence}");
            ExitCode::FAILURE
        }
    }
}
