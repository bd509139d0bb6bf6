//! The faults set for the points of a connection.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::rules::{Point, Rule, Rules};
use crate::script::{ScriptStep, When};

/// The active rules, and the state that they and the script depend on.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) rules: Rules,
    /// How often each point was reached.
    reached: BTreeMap<Point, u64>,
    down_until: Option<Instant>,
}

impl Faults {
    /// Records that a connection of this shard reached a point. Returns the rule for it, which is then used up once.
    pub(crate) fn reach(&mut self, point: Point, shard: Option<u32>) -> Option<Rule> {
        *self.reached.entry(point).or_default() += 1;
        self.rules.take(point, shard)
    }

    /// The script's steps for this occurrence of the point, each with its delay.
    pub(crate) fn steps(&self, script: &[ScriptStep], point: Point) -> Vec<(usize, Duration)> {
        let count = self.reached.get(&point).copied().unwrap_or(0);
        let due = |(index, step): (usize, &ScriptStep)| match step.when {
            When::Reached { point: wanted, number, after } => {
                ((wanted, number) == (point, count)).then_some((index, after))
            }
            When::Start(_) => None,
        };
        script.iter().enumerate().filter_map(due).collect()
    }

    /// Rejects connections until this time.
    pub(crate) fn go_down(&mut self, until: Instant) {
        self.down_until = Some(until);
    }

    /// Accepts connections again if it is time.
    pub(crate) fn come_up(&mut self, now: Instant) {
        self.down_until = self.down_until.filter(|until| *until > now);
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down_until.is_some()
    }
}
