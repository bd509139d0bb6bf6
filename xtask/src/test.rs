//! Every test there is, and one line for each layer.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use lexopt::{Arg, Parser};

use crate::process::{built, cargo, has_cargo_tool, line};
use crate::results::{Libtest, Nextest, Told};

/// How often the bot is killed.
const KILLS: u32 = 5;
/// The world whose days are simulated, with each profile.
const WORLD: [&str; 6] = ["--hours", "48", "--shards", "5", "--seed", "1"];
const PROFILES: [&str; 4] = ["calm", "flaky", "outage", "hostile"];

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
pub(crate) fn run(mut arguments: Parser) -> Result<(), String> {
    let mut plain = !has_cargo_tool("nextest");
    while let Some(argument) = arguments.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Long("plain") => plain = true,
            other => return Err(other.unexpected().to_string()),
        }
    }
    let mut tally = Tally::default();
    if plain {
        // Without a choice of targets: that builds the examples, which some tests run, and tests the documentation too.
        tally.libtest(None, cargo().args(["test", "--workspace", "--no-fail-fast"]));
    } else {
        tally.nextest(cargo().args(["nextest", "run", "--workspace", "--no-fail-fast"]));
        let documentation = ["test", "--workspace", "--doc", "--no-fail-fast"];
        tally.libtest(Some("documentation"), cargo().args(documentation));
    }
    let codec_alone = ["test", "--package", "gateway-codec", "--no-default-features", "--lib", "--tests"];
    tally.libtest(Some("gateway-codec, no features"), cargo().args(codec_alone));
    tally.demo();
    tally.worlds();
    tally.crash();
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
    fn nextest(&mut self, command: &mut Command) {
        let mut results = Nextest::default();
        self.watch(command, |tally, text| {
            let told = results.read(text);
            tally.take(None, &told);
            told != Told::Quiet
        });
    }

    /// All results are those of `layer`, if there is one.
    fn libtest(&mut self, layer: Option<&str>, command: &mut Command) {
        let mut results = Libtest::default();
        self.watch(command.arg("--message-format=json-render-diagnostics"), |tally, text| {
            let told = results.read(text);
            tally.take(layer, &told);
            told != Told::Quiet
        });
    }

    /// The first of the README's commands.
    fn demo(&mut self) {
        self.program("demo", "demo: ok", cargo().args(["xtask", "demo"]));
    }

    /// Two days of each profile. The program is there: it was built with the tests of its crate.
    fn worlds(&mut self) {
        for profile in PROFILES {
            let mut program = Command::new(built("gateway-world"));
            self.program(
                "simulate",
                "simulate: ",
                program.args(["simulate", "--profile", profile]).args(WORLD),
            );
        }
    }

    fn crash(&mut self) {
        let kills = KILLS.to_string();
        let crash = ["xtask", "crash", "--built", "--kills", &kills];
        self.program("crash", &format!("crash: kills={kills} "), cargo().args(crash));
    }

    /// A program that has succeeded if it says its last line and exits with status 0.
    fn program(&mut self, layer: &str, last_line: &str, command: &mut Command) {
        let mut said = false;
        let ended_well = self.watch(command, |_, text| {
            said |= text.starts_with(last_line);
            true
        });
        self.count(layer, said && ended_well, 1);
    }

    fn take(&mut self, layer: Option<&str>, told: &Told) {
        if let Told::Results { layer: own, passed, failed } = told {
            let layer = layer.unwrap_or(own);
            self.count(layer, true, *passed);
            self.count(layer, false, *failed);
        }
    }

    fn count(&mut self, layer: &str, passed: bool, number: u64) {
        let count = self.layers.entry(layer.to_owned()).or_default();
        if passed {
            count.passed += number;
        } else {
            count.failed += number;
        }
    }

    /// Runs a command and looks at every line; those for which `look` says so are shown. Whether it ended well.
    fn watch(&mut self, command: &mut Command, mut look: impl FnMut(&mut Self, &str) -> bool) -> bool {
        let name = line(command);
        println!("\n$ {name}");
        // Both streams in one, in their order: what runs is said on one and its result on the other.
        let started = std::io::pipe().and_then(|(reader, writer)| {
            let other = writer.try_clone()?;
            command.env("CARGO_TERM_COLOR", "never").stdin(Stdio::null()).stdout(writer).stderr(other);
            let child = command.spawn();
            // The command holds writing ends of the pipe: without letting go of them, reading would never end.
            command.stdout(Stdio::null()).stderr(Stdio::null());
            Ok((child?, reader))
        });
        let ended = started.and_then(|(mut child, reader)| {
            for text in BufReader::new(reader).lines().map_while(Result::ok) {
                if look(self, &text) {
                    println!("{text}");
                }
            }
            child.wait()
        });
        match ended {
            Ok(status) if status.success() => return true,
            Ok(status) => self.broken.push(format!("{name}: {status}")),
            Err(error) => self.broken.push(format!("{name}: {error}")),
        }
        false
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
