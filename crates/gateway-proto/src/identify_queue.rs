//! Who may identify when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::identify_budget::Ledger;
use crate::{
    BudgetError, ConfigError, IdentifyBudget, IdentifyRefused, IdentifySnapshot, SessionStartLimit, ShardId,
    TooFewStarts, WhenSpent,
};

/// "One Identify per 5 seconds" for each key (Discord Docs, Gateway > Sharding > Max Concurrency), and a margin: the
/// server measures where the messages arrive.
const SPACING: Duration = Duration::from_millis(5250);

/// Hands out permits to identify: one in 5.25 s for each `shard_id % max_concurrency`, in the order of the shard ids, and
/// no more in 24 hours than the [`IdentifyBudget`] allows.
///
/// Resumes need no permit. A value like the shard itself: requests and the time go in, permits and a deadline come out.
/// A permit counts as a session start once it is given, whatever becomes of it: reconnects count like first starts.
///
/// The server measures from Identify to Identify. So whoever identifies says so with [`used`](Self::used); a permit that
/// nobody uses holds up the others of its key for 5.25 s and no longer. Whoever cannot use a permit at the moment it is
/// granted asks [`redeem`](Self::redeem) first, whether it still holds.
#[derive(Debug)]
pub struct IdentifyQueue {
    max_concurrency: u32,
    waiting: BTreeSet<Request>,
    /// Of those, the ones that count as session starts already: they had a permit that came too late.
    paid: BTreeSet<Ticket>,
    /// What holds each key up.
    paces: BTreeMap<u32, Pace>,
    /// Begins with the first time that is told.
    ledger: Option<Ledger>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Pace {
    /// When the key may be granted a permit again.
    again_at: Instant,
    /// The newest permit of the key. None: it was given before a change of the keys, or by an earlier process.
    permit: Option<Ticket>,
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
            paid: BTreeSet::new(),
            paces: BTreeMap::new(),
            ledger: None,
            next_ticket: 0,
        }
    }

    /// A queue for `session_start_limit` of `GET /gateway/bot`, asked for just now.
    ///
    /// # Errors
    ///
    /// Where the shards could spend more in a day than the budget leaves them; the error says which field. And, with
    /// [`WhenSpent::Refuse`], where fewer session starts are left than are needed: see [`IdentifyQueue::check_start`].
    pub fn with_budget(
        budget: IdentifyBudget,
        limit: &SessionStartLimit,
        now: Instant,
    ) -> Result<Self, BudgetError> {
        let ledger = Ledger::new(budget, limit, now)?;
        let this = Self { ledger: Some(ledger), ..Self::new(limit.max_concurrency) };
        this.check_start(now)?;
        Ok(this)
    }

    /// Whether all shards that are to start a session can be given a permit: half a bot is worse than none.
    /// After [`restore`](Self::restore), ask again.
    ///
    /// # Errors
    ///
    /// With [`WhenSpent::Refuse`], where fewer session starts are left, those of the reserve apart, than
    /// [`IdentifyBudget::starting`] says. With [`WhenSpent::Hold`] never: the shards wait.
    pub fn check_start(&self, now: Instant) -> Result<(), TooFewStarts> {
        self.ledger.as_ref().map_or(Ok(()), |ledger| ledger.check_start(now))
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
        self.paid.remove(&ticket);
    }

    /// Grants the next permit that is due, if any.
    pub fn poll(&mut self, now: Instant) -> Option<Ticket> {
        self.ledger_at(now);
        let granted = *self.waiting.iter().find(|request| self.due(**request, now) <= now)?;
        self.waiting.remove(&granted);
        let pace = Pace { again_at: now + SPACING, permit: Some(granted.ticket) };
        self.paces.insert(granted.shard.rate_limit_key(self.max_concurrency), pace);
        if !self.paid.remove(&granted.ticket) {
            self.ledger_at(now).spend(granted.shard, now);
        }
        Some(granted.ticket)
    }

    /// Whether a permit that was granted some time ago may be used now. True: the pace of its key begins anew.
    ///
    /// False: another of its key was granted since, whose Identify would come too close. The request is in the queue again,
    /// and will not count as a session start a second time.
    pub fn redeem(&mut self, shard: ShardId, ticket: Ticket, now: Instant) -> bool {
        let newest = self.paces.get(&shard.rate_limit_key(self.max_concurrency)).and_then(|pace| pace.permit);
        if newest == Some(ticket) {
            self.used(shard, now);
            return true;
        }
        self.waiting.insert(Request { shard, ticket });
        self.paid.insert(ticket);
        false
    }

    /// A shard's Identify goes out: the pace of its key begins anew.
    pub fn used(&mut self, shard: ShardId, now: Instant) {
        let key = shard.rate_limit_key(self.max_concurrency);
        let pace = self.paces.entry(key).or_insert(Pace { again_at: now, permit: None });
        pace.again_at = pace.again_at.max(now + SPACING);
        self.ledger_at(now).used(shard, now);
    }

    /// The next request that is refused because the budget is spent, with [`WhenSpent::Refuse`].
    pub fn poll_refused(&mut self, now: Instant) -> Option<(Ticket, IdentifyRefused)> {
        let ledger = self.ledger.as_ref().filter(|ledger| ledger.when_spent() == WhenSpent::Refuse)?;
        let unpaid = self.waiting.iter().filter(|request| !self.paid.contains(&request.ticket));
        let (refused, available_at) =
            unpaid.filter_map(|request| Some((*request, ledger.available_at(request.shard, now)?))).next()?;
        let refusal = ledger.refusal(available_at, now);
        self.waiting.remove(&refused);
        Some((refused.ticket, refusal))
    }

    /// The refusal of a permit that was granted, but could not be written down for the next process. It stays spent.
    pub fn not_kept(&self, now: Instant) -> IdentifyRefused {
        let reserve = self.ledger.as_ref().map_or_else(|| Ledger::usual(now).reserve(), Ledger::reserve);
        IdentifyRefused::not_kept(self.remaining(now), reserve)
    }

    /// When [`poll`](Self::poll) should be called again, if nothing is requested in between. None: nobody waits.
    ///
    /// May lie in the past: somebody can be granted a permit at once.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        self.waiting.iter().map(|request| self.due(*request, now)).min()
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

    /// When a request may be granted: by its key's pace and by the budget. `now`: at once.
    fn due(&self, Request { shard, ticket }: Request, now: Instant) -> Instant {
        let pace = self.paces.get(&shard.rate_limit_key(self.max_concurrency)).map(|pace| pace.again_at);
        let ledger = self.ledger.as_ref().filter(|_| !self.paid.contains(&ticket));
        pace.max(ledger.and_then(|ledger| ledger.available_at(shard, now))).unwrap_or(now)
    }

    /// Reads from the ledger when each key may be granted again: the keys, or the ledger, have changed.
    fn set_pace(&mut self, now: Instant) {
        let Some(ledger) = &self.ledger else { return };
        let newest = ledger.newest(SPACING, now);
        self.paces = newest
            .map(|(shard, ago)| {
                let pace = Pace { again_at: now + (SPACING - ago), permit: None };
                (shard.rate_limit_key(self.max_concurrency), pace)
            })
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

    #[test]
    fn the_pace_counts_from_the_identify() {
        let start = Instant::now();
        let mut queue = IdentifyQueue::new(1);
        queue.request(shard(0));
        queue.poll(start).unwrap();
        let other = queue.request(shard(1));
        let sent = start + Duration::from_secs(4);
        queue.used(shard(0), sent);
        assert_eq!(queue.next_deadline(sent), Some(sent + SPACING));
        assert_eq!(queue.poll(start + SPACING), None, "1.25 s after the other Identify");
        // The keys are read anew from the account of the day, which knows it too.
        queue.update(&SessionStartLimit::default(), sent).unwrap();
        assert_eq!(queue.poll(start + SPACING), None);
        assert_eq!(queue.poll(sent + SPACING), Some(other));
    }

    #[test]
    fn a_permit_that_nobody_uses_holds_up_nobody_for_longer() {
        let start = Instant::now();
        let mut queue = IdentifyQueue::new(1);
        let (lost, next) = (queue.request(shard(0)), queue.request(shard(1)));
        assert_eq!(queue.poll(start), Some(lost));
        queue.cancel(lost);
        assert_eq!(queue.poll(start + SPACING), Some(next));
    }

    #[test]
    fn a_permit_that_comes_too_late_waits_again_and_is_paid_once() {
        let start = Instant::now();
        let mut queue = IdentifyQueue::new(1);
        let (slow, quick) = (queue.request(shard(0)), queue.request(shard(1)));
        assert_eq!(queue.poll(start), Some(slow));
        assert_eq!(queue.poll(start + SPACING), Some(quick));
        let late = start + SPACING + Duration::from_secs(1);
        assert!(queue.redeem(shard(1), quick, late));
        assert!(!queue.redeem(shard(0), slow, late));
        assert_eq!((queue.poll(late), queue.next_deadline(late)), (None, Some(late + SPACING)));
        assert_eq!(queue.poll(late + SPACING), Some(slow));
        assert!(queue.redeem(shard(0), slow, late + SPACING * 3), "nobody was granted one since");
        assert_eq!(queue.remaining(late + SPACING), 998);
    }

    #[test]
    fn what_is_paid_is_not_refused() {
        let start = Instant::now();
        let mut budget = IdentifyBudget::default();
        (budget.shards, budget.reserve) = (2, Some(998));
        let mut queue = IdentifyQueue::with_budget(budget, &SessionStartLimit::default(), start).unwrap();
        let (slow, quick) = (queue.request(shard(0)), queue.request(shard(1)));
        assert_eq!((queue.poll(start), queue.poll(start + SPACING)), (Some(slow), Some(quick)));
        let late = start + SPACING * 2;
        assert!(!queue.redeem(shard(0), slow, late));
        let third = queue.request(shard(2));
        assert_eq!(queue.poll_refused(late).map(|(ticket, _)| ticket), Some(third));
        assert_eq!((queue.poll_refused(late), queue.poll(late)), (None, Some(slow)));
    }
}
