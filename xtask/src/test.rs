//! Every test there is, and one line for each layer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use lexopt::Parser;

use crate::process::{cargo, has_cargo_tool, line};

/// What passed and what failed, by layer.
#[derive(Default)]
struct Tally {
    layers: BTreeMap<String, Count>,
    /// Commands that failed, whatever the tests said.
    broken: Vec<String>,
}

#[derive(Default, Clone, Copy)]
struct Count {
    passed: u64,
    failed: u64,
}

/// Runs everything. Goes on after a failure, so that one run tells all there is to tell.
pub(crate) fn run(arguments: Parser) -> Result<(), String> {
    crate::no_more(arguments)?;
    let mut tally = Tally::default();
    if has_cargo_tool("nextest") {
        tally.nextest(cargo().args(["nextest", "run", "--workspace", "--no-fail-fast"]));
    } else {
        tally.libtest(
            None,
            cargo().args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]),
        );
    }
    tally.libtest(Some("documentation"), cargo().args(["test", "--workspace", "--doc", "--no-fail-fast"]));
    let codec_alone = ["test", "--package", "gateway-codec", "--no-default-features", "--lib", "--tests"];
    tally.libtest(Some("gateway-codec, no features"), cargo().args(codec_alone));
    tally.demo();
    let result = tally.print();
    println!();
    let conforms = crate::conformance::run_all();
    match (result, conforms) {
        (Ok(()), conforms) => conforms,
        (failure, Ok(())) => failure,
        (Err(tests), Err(scenarios)) => Err(format!("{tests}\n{scenarios}")),
    }
}

impl Tally {
    /// `PASS [ 0.01s] (1/9) gateway-codec::captures every_recording`
    fn nextest(&mut self, command: &mut Command) {
        let mut tests: BTreeSet<String> = BTreeSet::new();
        self.watch(command, |tally, text| {
            let passed = match text.split_whitespace().next() {
                Some("PASS") => true,
                Some("FAIL" | "TIMEOUT" | "ABORT" | "SIGABRT" | "SIGSEGV" | "LEAK-FAIL") => false,
                _ => return,
            };
            let Some((_, binary)) = text.split_once(") ") else { return };
            // Failures are shown again in the closing summary.
            if !tests.insert(binary.to_owned()) {
                return;
            }
            let package = binary.split([' ', ':']).next().unwrap_or(binary);
            tally.count(package, passed, 1);
        });
    }

    /// `Running unittests src/lib.rs (target/debug/deps/gateway_codec-0123)`, then
    /// `test result: ok. 12 passed; 0 failed; 0 ignored; …`
    fn libtest(&mut self, layer: Option<&str>, command: &mut Command) {
        let mut package = "other".to_owned();
        self.watch(command, |tally, text| {
            if let Some((_, path)) = text.rsplit_once("/deps/") {
                package = package_of(path);
            }
            let Some(result) = text.trim_start().strip_prefix("test result:") else { return };
            for part in result.split(['.', ';']) {
                let mut words = part.split_whitespace();
                let (Some(number), Some(what)) =
                    (words.next().and_then(|word| word.parse().ok()), words.next())
                else {
                    continue;
                };
                match what {
                    "passed" => tally.count(layer.unwrap_or(&package), true, number),
                    "failed" => tally.count(layer.unwrap_or(&package), false, number),
                    _ => {}
                }
            }
        });
    }

    /// The first of the README's commands.
    fn demo(&mut self) {
        let mut ok = false;
        self.watch(cargo().args(["xtask", "demo"]), |_, text| ok |= text.starts_with("demo: ok"));
        self.count("demo", ok, 1);
    }

    fn count(&mut self, layer: &str, passed: bool, number: u64) {
        let count = self.layers.entry(layer.to_owned()).or_default();
        if passed {
            count.passed += number;
        } else {
            count.failed += number;
        }
    }

    /// Runs a command, shows what it says, and looks at every line.
    fn watch(&mut self, command: &mut Command, mut look: impl FnMut(&mut Self, &str)) {
        let name = line(command);
        println!("\n$ {name}");
        // Both streams in one, in their order: what runs is said on one and its result on the other.
        let (reader, writer) = match std::io::pipe() {
            Ok(pipe) => pipe,
            Err(error) => return self.broken.push(format!("{name}: {error}")),
        };
        let child = writer.try_clone().and_then(|other| {
            command.env("CARGO_TERM_COLOR", "never").stdin(Stdio::null()).stdout(writer).stderr(other).spawn()
        });
        // The command holds writing ends of the pipe: without letting go of them, reading would never end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return self.broken.push(format!("{name}: {error}")),
        };
        for text in BufReader::new(reader).lines().map_while(Result::ok) {
            println!("{text}");
            look(self, &text);
        }
        match child.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => self.broken.push(format!("{name}: {status}")),
            Err(error) => self.broken.push(format!("{name}: {error}")),
        }
    }

    fn print(&self) -> Result<(), String> {
        println!();
        let mut all = Count::default();
        for (layer, count) in &self.layers {
            println!("{layer}: {} passed, {} failed", count.passed, count.failed);
            all.passed += count.passed;
            all.failed += count.failed;
        }
        println!("test: {} passed, {} failed", all.passed, all.failed);
        match (all.failed, self.broken.as_slice()) {
            (0, []) if all.passed > 0 => Ok(()),
            (0, []) => Err("no test ran".to_owned()),
            (_, broken) => Err(broken.join("\n")),
        }
    }
}

/// `gateway_codec-0123abcd)` is of the package gateway-codec; a file of tests has a name of its own.
fn package_of(binary: &str) -> String {
    let name = binary.rsplit_once('-').map_or(binary, |(name, _)| name);
    name.replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_are_named_by_their_package() {
        assert_eq!(package_of("gateway_codec-0123abcd)"), "gateway-codec");
    }
}
