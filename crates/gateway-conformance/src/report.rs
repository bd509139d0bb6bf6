//! The results of a run: one for each scenario and each way of running it.

use std::collections::BTreeMap;
use std::fmt;

use crate::observation::TraceLine;
use crate::runner::Failure;
use crate::scenario::Variant;

/// What a scenario is about. Each has a matrix of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum About {
    /// One shard.
    Shard,
    /// All shards of a bot.
    Cluster,
}

/// The result of one scenario in one way.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The rule or fault that it comes from.
    pub rule: &'static str,
    /// What it is about.
    pub about: About,
    /// The way, such as `virtual`, or the name given to the runtime.
    pub way: String,
    /// The variant that failed, and how. `None` if all passed.
    pub failure: Option<(Variant, Failure)>,
    /// The trace of the variant that failed, otherwise of the first one.
    pub trace: Vec<TraceLine>,
}

impl Outcome {
    /// Whether it passed.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

/// All results of a run. `Display` prints them as matrices, scenarios by ways, one of shards and one of clusters, and the failures
/// below them.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Report {
    /// The results, by scenario in the order of the table, and by way.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// The number of scenarios that passed, over all ways.
    pub fn passed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.passed()).count()
    }

    /// The failed results.
    pub fn failures(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| !outcome.passed())
    }

    /// The number of scenarios.
    pub fn scenarios(&self) -> usize {
        self.rows(About::Shard).len() + self.rows(About::Cluster).len()
    }

    /// The names of the ways, in the order in which they were run.
    pub fn ways(&self) -> Vec<&str> {
        distinct(self.outcomes.iter().map(|outcome| outcome.way.as_str()))
    }

    /// The ways of the scenarios about this.
    fn ways_of(&self, about: About) -> Vec<&str> {
        let outcomes = self.outcomes.iter().filter(|outcome| outcome.about == about);
        distinct(outcomes.map(|outcome| outcome.way.as_str()))
    }

    /// The last line: `conformance: N scenarios x W ways, M of clusters x V runtimes: P passed, F failed, S skipped`, with what was
    /// run. No scenario is skipped on purpose: the number counts missing results.
    pub fn summary(&self) -> String {
        let size = |about| (self.rows(about).len(), self.ways_of(about).len());
        let ((scenarios, ways), (clusters, runtimes)) = (size(About::Shard), size(About::Cluster));
        let (passed, failed) = (self.passed(), self.failures().count());
        let skipped = (scenarios * ways + clusters * runtimes).saturating_sub(passed + failed);
        let of_shards = format!("{scenarios} scenarios x {ways} ways");
        let of_clusters = format!("{clusters} of clusters x {runtimes} runtimes");
        let run = match (scenarios, clusters) {
            (_, 0) => of_shards,
            (0, _) => of_clusters,
            _ => format!("{of_shards}, {of_clusters}"),
        };
        format!("conformance: {run}: {passed} passed, {failed} failed, {skipped} skipped")
    }

    /// Panics with the whole report if a scenario has failed, or if there is no result.
    ///
    /// # Panics
    ///
    /// If a scenario has failed, and if none was run.
    pub fn assert_passed(&self) {
        assert!(self.failures().next().is_none() && !self.outcomes.is_empty(), "{self}");
    }

    /// Both reports as one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.outcomes.extend(other.outcomes);
        self
    }

    fn rows(&self, about: About) -> Vec<(&str, BTreeMap<&str, &Outcome>)> {
        let mut rows: Vec<(&str, BTreeMap<&str, &Outcome>)> = Vec::new();
        for outcome in self.outcomes.iter().filter(|outcome| outcome.about == about) {
            let row = match rows.iter_mut().find(|(name, _)| *name == outcome.scenario) {
                Some((_, row)) => row,
                None => {
                    rows.push((outcome.scenario, BTreeMap::new()));
                    &mut rows.last_mut().expect("a row was just put there").1
                }
            };
            row.insert(&outcome.way, outcome);
        }
        rows
    }
}

impl Report {
    fn write_matrix(&self, f: &mut fmt::Formatter<'_>, about: About) -> fmt::Result {
        let (ways, rows) = (self.ways_of(about), self.rows(about));
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        write!(f, "{:width$}", "")?;
        for way in &ways {
            write!(f, "  {way}")?;
        }
        writeln!(f)?;
        for (name, row) in &rows {
            write!(f, "{name:width$}")?;
            for way in &ways {
                let word = match row.get(way) {
                    Some(outcome) if outcome.passed() => "ok",
                    Some(_) => "FAIL",
                    None => "-",
                };
                write!(f, "  {word:^0$}", way.len())?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for about in [About::Shard, About::Cluster] {
            if !self.rows(about).is_empty() {
                self.write_matrix(f, about)?;
            }
        }
        for outcome in self.failures() {
            if let Some((variant, failure)) = &outcome.failure {
                writeln!(f, "\n{} on {}, {variant} ({})", outcome.scenario, outcome.way, outcome.rule)?;
                writeln!(f, "  {failure}")?;
                for line in &outcome.trace {
                    writeln!(f, "  {line}")?;
                }
            }
        }
        f.write_str(&self.summary())
    }
}

/// Each once, in the order of their first.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}
