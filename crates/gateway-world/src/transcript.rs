//! A violation as a file: the world that leads to it, and its steps. One JSON value on each line.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::client::MakeClient;
use crate::observation::Violation;
use crate::plan::{Cycle, Setting};
use crate::shrink::Case;
use crate::time::Time;
use crate::world::Outcome;

/// A world that violates an invariant, and its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// The world.
    pub case: Case,
    /// The shard that violates the invariant.
    pub shard: u32,
    /// The steps of that shard.
    pub steps: Vec<String>,
    /// The violation.
    pub violation: String,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    World { setting: Setting, start: Time, shard: u32 },
    Cycle(Cycle),
    Step(String),
    Violation(String),
}

/// The result of a replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The outcome, with the steps of the shard.
    pub outcome: Outcome,
    /// The number of the first step that differs from the transcript, counted from 1.
    pub differs_from: Option<usize>,
}

impl Transcript {
    /// Finds the faults that are necessary to violate the same invariant, and records the steps. `None` if the same world
    /// does not violate it again.
    pub fn explain(
        setting: Setting,
        violation: &Violation,
        make: MakeClient,
        heap: fn() -> usize,
    ) -> Option<Self> {
        let case = Case::new(setting, violation).shrink(violation.invariant, make, heap);
        let found = case.run(make, heap).violation?;
        let outcome = case.run_with_steps(found.shard, make, heap);
        let violation = outcome.violation.unwrap_or(found);
        Some(Self { case, shard: violation.shard, steps: outcome.steps, violation: violation.to_string() })
    }

    /// Replays the transcript.
    pub fn replay(&self, make: MakeClient, heap: fn() -> usize) -> Replay {
        let outcome = self.case.run_with_steps(self.shard, make, heap);
        let steps = outcome.steps.iter();
        let differs = steps.zip(1..).find(|(step, number)| self.steps.get(number - 1) != Some(step));
        let shorter = (outcome.steps.len() < self.steps.len()).then_some(outcome.steps.len() + 1);
        let differs_from = differs.map(|(_, number)| number).or(shorter);
        Replay { outcome, differs_from }
    }

    /// Writes the transcript.
    ///
    /// # Errors
    ///
    /// If the writer fails.
    pub fn write(&self, mut writer: impl Write) -> io::Result<()> {
        let Case { setting, start, cycles } = &self.case;
        let head = Line::World { setting: *setting, start: *start, shard: self.shard };
        let cycles = cycles.iter().cloned().map(Line::Cycle);
        let steps = self.steps.iter().cloned().map(Line::Step);
        let end = Line::Violation(self.violation.clone());
        for line in std::iter::once(head).chain(cycles).chain(steps).chain(std::iter::once(end)) {
            serde_json::to_writer(&mut writer, &line)?;
            writeln!(writer)?;
        }
        Ok(())
    }

    /// Reads a transcript.
    ///
    /// # Errors
    ///
    /// If the reader fails, or a line is not that of a transcript.
    pub fn read(reader: impl BufRead) -> io::Result<Self> {
        let mut head = None;
        let (mut cycles, mut steps, mut violation) = (Vec::new(), Vec::new(), String::new());
        for line in reader.lines() {
            match serde_json::from_str(&line?)? {
                Line::World { setting, start, shard } => head = Some((setting, start, shard)),
                Line::Cycle(cycle) => cycles.push(cycle),
                Line::Step(step) => steps.push(step),
                Line::Violation(sentence) => violation = sentence,
            }
        }
        let Some((setting, start, shard)) = head else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no transcript of a world"));
        };
        Ok(Self { case: Case { setting, start, cycles }, shard, steps, violation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::User;
    use crate::profile::Profile;

    #[test]
    fn what_is_written_is_read() {
        let setting =
            Setting { seed: 1, hours: 30.0, shards: 2, profile: Profile::Hostile, user: User::Thorough };
        let cycles = (0..2).map_while(|number| setting.cycle(number)).collect();
        let transcript = Transcript {
            case: Case { setting, start: Time::from_hours(0.5), cycles },
            shard: 1,
            steps: vec!["0:00:01 shard 1: something".to_owned()],
            violation: "a rule".to_owned(),
        };
        let mut file = Vec::new();
        transcript.write(&mut file).unwrap();
        assert_eq!(Transcript::read(file.as_slice()).unwrap(), transcript);
        assert!(Transcript::read(&b"{\"step\":\"alone\"}"[..]).is_err());
    }
}
