//! Reduces the faults of a violation to those that are necessary.

use crate::client::MakeClient;
use crate::cluster::ClusterWorld;
use crate::observation::Violation;
use crate::plan::{CYCLE_HOURS, Cycle, Setting, User};
use crate::time::Time;
use crate::world::{Outcome, World};

/// The most worlds to try.
const ATTEMPTS: u32 = 600;
/// The most worlds of a cluster to try: they take longer.
const ATTEMPTS_OF_A_CLUSTER: u32 = 200;
/// The most faults to simulate over all worlds, so that shrinking takes minutes, not days.
const FAULTS: usize = 10_000_000;

/// A world that violates an invariant, with all its faults.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The settings.
    pub setting: Setting,
    /// The start time.
    pub start: Time,
    /// The cycles with their faults.
    pub cycles: Vec<Cycle>,
}

impl Case {
    /// The world up to the time of an observed violation.
    pub fn new(setting: Setting, violation: &Violation) -> Self {
        let last = (violation.at.hours() / CYCLE_HOURS) as u32;
        Self::of_cycles(setting, 0, last)
    }

    fn of_cycles(setting: Setting, first: u32, last: u32) -> Self {
        let cycles = (first..=last).map_while(|number| setting.cycle(number)).collect();
        Self { setting, start: Time::from_hours(f64::from(first) * CYCLE_HOURS), cycles }
    }

    /// The number of faults.
    pub fn faults(&self) -> usize {
        self.cycles.iter().map(|cycle| cycle.faults.len()).sum()
    }

    /// Runs the world with shards created by `make`. `heap` returns the number of bytes that the process has in use.
    pub fn run(&self, make: MakeClient, heap: fn() -> usize) -> Outcome {
        match self.setting.user {
            User::Cluster => self.cluster(make).run().into(),
            User::Quick | User::Thorough => self.world(make, heap).run(),
        }
    }

    /// Runs the world, and records the steps of one shard, or of a cluster.
    pub fn run_with_steps(&self, shard: u32, make: MakeClient, heap: fn() -> usize) -> Outcome {
        match self.setting.user {
            User::Cluster => self.cluster(make).with_steps().run().into(),
            User::Quick | User::Thorough => self.world(make, heap).with_steps(shard).run(),
        }
    }

    fn cluster(&self, make: MakeClient) -> ClusterWorld {
        ClusterWorld::new(self.setting, self.start, self.cycles.clone().into_iter(), make)
    }

    fn world(&self, make: MakeClient, heap: fn() -> usize) -> World {
        World::new(self.setting, self.start, self.cycles.clone().into_iter(), make).with_heap(heap)
    }

    /// A case that violates the same invariant, with as few faults and in as short a time as can be found.
    #[must_use]
    pub fn shrink(self, invariant: &str, make: MakeClient, heap: fn() -> usize) -> Self {
        let run = |case: &Self| case.run(make, heap);
        let mut search = Search { invariant, attempts: 0, faults: 0, best: self, run };
        search.shorten();
        search.reduce();
        search.begin_late();
        search.best
    }

    /// Keeps only these faults, by their index in the whole list.
    fn keeping(&self, kept: impl Fn(usize) -> bool) -> Self {
        let mut case = self.clone();
        let mut place = 0..;
        for cycle in &mut case.cycles {
            cycle.faults.retain(|_| place.next().is_some_and(&kept));
        }
        case
    }
}

struct Search<'a, R> {
    invariant: &'a str,
    attempts: u32,
    faults: usize,
    best: Case,
    run: R,
}

impl<R: Fn(&Case) -> Outcome> Search<'_, R> {
    /// Whether a candidate violates the same invariant. If so, it becomes the best case, up to the violation.
    fn accept(&mut self, mut candidate: Case) -> bool {
        if self.is_tired() {
            return false;
        }
        self.attempts += 1;
        self.faults += candidate.faults();
        let outcome = (self.run)(&candidate);
        let Some(violation) = outcome.violation.filter(|violation| violation.invariant == self.invariant)
        else {
            return false;
        };
        for cycle in &mut candidate.cycles {
            cycle.faults.retain(|planned| planned.at <= violation.at);
        }
        self.best = candidate;
        true
    }

    fn is_tired(&self) -> bool {
        let most = match self.best.setting.user {
            User::Cluster => ATTEMPTS_OF_A_CLUSTER,
            User::Quick | User::Thorough => ATTEMPTS,
        };
        self.attempts >= most || self.faults >= FAULTS
    }

    /// Removes days.
    fn shorten(&mut self) {
        let last = self.best.cycles.len().saturating_sub(1) as u32;
        for days in [0, 1, 3, 7, 15, 31] {
            if days < last && self.accept(Case::of_cycles(self.best.setting, last - days, last)) {
                return;
            }
        }
    }

    /// Delta debugging: removes parts of the list, large ones first, as long as the invariant is still violated.
    fn reduce(&mut self) {
        let mut parts = 2;
        while self.best.faults() > 0 && !self.is_tired() {
            let size = self.best.faults().div_ceil(parts);
            let smaller = (0..parts).any(|part| {
                let left_out = part * size..(part + 1) * size;
                self.accept(self.best.keeping(|place| !left_out.contains(&place)))
            });
            if smaller {
                parts = parts.saturating_sub(1).max(2);
            } else if size <= 1 {
                return;
            } else {
                parts = (parts * 2).min(self.best.faults());
            }
        }
    }

    /// Shortens the time before the first fault.
    fn begin_late(&mut self) {
        let first = self.best.cycles.iter().flat_map(|cycle| &cycle.faults).map(|planned| planned.at).min();
        let Some(first) = first else { return };
        for hours in [0.1, 1.0] {
            let start = Time::from_hours((first.hours() - hours).max(0.0));
            if start > self.best.start {
                let mut candidate = Case { start, ..self.best.clone() };
                candidate.cycles.retain(|cycle| cycle.end > start);
                if self.accept(candidate) {
                    return;
                }
            }
        }
    }
}
