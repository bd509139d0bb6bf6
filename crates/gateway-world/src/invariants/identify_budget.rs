//! Identifies of all shards in any 24 hours: "1000 […] If exceeded, […] the bot's token is reset"
//! (Discord Docs, Gateway > Rate Limiting).

use std::collections::VecDeque;
use std::time::Duration;

use super::Invariant;
use crate::observation::Observation;
use crate::time::Time;

const IDENTIFY: u64 = 2;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// When Identifies were sent in the last 24 hours.
pub(super) struct IdentifyBudget {
    budget: usize,
    sent: VecDeque<Time>,
    most: usize,
}

impl IdentifyBudget {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, sent: VecDeque::new(), most: 0 }
    }

    /// The most there ever were in 24 hours.
    pub(super) fn most(&self) -> usize {
        self.most
    }
}

impl Invariant for IdentifyBudget {
    fn name(&self) -> &'static str {
        "identify budget"
    }

    fn observe(&mut self, at: Time, _: usize, what: &Observation<'_>) -> Result<(), String> {
        let Observation::Sent { op: Some(IDENTIFY), .. } = what else { return Ok(()) };
        while self.sent.front().is_some_and(|oldest| at.since(*oldest) >= DAY) {
            self.sent.pop_front();
        }
        self.sent.push_back(at);
        self.most = self.most.max(self.sent.len());
        if self.sent.len() >= self.budget {
            return Err(format!("{} Identifies within 24 hours, of {}", self.sent.len(), self.budget));
        }
        Ok(())
    }
}
