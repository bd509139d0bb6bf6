//! What has failed in a run, kept until its end: the last lines of the run name it.

use std::collections::VecDeque;
use std::fmt;

/// How many of the last lines of a command's output are shown again.
const TAIL_LINES: usize = 20;

/// Everything that has failed so far.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    entries: Vec<String>,
}

/// The last lines of what a command has printed.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<String>,
}

impl Failures {
    /// A test, by the layer it belongs to.
    pub(crate) fn test(&mut self, layer: &str, name: &str) {
        self.entries.push(format!("test failed in {layer}: {name}"));
    }

    /// A command, how it ended, and the last of what it printed.
    pub(crate) fn command(&mut self, line: &str, how: impl fmt::Display, tail: &Tail) {
        self.entries.push(format!("`{line}` failed: {how}\n{tail}"));
    }

    /// Anything else, in a sentence or several.
    pub(crate) fn other(&mut self, sentence: impl Into<String>) {
        self.entries.push(sentence.into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Nothing has failed, or the closing lines of the run: all that has.
    pub(crate) fn into_result(self) -> Result<(), String> {
        if self.is_empty() { Ok(()) } else { Err(self.to_string()) }
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed, {} in all:", self.entries.len())?;
        for entry in &self.entries {
            write!(f, "\n- {}", entry.trim_end().replace('\n', "\n  "))?;
        }
        Ok(())
    }
}

impl Tail {
    /// Takes the next line.
    pub(crate) fn push(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lines.is_empty() {
            return f.write_str("it printed nothing");
        }
        f.write_str("the last of what it printed:")?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_name_all_that_failed() {
        let mut failures = Failures::default();
        failures.test("gateway-proto", "shard heartbeat::late");
        let mut tail = Tail::default();
        (0..30).for_each(|line| tail.push(&format!("line {line}")));
        tail.push("  ");
        failures.command("cargo nextest run", "exit status: 100", &tail);
        failures.command("gateway-world simulate", "signal: 9 (SIGKILL)", &Tail::default());
        failures.other("scenario flap on tokio: it lost\nan event");
        let text = failures.into_result().unwrap_err();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "failed, 4 in all:",
                "- test failed in gateway-proto: shard heartbeat::late",
                "- `cargo nextest run` failed: exit status: 100",
                "  the last of what it printed:",
            ]
        );
        assert_eq!((lines[4], lines[4 + TAIL_LINES - 1]), ("    line 10", "    line 29"));
        assert_eq!(
            lines[4 + TAIL_LINES..],
            [
                "- `gateway-world simulate` failed: signal: 9 (SIGKILL)",
                "  it printed nothing",
                "- scenario flap on tokio: it lost",
                "  an event",
            ]
        );
        assert_eq!(Failures::default().into_result(), Ok(()));
    }
}
