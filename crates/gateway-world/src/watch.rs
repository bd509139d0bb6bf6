//! Passes every observation to the invariants, and records steps on request.

use std::fmt::Write;

use gateway_sim::ConnectionId;

use crate::engine::{ClientId, Observer};
use crate::invariants::Invariants;
use crate::observation::{Observation, Violation};
use crate::time::Time;

pub(crate) struct Watch {
    invariants: Invariants,
    violation: Option<Violation>,
    /// `None` if steps are not recorded.
    steps: Option<Steps>,
}

/// The recorded steps of one shard.
struct Steps {
    shard: usize,
    lines: Vec<String>,
}

impl Watch {
    pub(crate) fn new(invariants: Invariants) -> Self {
        Self { invariants, violation: None, steps: None }
    }

    pub(crate) fn write_down(&mut self, shard: u32) {
        self.steps = Some(Steps { shard: shard as usize, lines: Vec::new() });
    }

    pub(crate) fn show(&mut self, at: Time, shard: usize, what: &Observation<'_>) {
        if let Some(steps) = &mut self.steps
            && steps.shard == shard
        {
            steps.lines.push(line(at, shard, what));
        }
        if self.violation.is_none() {
            self.violation = self.invariants.observe(at, shard, what);
        }
    }

    /// Records a step that is not an observation.
    pub(crate) fn note(&mut self, at: Time, sentence: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.steps {
            steps.lines.push(format!("{at} {}", sentence()));
        }
    }

    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    pub(crate) fn identifies_max_24h(&self) -> usize {
        self.invariants.identifies_max_24h()
    }

    pub(crate) fn into_parts(self) -> (Option<Violation>, Vec<String>) {
        (self.violation, self.steps.map_or(Vec::new(), |steps| steps.lines))
    }
}

impl Observer for Watch {
    fn observe(&mut self, at: Time, client: ClientId, _: Option<ConnectionId>, what: &Observation<'_>) {
        self.show(at, client.shard().id() as usize, what);
    }
}

fn line(at: Time, shard: usize, what: &Observation<'_>) -> String {
    let mut line = format!("{at} shard {shard}: ");
    let written = match what {
        Observation::Input(input, Some(about)) => write!(line, "{input:?} of {about:?}"),
        // The number of bytes differs between runs.
        Observation::Heap { .. } => write!(line, "the heap is measured"),
        what => write!(line, "{what:?}"),
    };
    written.map(|()| line).unwrap_or_default()
}
