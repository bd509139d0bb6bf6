//! Who may identify when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::identify_budget::Ledger;
use crate::{
    ConfigError, IdentifyBudget, IdentifyRefused, IdentifySnapshot, SessionStartLimit, ShardId, WhenSpent,
};

/// "One Identify per 5 seconds" for each key (Discord Docs, Gateway > Sharding > Max Concurrency), and a margin: the
/// server measures where the messages arrive.
const SPACING: Duration = Duration::from_millis(5250);

/// Hands out permits to identify: one in 5.25 s for each `shard_id % max_concurrency`, in the order of the shard ids, and
/// no more in 24 hours than the [`IdentifyBudget`] allows.
///
/// Resumes need no permit. A value like the shard itself: requests and the time go in, permits and a deadline come out.
/// A permit counts as a session start once it is given, whatever becomes of it: reconnects count like first starts.
#[derive(Debug)]
pub struct IdentifyQueue {
    max_concurrency: u32,
    waiting: BTreeSet<Request>,
    /// When each key may be granted a permit again.
    next: BTreeMap<u32, Instant>,
    /// Begins with the first time that is told.
    ledger: Option<Ledger>,
    next_ticket: u64,
}

/// The order in which requests are granted within a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    shard: ShardId,
    ticket: Ticket,
}

/// Names one request of a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

impl IdentifyQueue {
    /// A queue for `session_start_limit.max_concurrency` of `GET /gateway/bot`. 0 is read as 1.
    ///
    /// As long as nothing else is known, it spends 900 of 1000 session starts in 24 hours.
    pub fn new(max_concurrency: u32) -> Self {
        Self {
            max_concurrency: max_concurrency.max(1),
            waiting: BTreeSet::new(),
            next: BTreeMap::new(),
            ledger: None,
            next_ticket: 0,
        }
    }

    /// A queue for `session_start_limit` of `GET /gateway/bot`, asked for just now.
    ///
    /// # Errors
    ///
    /// Where the shards could spend more in a day than the budget leaves them; the error says which field.
    pub fn with_budget(
        budget: IdentifyBudget,
        limit: &SessionStartLimit,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        let ledger = Ledger::new(budget, limit, now)?;
        Ok(Self { ledger: Some(ledger), ..Self::new(limit.max_concurrency) })
    }

    /// Takes a newer `session_start_limit`. It holds from the next [`poll`](Self::poll) on, also for those who wait.
    ///
    /// # Errors
    ///
    /// As [`IdentifyQueue::with_budget`]. Nothing has changed then.
    pub fn update(&mut self, limit: &SessionStartLimit, now: Instant) -> Result<(), ConfigError> {
        self.ledger_at(now).update(limit, now)?;
        self.max_concurrency = limit.max_concurrency.max(1);
        self.set_pace(now);
        Ok(())
    }

