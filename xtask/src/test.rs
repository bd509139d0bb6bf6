//! Every test there is, and one line for each layer.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use lexopt::{Arg, Parser};

use crate::process::{Done, cargo, line, succeeds, target};
use crate::results::Results;

/// Programs that were built with the tests of their packages, and how the last line of each begins.
const PROGRAMS: [(&str, &str); 11] = [
    ("examples/demo", "demo: ok"),
    ("gateway-world simulate --hours 48 --shards 5 --seed 1 --profile calm", "simulate: "),
    ("gateway-world simulate --hours 48 --shards 5 --seed 1 --profile flaky", "simulate: "),
    ("gateway-world simulate --hours 48 --shards 5 --seed 1 --profile outage", "simulate: "),
    ("gateway-world simulate --hours 48 --shards 5 --seed 1 --profile hostile", "simulate: "),
    ("gateway-world simulate --cluster --hours 24 --shards 8 --seed 1 --profile calm", "simulate: "),
    ("gateway-world simulate --cluster --hours 24 --shards 8 --seed 1 --profile flaky", "simulate: "),
    ("gateway-world simulate --cluster --hours 24 --shards 8 --seed 1 --profile outage", "simulate: "),
    ("gateway-world simulate --cluster --hours 24 --shards 8 --seed 1 --profile hostile", "simulate: "),
    ("examples/crash --kills 5", "crash: kills=5 "),
    ("examples/conformance", "conformance: "),
];
/// How many of the last lines of a command that failed are shown again at the end.
const TAIL_LINES: usize = 20;

/// Runs everything. Goes on after a failure, so that one run shows all of them.
pub(crate) fn run(mut arguments: Parser) -> Done {
    let mut plain = !succeeds(&mut cargo("nextest --version"));
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("plain") => plain = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let mut results = Results::default();
    if plain {
        // Without a choice of targets: that builds the examples, which some tests run, and tests the documentation too.
        libtest(&mut results, "cargo test", "--workspace --no-fail-fast");
    } else {
        let mut nextest = cargo("nextest run --workspace --no-fail-fast");
        watch(&mut results, &mut nextest, Results::nextest);
        libtest(&mut results, "documentation", "--workspace --doc --no-fail-fast");
    }
    let codec_alone = "--package gateway-codec --no-default-features --lib --tests";
    libtest(&mut results, "gateway-codec, no features", codec_alone);
    let built = target()?.join("debug");
    for (words, last_line) in PROGRAMS {
        let (name, arguments) = words.split_once(' ').unwrap_or((words, ""));
        let mut program = Command::new(built.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
        program.args(arguments.split_whitespace());
        ends_with(&mut results, last_line, &mut program);
    }
    println!();
    results.finish()
}

fn libtest(results: &mut Results, layer: &str, flags: &str) {
    let mut test = cargo(&format!("test {flags}"));
    watch(results, &mut test, |results, text| results.libtest(layer, text));
}

/// A program that has succeeded if it prints a line that begins with this, and exits with status 0. Its layer is the word before
/// the colon.
fn ends_with(results: &mut Results, last_line: &str, command: &mut Command) {
    let mut printed = false;
    let ended_well = watch(results, command, |_, text| printed |= text.starts_with(last_line));
    if ended_well && !printed {
        let command = line(command);
        results.failures.push(format!("`{command}` printed no line that begins with {last_line:?}"));
    }
    let passed = ended_well && printed;
    results.count(last_line.split(':').next().unwrap_or_default(), passed.into(), (!passed).into());
}

/// Runs a command, shows every line, and looks at it. Whether it ended well: if not, how it ended is a failure.
fn watch(results: &mut Results, command: &mut Command, mut look: impl FnMut(&mut Results, &str)) -> bool {
    let name = line(command);
    println!("\n$ {name}");
    let mut tail = VecDeque::new();
    let ended = run_to_end(command, |text| {
        look(results, text);
        println!("{text}");
        tail.push_back(text.to_owned());
        tail.drain(..tail.len().saturating_sub(TAIL_LINES));
    });
    let how = match ended {
        Ok(status) if status.success() => return true,
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let tail = if tail.is_empty() { "it printed nothing".to_owned() } else { Vec::from(tail).join("\n  ") };
    results.failures.push(format!("`{name}` failed: {how}\n  {tail}"));
    false
}

/// Hands on each line of both streams in their order: what runs is printed on one and its result on the other.
fn run_to_end(command: &mut Command, mut take: impl FnMut(&str)) -> std::io::Result<ExitStatus> {
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

    /// What is wrong with a program of this script.
    fn failures(script: &str) -> Vec<String> {
        let mut results = Results::default();
        ends_with(&mut results, "demo: ok", Command::new("sh").args(["-c", script]));
        results.failures
    }

    #[test]
    fn a_program_that_fails_is_named_with_how_it_ended_and_its_last_lines() {
        let [text] = &failures("seq 30; echo last >&2; exit 3")[..] else { panic!("one failure") };
        assert!(text.starts_with("`sh -c seq 30") && text.ends_with("\n  last"), "{text}");
        assert!(text.contains("failed: exit status: 3\n  12\n"), "{text}");
        let [text] = &failures("kill -9 $$")[..] else { panic!("one failure") };
        assert!(text.contains("signal: 9") && text.contains("it printed nothing"), "{text}");
        let [text] = &failures("exit 0")[..] else { panic!("one failure") };
        assert!(text.contains("printed no line that begins with \"demo: ok\""), "{text}");
        let mut results = Results::default();
        ends_with(&mut results, "demo: ok", &mut Command::new("/there/is/no/such/program"));
        assert!(results.failures[0].contains("`program` failed: "));
    }

    /// The line is not text, and the command continues after it.
    #[test]
    fn output_that_is_not_text_is_read_to_its_end() {
        assert_eq!(failures("printf '\\377\\n'; seq 20000; echo demo: ok"), [""; 0]);
    }
}
