//! The results of a run: one for each scenario and each way of running it.

use std::collections::BTreeMap;
use std::fmt;

use crate::observation::TraceLine;
use crate::runner::Failure;
use crate::scenario::Variant;

/// The result of one scenario in one way.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The rule or fault that it comes from.
    pub rule: &'static str,
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

/// All results of a run. `Display` prints them as a matrix, scenarios by ways, and the failures below it.
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
        self.rows().len()
    }

    /// The names of the ways, in the order in which they were run.
    pub fn ways(&self) -> Vec<&str> {
        let mut ways: Vec<&str> = Vec::new();
        for outcome in &self.outcomes {
            if !ways.contains(&outcome.way.as_str()) {
                ways.push(&outcome.way);
            }
        }
        ways
    }

    /// The last line: `conformance: N scenarios x W ways: P passed, F failed, S skipped`. No scenario is skipped on purpose: the
    /// number counts missing results.
    pub fn summary(&self) -> String {
        let (scenarios, ways) = (self.scenarios(), self.ways().len());
        let (passed, failed) = (self.passed(), self.failures().count());
        let skipped = (scenarios * ways).saturating_sub(passed + failed);
        let results = format!("{passed} passed, {failed} failed, {skipped} skipped");
        format!("conformance: {scenarios} scenarios x {ways} ways: {results}")
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

    fn rows(&self) -> Vec<(&str, BTreeMap<&str, &Outcome>)> {
        let mut rows: Vec<(&str, BTreeMap<&str, &Outcome>)> = Vec::new();
        for outcome in &self.outcomes {
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = self.ways();
        let rows = self.rows();
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
