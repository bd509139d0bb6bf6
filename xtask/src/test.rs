//! Every test there is, and one line for each layer.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use lexopt::{Arg, Parser};

use crate::failures::{Failures, Tail};
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
    failures: Failures,
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
    tally.print();
    println!();
    crate::conformance::run_all(&mut tally.failures);
    tally.failures.into_result()
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
        let (mut said, mut tail) = (false, Tail::default());
        let ended_well = self.watch(command, |_, text| {
            said |= text.starts_with(last_line);
            tail.push(text);
            true
        });
        if ended_well && !said {
            let how = format!("it ended well without the line that begins with {last_line:?}");
            self.failures.command(&line(command), how, &tail);
        }
        self.count(layer, said && ended_well, 1);
    }

    fn take(&mut self, layer: Option<&str>, told: &Told) {
        match told {
            Told::Results { layer: own, passed, failed, named } => {
                let layer = layer.unwrap_or(own);
                self.count(layer, true, *passed);
                self.count(layer, false, *failed);
                if let Some(test) = named {
                    self.failures.test(layer, test);
                }
            }
            Told::Text | Told::Quiet => {}
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

    /// Runs a command and looks at every line; those for which `look` says so are shown. Whether it ended well: if not, how it
    /// ended is kept.
    fn watch(&mut self, command: &mut Command, mut look: impl FnMut(&mut Self, &str) -> bool) -> bool {
        let (name, mut tail) = (line(command), Tail::default());
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
            let unreadable = each_line(reader, |text| {
                if look(self, text) {
                    println!("{text}");
                    tail.push(text);
                }
            });
            unreadable.err().map_or_else(|| child.wait(), Err)
        });
        match ended {
            Ok(status) if status.success() => return true,
            Ok(status) => self.failures.command(&name, status, &tail),
            Err(error) => self.failures.command(&name, error, &tail),
        }
        false
    }

    fn print(&mut self) {
        println!();
        let mut all = Count::default();
        for (layer, count) in &self.layers {
            println!("{layer}: {} passed, {} failed", count.passed, count.failed);
            all.passed += count.passed;
            all.failed += count.failed;
        }
        println!("test: {} passed, {} failed", all.passed, all.failed);
        if all.passed == 0 {
            self.failures.other("no test passed");
        }
        // Whatever a runner says of its failures, their number alone is one.
        if all.failed > 0 && self.failures.is_empty() {
            self.failures.other(format!("{} tests, which were not named", all.failed));
        }
    }
}

/// Hands on all lines to the end of the output. What is not UTF-8 is replaced: to stop reading would end the command.
fn each_line(output: impl Read, mut take: impl FnMut(&str)) -> std::io::Result<()> {
    let (mut reader, mut line) = (BufReader::new(output), Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        take(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
        line.clear();
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn closing_lines(run: impl FnOnce(&mut Tally)) -> String {
        let mut tally = Tally::default();
        run(&mut tally);
        tally.print();
        tally.failures.into_result().err().unwrap_or_default()
    }

    #[test]
    fn a_program_that_fails_is_named_with_its_status_and_its_last_lines() {
        let text = closing_lines(|tally| {
            tally.program("demo", "demo: ok", &mut shell("echo one; echo two >&2; exit 3"));
        });
        assert!(text.contains("`sh -c echo one; echo two >&2; exit 3` failed: exit status: 3"), "{text}");
        assert!(text.contains("one\n") && text.contains("two"), "{text}");
    }

    #[test]
    fn a_program_that_dies_of_a_signal_or_prints_nothing_is_named() {
        let text = closing_lines(|tally| tally.program("crash", "crash: ", &mut shell("kill -9 $$")));
        assert!(text.contains("signal: 9") && text.contains("it printed nothing"), "{text}");
        let text = closing_lines(|tally| tally.program("crash", "crash: ", &mut shell("exit 0")));
        assert!(text.contains("without the line that begins with \"crash: \""), "{text}");
        let missing = closing_lines(|tally| {
            tally.program("crash", "crash: ", &mut Command::new("/there/is/no/such/program"));
        });
        assert!(missing.contains("`program` failed: "), "{missing}");
    }

    /// The line is not text, and the command goes on after it.
    #[test]
    fn output_that_is_not_text_is_read_to_its_end() {
        let script = "printf '\\377\\n'; i=0; while [ $i -lt 20000 ]; do echo filler $i; i=$((i+1)); done; echo demo: ok";
        let text = closing_lines(|tally| tally.program("demo", "demo: ok", &mut shell(script)));
        assert_eq!(text, "");
    }

    #[test]
    fn tests_that_fail_are_named_whichever_runner_runs_them() {
        let nextest = "printf '        FAIL [ 0.1s] (2/9) gateway-codec::cases bom\n     SIGSEGV [ 0.1s] (3/9) gateway-sim wire\n'; exit 100";
        let text = closing_lines(|tally| tally.nextest(&mut shell(nextest)));
        assert!(text.contains("test failed in gateway-codec: gateway-codec::cases bom"), "{text}");
        assert!(text.contains("test failed in gateway-sim: gateway-sim wire"), "{text}");
        assert!(text.contains("failed: exit status: 100"), "{text}");
        let libtest =
            "printf 'test a::b ... FAILED\ntest result: FAILED. 1 passed; 1 failed;\n'; exit 101; :";
        let text = closing_lines(|tally| tally.libtest(Some("no features"), &mut shell(libtest)));
        assert!(text.contains("test failed in no features: a::b"), "{text}");
    }

    #[test]
    fn a_run_without_a_test_has_failed() {
        let text = closing_lines(|tally| tally.nextest(&mut shell("echo nothing to do")));
        assert!(text.contains("no test passed"), "{text}");
    }
}
