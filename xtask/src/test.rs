//! Every test there is, and one line for each layer.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use lexopt::{Arg, Parser};

use crate::process::{cargo, has_cargo_tool, line, target};
use crate::results::Results;

/// The world whose days are simulated, with each profile.
const WORLD: [&str; 6] = ["--hours", "48", "--shards", "5", "--seed", "1"];
const PROFILES: [&str; 4] = ["calm", "flaky", "outage", "hostile"];
/// How many of the last lines of a command that failed are shown again at the end.
const TAIL_LINES: usize = 20;

/// Runs everything. Goes on after a failure, so that one run shows all of them.
pub(crate) fn run(mut arguments: Parser) -> Result<(), String> {
    let mut plain = !has_cargo_tool("nextest");
    while let Some(argument) = arguments.next().map_err(|error| error.to_string())? {
        match argument {
            Arg::Long("plain") => plain = true,
            other => return Err(other.unexpected().to_string()),
        }
    }
    let mut results = Results::default();
    if plain {
        // Without a choice of targets: that builds the examples, which some tests run, and tests the documentation too.
        libtest(&mut results, None, &["--workspace", "--no-fail-fast"])?;
    } else {
        let mut nextest = cargo()?;
        nextest.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        watch(&mut results, &mut nextest, |results, text| {
            results.nextest(text);
            true
        });
        libtest(&mut results, Some("documentation"), &["--workspace", "--doc", "--no-fail-fast"])?;
    }
    let codec_alone = ["--package", "gateway-codec", "--no-default-features", "--lib", "--tests"];
    libtest(&mut results, Some("gateway-codec, no features"), &codec_alone)?;
    // The programs were built with the tests of their packages.
    let built = target()?.join("debug");
    let program = |name: &str| -> PathBuf { built.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)) };
    ends_with(&mut results, "demo", "demo: ok", &mut Command::new(program("examples/demo")));
    for profile in PROFILES {
        let mut world = Command::new(program("gateway-world"));
        world.args(["simulate", "--profile", profile]).args(WORLD);
        ends_with(&mut results, "simulate", "simulate: ", &mut world);
    }
    let mut crash = Command::new(program("examples/crash"));
    ends_with(&mut results, "crash", "crash: kills=5 ", crash.args(["--kills", "5"]));
    println!();
    results.print();
    watch(&mut results, &mut Command::new(program("examples/conformance")), |_, _| true);
    results.into_result()
}

/// All results are those of `layer`, if there is one.
fn libtest(results: &mut Results, layer: Option<&str>, flags: &[&str]) -> Result<(), String> {
    let mut test = cargo()?;
    test.arg("test").args(flags).arg("--message-format=json-render-diagnostics");
    watch(results, &mut test, |results, text| results.libtest(layer, text));
    Ok(())
}

/// A program that has succeeded if it prints a line that begins with this, and exits with status 0.
fn ends_with(results: &mut Results, layer: &str, last_line: &str, command: &mut Command) {
    let mut printed = false;
    let ended_well = watch(results, command, |_, text| {
        printed |= text.starts_with(last_line);
        true
    });
    if ended_well && !printed {
        let command = line(command);
        results.failures.push(format!("`{command}` printed no line that begins with {last_line:?}"));
    }
    let passed = ended_well && printed;
    results.count(layer, u64::from(passed), u64::from(!passed));
}

/// Runs a command and looks at every line; those for which `look` says so are shown. Whether it ended well: if not, how it
/// ended is a failure.
fn watch(
    results: &mut Results,
    command: &mut Command,
    mut look: impl FnMut(&mut Results, &str) -> bool,
) -> bool {
    let name = line(command);
    println!("\n$ {name}");
    let mut tail = VecDeque::new();
    let mut shown = |text: &str| {
        if look(results, text) {
            println!("{text}");
            tail.push_back(text.to_owned());
            if tail.len() > TAIL_LINES {
                tail.pop_front();
            }
        }
    };
    let how = match run_to_end(command, &mut shown) {
        Ok(status) if status.success() => return true,
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let tail: Vec<String> = tail.into();
    let tail = if tail.is_empty() { "it printed nothing".to_owned() } else { tail.join("\n  ") };
    results.failures.push(format!("`{name}` failed: {how}\n  {tail}"));
    false
}

/// Hands on each line of both streams in their order: what runs is printed on one and its result on the other.
fn run_to_end(
    command: &mut Command,
    take: &mut impl FnMut(&str),
) -> std::io::Result<std::process::ExitStatus> {
    let (reader, writer) = std::io::pipe()?;
    command.env("CARGO_TERM_COLOR", "never").stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let child = command.spawn();
    // The command holds writing ends of the pipe: until they are closed, the output has no end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child?;
    // What is not UTF-8 is replaced: to stop reading would end the command.
    for line in BufReader::new(reader).split(b'\n') {
        take(String::from_utf8_lossy(&line?).trim_end_matches('\r'));
    }
    child.wait()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// The closing lines after a program of this script.
    fn closing_lines(script: &str) -> String {
        let mut results = Results::default();
        let mut shell = Command::new("sh");
        ends_with(&mut results, "demo", "demo: ok", shell.args(["-c", script]));
        results.into_result().err().unwrap_or_default()
    }

    #[test]
    fn a_program_that_fails_is_named_with_its_status_and_its_last_lines() {
        let text = closing_lines(
            "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line $i; done; echo last >&2; exit 3",
        );
        assert!(text.contains("failed: exit status: 3\n    line 12\n"), "{text}");
        assert!(
            text.ends_with("\n    last") && text.starts_with("failed, 1 in all:\n- `sh -c i=0"),
            "{text}"
        );
    }

    #[test]
    fn a_program_that_dies_of_a_signal_or_prints_nothing_is_named() {
        let text = closing_lines("kill -9 $$");
        assert!(text.contains("signal: 9") && text.contains("it printed nothing"), "{text}");
        let text = closing_lines("exit 0");
        assert!(text.contains("printed no line that begins with \"demo: ok\""), "{text}");
        let mut results = Results::default();
        ends_with(&mut results, "demo", "demo: ok", &mut Command::new("/there/is/no/such/program"));
        assert!(results.into_result().unwrap_err().contains("`program` failed: "));
    }

    /// The line is not text, and the command goes on after it.
    #[test]
    fn output_that_is_not_text_is_read_to_its_end() {
        let filler = "i=0; while [ $i -lt 20000 ]; do echo filler $i; i=$((i+1)); done; echo demo: ok";
        assert_eq!(closing_lines(&format!("printf '\\377\\n'; {filler}")), "");
    }
}
