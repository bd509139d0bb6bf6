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
pub(crate) use identify_spacing::Spaced;
pub(crate) use recovery::UNKNOWN_OPCODE;

/// A rule of all shards, and what it has to remember in order to judge.
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

/// A rule of each shard by itself, and what it has to remember of one.
trait Rule: Default {
    const NAME: &'static str;

    fn observe(&mut self, at: Time, what: &Observation<'_>) -> Result<(), String>;
}

/// A rule of each shard, for every shard of which anything was seen.
struct Each<R>(Vec<R>);

impl<R: Rule> Invariant for Each<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn observe(&mut self, at: Time, shard: usize, what: &Observation<'_>) -> Result<(), String> {
        if shard >= self.0.len() {
            self.0.resize_with(shard + 1, R::default);
        }
        self.0[shard].observe(at, what)
    }
}

fn each<R: Rule + 'static>() -> Box<dyn Invariant> {
    Box::new(Each::<R>(Vec::new()))
}

/// All rules.
pub(crate) struct Invariants {
    budget: IdentifyBudget,
    others: Vec<Box<dyn Invariant>>,
}

impl Invariants {
    /// For shards that are numbered as they are for the gateway.
    pub(crate) fn new(max_concurrency: u32, identifies_a_day: usize) -> Self {
        let mut this = Self::of_each_shard(identifies_a_day);
        this.others.push(Box::new(identify_spacing::IdentifySpacing::new(max_concurrency)));
        this
    }

    /// All but the spacing of Identifies, for which the number of a shard counts.
    pub(crate) fn of_each_shard(identifies_a_day: usize) -> Self {
        Self {
            budget: IdentifyBudget::new(identifies_a_day),
            others: vec![
                each::<send_limit::SendLimit>(),
                each::<heartbeats::Heartbeats>(),
                each::<resume_first::ResumeFirst>(),
                each::<fatal::Fatal>(),
                each::<connects::Connects>(),
                each::<deadlines::Deadlines>(),
                each::<recovery::Recovery>(),
                each::<order::Order>(),
                each::<acknowledged::Acknowledged>(),
                each::<counters::Counters>(),
                each::<socket::Socket>(),
                each::<memory::Memory>(),
                each::<secrets::Secrets>(),
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
