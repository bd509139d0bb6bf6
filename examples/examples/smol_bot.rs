//! A small bot on smol: `cargo run --example smol_bot -- --help` lists its flags.

use std::process::ExitCode;

use gateway_smol::SmolRuntime;

fn main() -> ExitCode {
    smol::block_on(gateway_examples::bot::main(SmolRuntime))
}
