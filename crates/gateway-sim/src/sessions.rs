//! The live sessions and the ledger.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::ledger::Ledger;
use crate::routes::Routes;
use crate::session::{Event, Session};

/// All live sessions by number: 1 for the first of the gateway.
pub(crate) struct Sessions {
    live: BTreeMap<u64, Session>,
    numbers: BTreeMap<String, u64>,
    routes: Routes,
    count: u64,
    ledger: Ledger,
    keeps_ledger: bool,
}

impl Sessions {
    pub(crate) fn new(keeps_ledger: bool) -> Self {
        Self {
            live: BTreeMap::new(),
            numbers: BTreeMap::new(),
            routes: Routes::default(),
            count: 0,
            ledger: Ledger::default(),
            keeps_ledger,
        }
    }

    /// Starts a session that keeps up to `limit` dispatches for a Resume. Returns its number.
    pub(crate) fn start(
        &mut self,
        id: String,
        shard: (u32, u32),
        intents: u64,
        limit: usize,
        now: Instant,
    ) -> u64 {
        self.count += 1;
        let number = self.count;
        self.numbers.insert(id.clone(), number);
        self.live.insert(number, Session::new(number, id.clone(), shard, intents, limit, now));
        self.routes.add(shard, number);
        if self.keeps_ledger {
            self.ledger.start(id);
        }
        number
    }

    /// Removes a session.
    pub(crate) fn end(&mut self, number: u64) -> Option<Session> {
        let session = self.live.remove(&number)?;
        self.numbers.remove(&session.id);
        self.routes.remove(session.shard, number);
        Some(session)
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Session> {
        self.live.get(&number)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Session> {
        self.live.get_mut(&number)
    }

    /// The session with this `session_id`.
    pub(crate) fn number(&self, id: &str) -> Option<u64> {
        self.numbers.get(id).copied()
    }

    /// All sessions in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.live.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The sessions that serve a guild, regardless of their intents, in order: for all shard counts, including several of
    /// one shard id.
    pub(crate) fn of_guild(&self, guild_id: u64) -> impl Iterator<Item = &Session> {
        let mut numbers = self.routes.of_guild(guild_id);
        numbers.sort_unstable();
        numbers.into_iter().filter_map(|number| self.live.get(&number))
    }

    /// Starts an event of a guild and returns its number in the ledger.
    pub(crate) fn begin_event(&mut self, guild: Option<u64>) -> u64 {
        if self.keeps_ledger { self.ledger.begin_event(guild) } else { 0 }
    }

    /// Numbers an event of a session, and keeps it for a replay. `shared` is its number in the ledger; 0 for a dispatch
    /// of this session alone.
    pub(crate) fn push(
        &mut self,
        number: u64,
        shared: u64,
        name: Cow<'static, str>,
        data: Arc<str>,
    ) -> Option<Event> {
        let event = self.live.get_mut(&number)?.push(name, data);
        if self.keeps_ledger {
            self.ledger.record(number, shared, event.name.clone());
        }
        Some(event)
    }

    /// Skips sequence numbers.
    pub(crate) fn skip(&mut self, number: u64, count: u32) {
        let Some(session) = self.live.get_mut(&number) else {
            return;
        };
        session.sequence += u64::from(count);
        if self.keeps_ledger {
            // As with a lost RESUMED, nothing with this number is replayed.
            (0..count).for_each(|_| self.ledger.record(number, 0, Cow::Borrowed("RESUMED")));
        }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}
