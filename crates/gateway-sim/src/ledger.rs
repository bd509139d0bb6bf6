//! A record of all dispatches, so that a test can count lost and duplicated ones.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Every dispatch of every session. Sessions are numbered: 1 for the first READY, 2 for the second, and so on.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The dispatches of session `n + 1`; the first has the sequence 1.
    sessions: Vec<Vec<Dispatched>>,
    /// The number of each session, by its `session_id`.
    numbers: BTreeMap<String, u64>,
    /// The guild of event `n + 1`; 0 for none.
    guilds: Vec<u64>,
}

#[derive(Debug, Clone)]
struct Dispatched {
    name: Cow<'static, str>,
    /// The number of the event; 0 for a dispatch of this session alone.
    event: u64,
}

/// An event of a guild, and the sessions to which it was dispatched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerEvent<'l> {
    /// 1 for the first event of the gateway. The same in all sessions.
    pub number: u64,
    /// The id of the guild. `None` if the event names no guild of this gateway.
    pub guild: Option<u64>,
    /// The name of the dispatches.
    pub name: &'l str,
    /// The session and the sequence of each dispatch, in the order of the sessions.
    pub dispatches: Vec<(u64, u64)>,
}

/// The difference between the dispatched events and those that a client received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comparison {
    /// Dispatches of the ledger that were received, each counted once.
    pub seen: u64,
    /// Dispatches of the ledger that were not received.
    pub lost: u64,
    /// How many were received more than once.
    pub duplicated: u64,
    /// Received dispatches that are not in the ledger, or have another name there.
    pub unexpected: u64,
}

/// The difference between what happened in guilds and what a bot of several sessions saw of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventComparison {
    /// What happened in guilds and was dispatched to a session.
    pub events: u64,
    /// What was seen in no session.
    pub lost: u64,
    /// How often something was seen again.
    pub duplicated: u64,
    /// How often something of a guild was seen for the first time after something later of the same guild.
    pub disordered: u64,
}

impl Comparison {
    /// Whether every dispatch was received once and nothing besides.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.unexpected == 0
    }
}

impl Ledger {
    /// The number of sessions so far.
    pub fn sessions(&self) -> u64 {
        self.sessions.len() as u64
    }

    /// The number of the session with this `session_id`, whether it lives or has ended.
    pub fn session(&self, session_id: &str) -> Option<u64> {
        self.numbers.get(session_id).copied()
    }

    /// The number of the newest event; 0 if there was none.
    pub fn newest_event(&self) -> u64 {
        self.guilds.len() as u64
    }

    /// The newest sequence of a session; 0 if there is no such session.
    pub fn newest(&self, session: u64) -> u64 {
        self.of(session).len() as u64
    }

    /// The dispatches of one session in order, as `(sequence, name)`.
    pub fn dispatched(&self, session: u64) -> impl Iterator<Item = (u64, &str)> {
        (1..).zip(self.of(session).iter().map(|dispatched| &*dispatched.name))
    }

    /// The number of the event behind a dispatch. It is the same in all sessions that received the event. `None` for a
    /// dispatch of its session alone: READY, the initial GUILD_CREATEs and answers to commands.
    pub fn event(&self, session: u64, sequence: u64) -> Option<u64> {
        let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
        self.of(session).get(index).map(|dispatched| dispatched.event).filter(|event| *event > 0)
    }

