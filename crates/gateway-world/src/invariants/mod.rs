//! What must hold at every step, each rule in a file of its own.

mod acknowledged;
mod connects;
mod counters;
mod deadlines;
mod fatal;
mod heartbeats;
mod identify_budget;
mod identify_spacing;
mod memory;
mod order;
mod recovery;
mod resume_first;
mod secrets;
mod send_limit;
mod socket;

use crate::observation::{Observation, Violation};
use crate::time::Time;
use identify_budget::IdentifyBudget;
pub(crate) use recovery::UNKNOWN_OPCODE;

/// A rule, and what it has to remember in order to judge.
trait Invariant {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Looks at what happened to a shard.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in a sentence.
    fn observe(&mut self, at: Time, shard: usize, what: &Observation<'_>) -> Result<(), String>;
}

/// All rules.
pub(crate) struct Invariants {
    budget: IdentifyBudget,
    others: Vec<Box<dyn Invariant>>,
}

impl Invariants {
    pub(crate) fn new(shards: u32, max_concurrency: u32, identifies_a_day: usize) -> Self {
        let count = shards as usize;
        Self {
            budget: IdentifyBudget::new(identifies_a_day),
            others: vec![
                Box::new(send_limit::SendLimit::new(count)),
                Box::new(heartbeats::Heartbeats::new(count)),
                Box::new(resume_first::ResumeFirst::new(count)),
                Box::new(identify_spacing::IdentifySpacing::new(max_concurrency)),
                Box::new(fatal::Fatal::new(count)),
                Box::new(connects::Connects::new(count)),
                Box::new(deadlines::Deadlines::new(count)),
                Box::new(recovery::Recovery::new(count)),
                Box::new(order::Order::new(count)),
                Box::new(acknowledged::Acknowledged),
                Box::new(counters::Counters::new(count)),
                Box::new(socket::Socket::new(count)),
                Box::new(memory::Memory::new(count)),
                Box::new(secrets::Secrets::new(count)),
            ],
        }
    }

    /// Shows something to all of them. The first that objects is heard.
    pub(crate) fn observe(&mut self, at: Time, shard: usize, what: &Observation<'_>) -> Option<Violation> {
        let others = self.others.iter_mut().map(|invariant| &mut **invariant);
        for invariant in std::iter::once(&mut self.budget as &mut dyn Invariant).chain(others) {
            if let Err(sentence) = invariant.observe(at, shard, what) {
                let shard = u32::try_from(shard).unwrap_or(u32::MAX);
                return Some(Violation { at, shard, invariant: invariant.name(), sentence });
            }
        }
        None
    }

    pub(crate) fn identifies_max_24h(&self) -> usize {
        self.budget.most()
    }
}
