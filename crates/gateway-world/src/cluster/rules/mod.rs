//! What must hold of a cluster at every step, each rule in a file of its own.

mod bounds;
mod guild_order;
mod once;
mod owed;
mod progress;
mod reached;
mod senders;
mod spacing;
mod starts;

use super::observation::ClusterObservation;
use crate::observation::Violation;
use crate::time::Time;

/// A rule of a cluster, and what it has to remember in order to judge.
trait Rule {
    const NAME: &'static str;

    /// Looks at what happened.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in a sentence.
    fn observe(&mut self, at: Time, what: &ClusterObservation<'_>) -> Result<(), String>;
}

/// All rules of a cluster.
#[derive(Default)]
pub(super) struct Rules {
    bounds: bounds::Bounds,
    guild_order: guild_order::GuildOrder,
    once: once::Once,
    progress: progress::Progress,
    reached: reached::Reached,
    senders: senders::Senders,
    spacing: spacing::Spacing,
    starts: starts::Starts,
}

impl Rules {
    /// Shows something to all of them. The first that objects is heard.
    pub(super) fn observe(&mut self, at: Time, what: &ClusterObservation<'_>) -> Option<Violation> {
        None.or_else(|| judge(&mut self.bounds, at, what))
            .or_else(|| judge(&mut self.guild_order, at, what))
            .or_else(|| judge(&mut self.once, at, what))
            .or_else(|| judge(&mut self.reached, at, what))
            .or_else(|| judge(&mut self.progress, at, what))
            .or_else(|| judge(&mut self.senders, at, what))
            .or_else(|| judge(&mut self.spacing, at, what))
            .or_else(|| judge(&mut self.starts, at, what))
    }

    /// How often something reached the application again.
    pub(super) fn duplicates(&self) -> u64 {
        self.once.duplicates()
    }
}

fn judge<R: Rule>(rule: &mut R, at: Time, what: &ClusterObservation<'_>) -> Option<Violation> {
    let sentence = rule.observe(at, what).err()?;
    Some(Violation { at, shard: 0, invariant: R::NAME, sentence })
}
