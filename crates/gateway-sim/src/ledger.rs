//! What was dispatched to whom, so that a test can count what was lost and what came twice.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Every dispatch of every session. A session is named by its number: 1 for the first READY, 2 for the second, and so on.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The names of the dispatches of session `n + 1`; the first has the sequence 1.
    sessions: Vec<Vec<Cow<'static, str>>>,
}

/// The difference between the dispatched events and those that a client received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comparison {
    /// Dispatches of the ledger that were seen, each counted once.
    pub seen: u64,
    /// Dispatches of the ledger that were not seen.
    pub lost: u64,
    /// How often something was seen again.
    pub duplicated: u64,
    /// What was seen and is not in the ledger, or has another name there.
    pub unexpected: u64,
}

impl Comparison {
    /// Everything was seen once and nothing else was seen.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.unexpected == 0
    }
}

impl Ledger {
    /// How many sessions there have been.
    pub fn sessions(&self) -> u64 {
        self.sessions.len() as u64
    }

    /// The newest sequence of a session; 0 if there is no such session.
    pub fn newest(&self, session: u64) -> u64 {
        self.names(session).len() as u64
    }

    /// The dispatches of one session in order, as `(sequence, name)`.
    pub fn dispatched(&self, session: u64) -> impl Iterator<Item = (u64, &str)> {
        (1..).zip(self.names(session).iter().map(Cow::as_ref))
    }

    /// Compares one session with what an application saw of it, in any order.
    ///
    /// RESUMED is left out on both sides: it belongs to a connection and is not replayed when it is lost.
    pub fn compare<'a>(&self, session: u64, seen: impl IntoIterator<Item = (u64, &'a str)>) -> Comparison {
        let mut times: BTreeMap<u64, u64> = BTreeMap::new();
        let mut result = Comparison::default();
        let names = self.names(session);
        for (sequence, name) in seen {
            if name == "RESUMED" {
                continue;
            }
            let dispatched = sequence
                .checked_sub(1)
                .and_then(|index| usize::try_from(index).ok())
                .and_then(|index| names.get(index));
            if dispatched.is_some_and(|dispatched| dispatched == name) {
                *times.entry(sequence).or_default() += 1;
            } else {
                result.unexpected += 1;
            }
        }
        let owed = names.iter().filter(|name| *name != "RESUMED").count() as u64;
        result.seen = times.len() as u64;
        result.lost = owed - result.seen;
        result.duplicated = times.values().map(|count| count - 1).sum();
        result
    }

    pub(crate) fn start(&mut self) {
        self.sessions.push(Vec::new());
    }

    pub(crate) fn record(&mut self, session: u64, name: Cow<'static, str>) {
        let index = usize::try_from(session).unwrap_or(0).wrapping_sub(1);
        if let Some(names) = self.sessions.get_mut(index) {
            names.push(name);
        }
    }

    fn names(&self, session: u64) -> &[Cow<'static, str>] {
        usize::try_from(session)
            .ok()
            .and_then(|number| number.checked_sub(1))
            .and_then(|index| self.sessions.get(index))
            .map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.start();
        for name in ["READY", "GUILD_CREATE", "RESUMED", "MESSAGE_CREATE"] {
            ledger.record(1, name.into());
        }
        ledger
    }

    #[test]
    fn everything_once_is_clean() {
        let seen = [(1, "READY"), (2, "GUILD_CREATE"), (3, "RESUMED"), (4, "MESSAGE_CREATE")];
        let comparison = ledger().compare(1, seen);
        assert!(comparison.is_clean());
        assert_eq!(comparison.seen, 3);
    }

    #[test]
    fn lost_doubled_and_foreign_are_counted() {
        let seen = [(1, "READY"), (1, "READY"), (4, "TYPING_START"), (9, "READY"), (0, "READY")];
        let comparison = ledger().compare(1, seen);
        assert_eq!(
            (comparison.seen, comparison.lost, comparison.duplicated, comparison.unexpected),
            (1, 2, 1, 3)
        );
    }

    #[test]
    fn a_session_that_never_was_is_empty() {
        assert_eq!(ledger().newest(0), 0);
        assert_eq!(ledger().newest(2), 0);
        assert!(ledger().compare(2, []).is_clean());
    }
}