    /// The events of the guilds in order, each with its sessions. Scans every dispatch. Events that no session received
    /// are not included.
    pub fn events(&self) -> Vec<LedgerEvent<'_>> {
        let mut events: BTreeMap<u64, LedgerEvent<'_>> = BTreeMap::new();
        for (session, dispatches) in (1..).zip(&self.sessions) {
            for (sequence, Dispatched { name, event }) in (1..).zip(dispatches).filter(|(_, it)| it.event > 0)
            {
                let index = usize::try_from(*event).unwrap_or(0).wrapping_sub(1);
                let guild = self.guilds.get(index).copied().filter(|guild| *guild > 0);
                let new = || LedgerEvent { number: *event, guild, name, dispatches: Vec::new() };
                events.entry(*event).or_insert_with(new).dispatches.push((session, sequence));
            }
        }
        events.into_values().collect()
    }

    /// Compares what happened in guilds with what an application saw of it: session and sequence of each dispatch that it saw, in the
    /// order in which it saw them. Dispatches of a session alone, such as READY, are left out.
    pub fn compare_events(&self, seen: impl IntoIterator<Item = (u64, u64)>) -> EventComparison {
        let mut result = EventComparison::default();
        let mut times: BTreeMap<u64, u64> = BTreeMap::new();
        let mut newest: BTreeMap<u64, u64> = BTreeMap::new();
        for event in seen.into_iter().filter_map(|(session, sequence)| self.event(session, sequence)) {
            let times = times.entry(event).or_default();
            *times += 1;
            if *times > 1 {
                result.duplicated += 1;
                continue;
            }
            let guild = usize::try_from(event - 1).ok().and_then(|index| self.guilds.get(index));
            let newest = newest.entry(guild.copied().unwrap_or(0)).or_default();
            result.disordered += u64::from(event < *newest);
            *newest = event.max(*newest);
        }
        let events: BTreeSet<u64> =
            self.sessions.iter().flatten().map(|it| it.event).filter(|event| *event > 0).collect();
        result.events = events.len() as u64;
        result.lost = events.iter().filter(|event| !times.contains_key(event)).count() as u64;
        result
    }

    /// Compares the dispatches of one session with those that an application received, in any order.
    ///
    /// RESUMED is ignored on both sides: it belongs to a connection and is not replayed when it is lost.
    pub fn compare<'a>(&self, session: u64, seen: impl IntoIterator<Item = (u64, &'a str)>) -> Comparison {
        let mut times: BTreeMap<u64, u64> = BTreeMap::new();
        let mut result = Comparison::default();
        let dispatches = self.of(session);
        for (sequence, name) in seen {
            if name == "RESUMED" {
                continue;
            }
            let dispatched = sequence
                .checked_sub(1)
                .and_then(|index| usize::try_from(index).ok())
                .and_then(|index| dispatches.get(index));
            if dispatched.is_some_and(|dispatched| dispatched.name == name) {
                *times.entry(sequence).or_default() += 1;
            } else {
                result.unexpected += 1;
            }
        }
        let owed = dispatches.iter().filter(|dispatched| dispatched.name != "RESUMED").count() as u64;
        result.seen = times.len() as u64;
        result.lost = owed - result.seen;
        result.duplicated = times.values().map(|count| count - 1).sum();
        result
    }

    pub(crate) fn start(&mut self, session_id: String) {
        self.sessions.push(Vec::new());
        self.numbers.insert(session_id, self.sessions());
    }

    /// Starts an event and returns its number.
    pub(crate) fn begin_event(&mut self, guild: Option<u64>) -> u64 {
        self.guilds.push(guild.unwrap_or(0));
        self.guilds.len() as u64
    }

    /// Records a dispatch. `event` is its number; 0 for a dispatch of this session alone.
    pub(crate) fn record(&mut self, session: u64, event: u64, name: Cow<'static, str>) {
        let index = usize::try_from(session).unwrap_or(0).wrapping_sub(1);
        if let Some(dispatches) = self.sessions.get_mut(index) {
            dispatches.push(Dispatched { name, event });
        }
    }

    fn of(&self, session: u64) -> &[Dispatched] {
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
        ledger.start("one".to_owned());
        for name in ["READY", "GUILD_CREATE", "RESUMED", "MESSAGE_CREATE"] {
            ledger.record(1, 0, name.into());
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
    fn an_event_is_found_in_all_sessions_that_it_went_to() {
        let mut ledger = ledger();
        ledger.start("two".to_owned());
        let (first, second) = (ledger.begin_event(Some(7)), ledger.begin_event(None));
        let nowhere = ledger.begin_event(Some(8));
        ledger.record(2, 0, "READY".into());
        ledger.record(1, first, "TYPING_START".into());
        ledger.record(2, first, "TYPING_START".into());
        ledger.record(2, second, "USER_UPDATE".into());
        let expected = [
            LedgerEvent {
                number: first,
                guild: Some(7),
                name: "TYPING_START",
                dispatches: vec![(1, 5), (2, 2)],
            },
            LedgerEvent { number: second, guild: None, name: "USER_UPDATE", dispatches: vec![(2, 3)] },
        ];
        assert_eq!(ledger.events(), expected);
        assert!(nowhere > second);
        assert_eq!((ledger.event(1, 5), ledger.event(2, 2), ledger.event(2, 3)), (Some(1), Some(1), Some(2)));
        assert_eq!(
            [(1, 0), (1, 1), (1, 6), (2, 4), (3, 1)].map(|(session, s)| ledger.event(session, s)),
            [None; 5]
        );
        assert_eq!(["one", "two", "three"].map(|id| ledger.session(id)), [Some(1), Some(2), None]);
        assert_eq!(ledger.newest_event(), nowhere);
    }

    #[test]
    fn a_session_that_never_was_is_empty() {
        assert_eq!(ledger().newest(0), 0);
        assert_eq!(ledger().newest(2), 0);
        assert!(ledger().compare(2, []).is_clean());
    }

    #[test]
    fn what_happened_in_guilds_is_compared_over_all_sessions() {
        let mut ledger = Ledger::default();
        // Two sessions that serve guild 7, and an event of each alone.
        for session in 1..=2 {
            ledger.start(format!("session {session}"));
            ledger.record(session, 0, "READY".into());
        }
        for _ in 0..3 {
            let event = ledger.begin_event(Some(7));
            ledger.record(1, event, "MESSAGE_CREATE".into());
            ledger.record(2, event, "MESSAGE_CREATE".into());
        }
        let compare = |seen: &[(u64, u64)]| {
            let EventComparison { events, lost, duplicated, disordered } =
                ledger.compare_events(seen.iter().copied());
            (events, lost, duplicated, disordered)
        };
        assert_eq!(compare(&[(1, 1), (1, 2), (2, 3), (2, 4)]), (3, 0, 0, 0), "switched after the first");
        assert_eq!(compare(&[(1, 2), (2, 2), (2, 3)]), (3, 1, 1, 0));
        assert_eq!(compare(&[(1, 3), (2, 2), (2, 4)]), (3, 0, 0, 1));
        assert_eq!(compare(&[]), (3, 3, 0, 0));
    }
}
