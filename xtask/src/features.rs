//! Every combination of the TLS features builds, and the tests of what it then does pass.

use lexopt::Parser;

use crate::process::{self, cargo};

/// Who does the cryptography, and where root certificates come from. Any set of them may meet in one program.
const PROVIDERS: [&str; 2] = ["ring", "aws-lc-rs"];
const ROOTS: [&str; 3] = ["rustls-webpki-roots", "rustls-native-roots", "rustls-platform-verifier"];

/// Runs the driver's TLS tests under each combination: they ask for an answer or an error that helps, never a panic.
pub(crate) fn run(arguments: Parser) -> Result<(), String> {
    crate::no_more(arguments)?;
    let names: Vec<&str> = PROVIDERS.into_iter().chain(ROOTS).collect();
    let combinations = 1_u32 << names.len();
    for set in 0..combinations {
        let chosen: Vec<&str> = names
            .iter()
            .enumerate()
            .filter(|(index, _)| set >> index & 1 == 1)
            .map(|(_, name)| *name)
            .collect();
        println!("features: {}", if chosen.is_empty() { "none".to_owned() } else { chosen.join(" ") });
        let features = chosen.join(",");
        let package = ["test", "--quiet", "--package", "gateway-driver", "--no-default-features"];
        process::run(cargo().args(package).args(["--features", &features, "--lib", "--test", "tls"]))?;
    }
    println!("features: {combinations} combinations, all well");
    Ok(())
}