    /// Asks for a permit.
    pub fn request(&mut self, shard: ShardId) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(Request { shard, ticket });
        ticket
    }

    /// Takes a request back. It costs no waiting time. A permit that was granted already stays used.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.waiting.retain(|request| request.ticket != ticket);
    }

    /// Grants the next permit that is due, if any.
    pub fn poll(&mut self, now: Instant) -> Option<Ticket> {
        self.ledger_at(now);
        let granted = *self.waiting.iter().find(|request| self.due(request.shard, now) <= now)?;
        self.waiting.remove(&granted);
        self.next.insert(granted.shard.rate_limit_key(self.max_concurrency), now + SPACING);
        self.ledger_at(now).spend(granted.shard, now);
        Some(granted.ticket)
    }

    /// The next request that is refused because the budget is spent, with [`WhenSpent::Refuse`].
    pub fn poll_refused(&mut self, now: Instant) -> Option<(Ticket, IdentifyRefused)> {
        let ledger = self.ledger.as_ref().filter(|ledger| ledger.when_spent() == WhenSpent::Refuse)?;
        let (refused, available_at) = self
            .waiting
            .iter()
            .find_map(|request| Some((*request, ledger.available_at(request.shard, now)?)))?;
        let refusal = ledger.refusal(available_at, now);
        self.waiting.remove(&refused);
        Some((refused.ticket, refusal))
    }

    /// When [`poll`](Self::poll) should be called again, if nothing is requested in between. None: nobody waits.
    ///
    /// May lie in the past: somebody can be granted a permit at once.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        self.waiting.iter().map(|request| self.due(request.shard, now)).min()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many session starts are left, those of the reserve among them.
    pub fn remaining(&self, now: Instant) -> u32 {
        self.ledger.as_ref().map_or_else(|| Ledger::usual(now).remaining(now), |ledger| ledger.remaining(now))
    }

    /// The session starts of the last 24 hours, to be kept for the next process: after each permit, best before the
    /// Identify goes out.
    pub fn snapshot(&self, now: Instant) -> IdentifySnapshot {
        self.ledger.as_ref().map_or_else(IdentifySnapshot::default, |ledger| ledger.snapshot(now))
    }

    /// Counts the session starts of an earlier process too.
    ///
    /// `elapsed` is the time since the snapshot was made. Zero is always safe, and right where no clock can be trusted:
    /// then the time in which no process ran does not count.
    pub fn restore(&mut self, snapshot: &IdentifySnapshot, elapsed: Duration, now: Instant) {
        self.ledger_at(now).restore(snapshot, elapsed, now);
        self.set_pace(now);
    }

    /// When a shard may be granted a permit: by its key's pace and by the budget. `now`: at once.
    fn due(&self, shard: ShardId, now: Instant) -> Instant {
        let pace = self.next.get(&shard.rate_limit_key(self.max_concurrency)).copied();
        let budget = self.ledger.as_ref().and_then(|ledger| ledger.available_at(shard, now));
        pace.max(budget).unwrap_or(now)
    }

    /// Reads from the ledger when each key may be granted again: the keys, or the ledger, have changed.
    fn set_pace(&mut self, now: Instant) {
        let Some(ledger) = &self.ledger else { return };
        let newest = ledger.newest(SPACING, now);
        self.next = newest
            .map(|(shard, ago)| (shard.rate_limit_key(self.max_concurrency), now + (SPACING - ago)))
            .collect();
    }

    fn ledger_at(&mut self, now: Instant) -> &mut Ledger {
        self.ledger.get_or_insert_with(|| Ledger::usual(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: u32) -> ShardId {
        ShardId::new(id, 64).unwrap()
    }

    /// The permits granted at a time, by shard.
    fn grants(queue: &mut IdentifyQueue, tickets: &[(Ticket, u32)], now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| queue.poll(now))
            .map(|granted| tickets.iter().find(|(ticket, _)| *ticket == granted).unwrap().1)
            .collect()
    }

    #[test]
    fn keys_are_independent_and_shards_keep_their_order() {
        let start = Instant::now();
        let mut queue = IdentifyQueue::new(16);
        let tickets: Vec<(Ticket, u32)> = (0..64).rev().map(|id| (queue.request(shard(id)), id)).collect();
        for round in 0..4 {
            let now = start + SPACING * round;
            assert_eq!(grants(&mut queue, &tickets, now), (round * 16..round * 16 + 16).collect::<Vec<_>>());
            let early = now + Duration::from_secs(5);
            assert_eq!(grants(&mut queue, &tickets, early), [0; 0], "not before 5.25 s");
        }
        assert_eq!(queue.next_deadline(start), None);
    }

    #[test]
    fn cancelled_requests_cost_nothing() {
        let start = Instant::now();
        let mut queue = IdentifyQueue::new(1);
        let tickets: Vec<(Ticket, u32)> = (0..64).map(|id| (queue.request(shard(id)), id)).collect();
        for (ticket, _) in &tickets[..63] {
            queue.cancel(*ticket);
        }
        assert_eq!(queue.waiting(), 1);
        assert_eq!(grants(&mut queue, &tickets, start), [63]);
    }

    #[test]
    fn zero_is_read_as_one_and_the_deadline_tells_when() {
        let start = Instant::now();
        let mut queue = IdentifyQueue::new(0);
        let first = queue.request(shard(3));
        let second = queue.request(shard(3));
        assert_eq!(queue.next_deadline(start), Some(start));
        assert_eq!((queue.poll(start), queue.poll(start)), (Some(first), None));
        assert_eq!(queue.next_deadline(start), Some(start + SPACING));
        assert_eq!(queue.poll(start + SPACING), Some(second));
    }
}
