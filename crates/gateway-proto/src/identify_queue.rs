//! When which shard may identify: the gate as a state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::ShardId;
use crate::config::ConfigError;
use crate::identify::IdentifySnapshot;
use crate::identify_budget::{BudgetError, IdentifyBudget, SessionStartLimit, TooFewStarts, WhenSpent};
use crate::identify_ledger::Ledger;
use crate::identify_output::{IdentifyOutput, Ticket};
use crate::identify_writes::{Writes, Written};

/// "One Identify per 5 seconds" for each key (Discord Docs, Gateway > Sharding > Max Concurrency), and a margin of 250 ms: the
/// server measures where the messages arrive.
const SPACING: Duration = Duration::from_millis(5250);

/// Grants permits to identify: one in 5.25 s for each `shard_id % max_concurrency`, in the order of the shard ids, and
/// no more in 24 hours than the [`IdentifyBudget`] allows. Resumes need no permit.
///
/// It is a state machine like the shard itself. Requests, cancellations, the results of writes and the time go in; snapshots
/// to be persisted, permits, refusals and a deadline come out. It has no clock, thread or socket, so it serves the shards of
/// one process and, behind a network, those of several.
///
/// - [`request`](Self::request) and [`cancel`](Self::cancel) belong to
///   [`Output::AcquireIdentify`](crate::Output::AcquireIdentify) and
///   [`Output::CancelIdentify`](crate::Output::CancelIdentify) of a shard.
/// - [`used`](Self::used) belongs to [`Event::Identifying`](crate::Event::Identifying): the server measures from Identify to
///   Identify. A permit that is never used delays the others of its key by 5.25 s.
/// - [`redeem`](Self::redeem) is for owners that cannot use a permit at the moment at which it is granted.
/// - [`poll_output`](Self::poll_output) after each of these, and at [`next_deadline`](Self::next_deadline), until it returns
///   `None`.
///
/// # Persistence
///
/// With [`with_persistence`](Self::with_persistence) a permit is granted only after a snapshot that contains its session start
/// was persisted, so that no number of restarts spends more than a day has. If the write fails, the requests that wait for it
/// are refused, or, with [`WhenSpent::Hold`], wait, and the snapshot of 5 s later is written in its place.
///
/// ```
/// use std::time::Instant;
/// use gateway_proto::identify::{BudgetError, IdentifyBudget, IdentifyOutput, IdentifyQueue, IdentifySnapshot, SessionStartLimit};
/// use gateway_proto::ShardId;
///
/// /// Acquires one permit. `load` and `save` read and write a file; `wait` sleeps until then.
/// fn acquire(
///     load: impl Fn() -> Option<IdentifySnapshot>,
///     save: impl Fn(&IdentifySnapshot) -> bool,
///     wait: impl Fn(Instant),
/// ) -> Result<bool, BudgetError> {
///     let now = Instant::now();
///     let mut queue = IdentifyQueue::with_budget(IdentifyBudget::default(), &SessionStartLimit::default(), now)?;
///     if let Some(snapshot) = load() {
///         queue.restore(&snapshot, snapshot.elapsed(None), now);
///     }
///     let mut queue = queue.with_persistence();
///     let ticket = queue.request(ShardId::ONE);
///     loop {
///         while let Some(output) = queue.poll_output(Instant::now()) {
///             match output {
///                 IdentifyOutput::Persist { number, snapshot } => {
///                     let ok = save(&snapshot);
///                     queue.handle_persisted(number, ok, Instant::now());
///                 }
///                 IdentifyOutput::Granted(granted) => return Ok(granted == ticket),
///                 IdentifyOutput::Refused(..) => return Ok(false),
///             }
///         }
///         if let Some(deadline) = queue.next_deadline(Instant::now()) {
///             wait(deadline);
///         }
///     }
/// }
/// # assert!(acquire(|| None, |_| true, |_| ()).unwrap());
/// # assert!(!acquire(|| None, |_| false, |_| ()).unwrap());
/// ```
///
/// See [Discord Docs, Gateway > Rate Limiting](https://discord.com/developers/docs/events/gateway#rate-limiting) and
/// [Max Concurrency](https://discord.com/developers/docs/events/gateway#sharding-max-concurrency).
#[derive(Debug)]
pub struct IdentifyQueue {
    max_concurrency: u32,
    waiting: BTreeSet<Ticket>,
    /// Of `waiting`, those whose session start is spent already: their permits came too late.
    paid: BTreeSet<Ticket>,
    /// What delays the permits of each key.
    paces: BTreeMap<u32, Pace>,
    /// Begins at the first time that is passed in.
    ledger: Option<Ledger>,
    /// None: permits do not wait for writes.
    writes: Option<Writes>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Pace {
    /// When the key may be granted a permit again.
    again_at: Instant,
    /// The newest permit of the key. None: it was used, or given by an earlier process.
    permit: Option<Ticket>,
}

impl IdentifyQueue {
    /// A queue for `session_start_limit.max_concurrency` of `GET /gateway/bot`. 0 is read as 1.
    ///
    /// Its budget is that of [`IdentifyBudget::default`] and [`SessionStartLimit::default`]: 900 of 1000 session starts in
    /// 24 hours.
    pub fn new(max_concurrency: u32) -> Self {
        Self {
            max_concurrency: max_concurrency.max(1),
            waiting: BTreeSet::new(),
            paid: BTreeSet::new(),
            paces: BTreeMap::new(),
            ledger: None,
            writes: None,
            next_ticket: 0,
        }
    }

    /// A queue for a `session_start_limit` that `GET /gateway/bot` has just answered.
    ///
    /// # Errors
    ///
    /// If the shards could spend more in a day than the budget leaves them; the error names the field. With
    /// [`WhenSpent::Refuse`] also if fewer session starts are left than are needed: see [`IdentifyQueue::check_start`].
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

    /// The queue with permits that wait until they are persisted: [`poll_output`](Self::poll_output) gives
    /// [`IdentifyOutput::Persist`]. Permits that were granted before are not persisted by themselves.
    #[must_use]
    pub fn with_persistence(mut self) -> Self {
        self.writes.get_or_insert_default();
        self
    }

    /// Whether all shards that are to start a session can be granted a permit: half a bot is worse than none.
    /// Check again after [`restore`](Self::restore).
    ///
    /// # Errors
    ///
    /// With [`WhenSpent::Refuse`], if fewer session starts are left, without the reserve, than
    /// [`IdentifyBudget::starting`] says. With [`WhenSpent::Hold`] never: the shards wait.
    pub fn check_start(&self, now: Instant) -> Result<(), TooFewStarts> {
        self.ledger.as_ref().map_or(Ok(()), |ledger| ledger.check_start(now))
    }

    /// Whether so many more sessions can be started today, beside those of the requests that wait, and the reserve is kept. For a caller
    /// that is about to start many shards: half of them are worse than none.
    ///
    /// The spacing of the keys and [`IdentifyBudget::per_shard`] are not looked at.
    ///
    /// # Errors
    ///
    /// If fewer session starts are left, with the time until there are enough; with [`WhenSpent::Hold`] too.
    pub fn check(&self, starts: u32, now: Instant) -> Result<(), TooFewStarts> {
        if starts == 0 {
            return Ok(());
        }
        let unpaid = self.waiting.iter().filter(|ticket| !self.is_paid(**ticket, now)).count();
        let starting = starts.saturating_add(u32::try_from(unpaid).unwrap_or(u32::MAX));
        match &self.ledger {
            Some(ledger) => ledger.check(starting, now),
            None => Ledger::usual(now).check(starting, now),
        }
    }

    /// Changes [`IdentifyBudget::shards`]: a bot that reshards from N to M has N + M shards for a while.
    ///
    /// # Errors
    ///
    /// If so many shards could spend more in a day than the budget leaves them; the error names the field. Nothing changes
    /// then.
    pub fn set_shards(&mut self, shards: u32, now: Instant) -> Result<(), ConfigError> {
        self.ledger_at(now).set_shards(shards)
    }

    /// Replaces the limit by a newer `session_start_limit`. It holds from the next [`poll_output`](Self::poll_output) on, also
    /// for requests that wait.
    ///
    /// # Errors
    ///
    /// If the shards could spend more in a day than the budget leaves them. Nothing changes then.
    pub fn update(&mut self, limit: &SessionStartLimit, now: Instant) -> Result<(), ConfigError> {
        self.ledger_at(now).update(limit, now)?;
        self.max_concurrency = limit.max_concurrency.max(1);
        self.set_paces(now);
        Ok(())
    }

    /// Counts the session starts of an earlier process too.
    ///
    /// `elapsed` is the time since the snapshot was taken: see [`IdentifySnapshot::elapsed`]. Zero is always safe, and right
    /// if no clock can be trusted: the time in which no process ran is then not counted.
    pub fn restore(&mut self, snapshot: &IdentifySnapshot, elapsed: Duration, now: Instant) {
        self.ledger_at(now).restore(snapshot, elapsed, now);
        self.set_paces(now);
    }

    /// Requests a permit. It is answered by [`IdentifyOutput::Granted`] or [`IdentifyOutput::Refused`] with this ticket.
    pub fn request(&mut self, shard: ShardId) -> Ticket {
        let ticket = Ticket::new(shard, self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(ticket);
        ticket
    }

    /// Cancels a request: it is not answered any more. It delays no other and costs no session start, unless its permit was
    /// granted or is being persisted.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
        self.paid.remove(&ticket);
        if let Some(writes) = &mut self.writes {
            writes.cancel(ticket);
        }
    }

    /// Whether a permit that was granted some time ago may be used now. True: the spacing of its key begins anew.
    ///
    /// False: another permit of its key was granted since, whose Identify would be too close, or the permit is a day old. The
    /// request is in the queue again and is answered once more. Its session start is not spent a second time, unless it is a
    /// day old.
    pub fn redeem(&mut self, ticket: Ticket, now: Instant) -> bool {
        if self.waiting.contains(&ticket)
            || self.writes.as_ref().is_some_and(|writes| writes.contains(ticket))
        {
            // It is not granted.
            return false;
        }
        let holds = self.take_up(ticket, now);
        if !holds {
            self.wait_again(ticket, now);
        }
        holds
    }

    /// The shard's Identify is sent: the spacing of its key begins anew. Identifies without a permit are counted too.
    pub fn used(&mut self, shard: ShardId, now: Instant) {
        self.delay_key(shard, now);
        self.ledger_at(now).used(shard, now);
    }

    /// The write of an [`IdentifyOutput::Persist`] has ended. `ok`: the snapshot survives a crash from now on.
    ///
    /// If it failed, the requests that wait for it are refused, or, with [`WhenSpent::Hold`], their permits are written again
    /// after 5 s. A number other than that of the unanswered `Persist` changes nothing.
    pub fn handle_persisted(&mut self, number: u64, ok: bool, now: Instant) {
        let retries = self.ledger_at(now).when_spent() == WhenSpent::Hold;
        if let Some(writes) = &mut self.writes {
            let result = if ok { Written::Persisted } else { Written::Failed };
            writes.end(number, result, retries, now);
        }
    }

    /// The next thing to do. Poll until it returns `None`; then there is nothing to do until the next input, or until
    /// [`next_deadline`](Self::next_deadline).
    pub fn poll_output(&mut self, now: Instant) -> Option<IdentifyOutput> {
        if let Some(answer) = self.answer_written(now) {
            return Some(answer);
        }
        while let Some(ticket) = self.next_due(now) {
            let is_paid = self.reserve(ticket, now);
            match &mut self.writes {
                Some(writes) if !is_paid => writes.add(ticket),
                _ => return Some(IdentifyOutput::Granted(ticket)),
            }
        }
        if let Some(refusal) = self.refuse_spent(now) {
            return Some(refusal);
        }
        let number = self.writes.as_mut()?.begin(now)?;
        Some(IdentifyOutput::Persist { number, snapshot: self.snapshot(now) })
    }

    /// When [`poll_output`](Self::poll_output) should be called again, if there is no input before. None: there is nothing to
    /// wait for but inputs.
    ///
    /// Lies in the past, or is `now`, if there is something to do at once.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let (available_at, refuses) = (self.available_at(now), self.refuses());
        let requests = self.waiting.iter().map(|ticket| match available_at(*ticket) {
            // It is refused.
            Some(_) if refuses => now,
            available_at => self.pace(*ticket).max(available_at).unwrap_or(now),
        });
        let writes = self.writes.as_ref().and_then(|writes| writes.next_deadline(now));
        requests.chain(writes).min()
    }

    /// How many requests are not answered.
    pub fn waiting(&self) -> usize {
        self.waiting.len() + self.writes.as_ref().map_or(0, Writes::len)
    }

    /// How many session starts are left, including the reserve.
    pub fn remaining(&self, now: Instant) -> u32 {
        self.ledger.as_ref().map_or_else(|| Ledger::usual(now).remaining(now), |ledger| ledger.remaining(now))
    }

    /// The session starts of the last 24 hours, for the next process. [`with_persistence`](Self::with_persistence) gives them
    /// out when they have to be written.
    pub fn snapshot(&self, now: Instant) -> IdentifySnapshot {
        self.ledger.as_ref().map_or_else(IdentifySnapshot::default, |ledger| ledger.snapshot(now))
    }

    /// Answers a request whose permit was being persisted.
    fn answer_written(&mut self, now: Instant) -> Option<IdentifyOutput> {
        while let Some((ticket, written)) = self.writes.as_mut()?.pop_written() {
            match written {
                Written::Failed => {
                    let refused = self.ledger_at(now).refuse_not_persisted(now);
                    return Some(IdentifyOutput::Refused(ticket, refused));
                }
                Written::Persisted if self.take_up(ticket, now) => {
                    return Some(IdentifyOutput::Granted(ticket));
                }
                Written::Persisted => self.wait_again(ticket, now),
            }
        }
        None
    }

    /// Refuses a request because the budget is spent.
    fn refuse_spent(&mut self, now: Instant) -> Option<IdentifyOutput> {
        if !self.refuses() {
            return None;
        }
        let (ticket, available_at) = {
            let available_at = self.available_at(now);
            self.waiting.iter().find_map(|ticket| Some((*ticket, available_at(*ticket)?)))?
        };
        let refused = self.ledger_at(now).refuse_spent(available_at, now);
        self.waiting.remove(&ticket);
        self.paid.remove(&ticket);
        Some(IdentifyOutput::Refused(ticket, refused))
    }

    /// The first request that may be granted now.
    fn next_due(&self, now: Instant) -> Option<Ticket> {
        let available_at = self.available_at(now);
        let is_due =
            |ticket: &Ticket| self.pace(*ticket).max(available_at(*ticket)).is_none_or(|at| at <= now);
        self.waiting.iter().copied().find(is_due)
    }

    /// When a request may be granted by the pace of its key. None: at once.
    fn pace(&self, ticket: Ticket) -> Option<Instant> {
        self.paces.get(&self.key(ticket.shard())).map(|pace| pace.again_at)
    }

    /// When a request may be granted by the budget. None: now.
    fn available_at(&self, now: Instant) -> impl Fn(Ticket) -> Option<Instant> {
        let ledger = self.ledger.as_ref();
        let to_all = ledger.and_then(|ledger| ledger.available_at(now));
        move |ticket| match ledger {
            Some(ledger) if !self.is_paid(ticket, now) => {
                to_all.max(ledger.share_available_at(ticket.shard(), now))
            }
            _ => None,
        }
    }

    fn refuses(&self) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.when_spent() == WhenSpent::Refuse)
    }

    /// Whether the session start of a waiting request is spent already.
    fn is_paid(&self, ticket: Ticket, now: Instant) -> bool {
        self.paid.contains(&ticket) && self.ledger.as_ref().is_some_and(|ledger| ledger.has(ticket, now))
    }

    /// Takes a permit for a waiting request out of the budget and the key. True: it was paid before, and so persisted.
    fn reserve(&mut self, ticket: Ticket, now: Instant) -> bool {
        self.waiting.remove(&ticket);
        let is_paid = self.paid.remove(&ticket) && self.ledger_at(now).renew(ticket, now);
        if !is_paid {
            self.ledger_at(now).spend(ticket, now);
        }
        let pace = Pace { again_at: now + SPACING, permit: Some(ticket) };
        self.paces.insert(self.key(ticket.shard()), pace);
        is_paid
    }

    /// Uses a permit that was reserved before, if it is the newest of its key and less than a day old. The spacing begins anew.
    fn take_up(&mut self, ticket: Ticket, now: Instant) -> bool {
        let newest = self.paces.get(&self.key(ticket.shard())).and_then(|pace| pace.permit);
        let holds = newest == Some(ticket) && self.ledger_at(now).renew(ticket, now);
        if holds {
            self.delay_key(ticket.shard(), now);
        }
        holds
    }

    /// Puts a request whose permit came too late into the queue again.
    fn wait_again(&mut self, ticket: Ticket, now: Instant) {
        self.waiting.insert(ticket);
        if self.ledger_at(now).has(ticket, now) {
            self.paid.insert(ticket);
        }
    }

    fn delay_key(&mut self, shard: ShardId, now: Instant) {
        let pace = self.paces.entry(self.key(shard)).or_insert(Pace { again_at: now, permit: None });
        pace.again_at = pace.again_at.max(now + SPACING);
    }

    fn key(&self, shard: ShardId) -> u32 {
        shard.rate_limit_key(self.max_concurrency)
    }

    /// Reads from the ledger when each key may be granted again, after a change of the keys or of the ledger.
    fn set_paces(&mut self, now: Instant) {
        let Some(ledger) = &self.ledger else { return };
        let recent = ledger.newest(SPACING, now);
        self.paces = recent
            .map(|start| {
                let pace = Pace { again_at: now + (SPACING - start.age), permit: start.permit };
                (self.key(start.shard), pace)
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

    /// The next permit. Nothing is refused, nor persisted.
    fn granted(queue: &mut IdentifyQueue, now: Instant) -> Option<Ticket> {
        queue.poll_output(now).map(|output| match output {
            IdentifyOutput::Granted(ticket) => ticket,
            other => panic!("{other:?}"),
        })
    }

    /// The permits granted at a time, by shard.
    fn grants(queue: &mut IdentifyQueue, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| granted(queue, now)).map(|ticket| ticket.shard().id()).collect()
    }

    #[test]
    fn keys_are_independent_and_shards_keep_their_order() {
        let start = Instant::now();
        let mut queue = IdentifyQueue::new(16);
        (0..64).rev().for_each(|id| _ = queue.request(shard(id)));
        for round in 0..4 {
            let now = start + SPACING * round;
            assert_eq!(grants(&mut queue, now), (round * 16..round * 16 + 16).collect::<Vec<_>>());
            let early = now + Duration::from_secs(5);
            assert_eq!(grants(&mut queue, early), [0; 0], "not before 5.25 s");
        }
        assert_eq!(queue.next_deadline(start), None);
    }

    #[test]
    fn cancelled_requests_cost_nothing() {
        let start = Instant::now();
        let mut queue = IdentifyQueue::new(1);
        let tickets: Vec<Ticket> = (0..64).map(|id| queue.request(shard(id))).collect();
        for ticket in &tickets[..63] {
            queue.cancel(*ticket);
        }
        assert_eq!(queue.waiting(), 1);
        assert_eq!(grants(&mut queue, start), [63]);
    }

    #[test]
    fn zero_is_read_as_one_and_the_deadline_says_when() {
        let start = Instant::now();
        let mut queue = IdentifyQueue::new(0);
        let first = queue.request(shard(3));
        let second = queue.request(shard(3));
        assert_eq!(queue.next_deadline(start), Some(start));
        assert_eq!((granted(&mut queue, start), granted(&mut queue, start)), (Some(first), None));
        assert_eq!(queue.next_deadline(start), Some(start + SPACING));
        assert_eq!(granted(&mut queue, start + SPACING), Some(second));
    }

    #[test]
    fn the_pace_counts_from_the_identify() {
        let start = Instant::now();
        let mut queue = IdentifyQueue::new(1);
        queue.request(shard(0));
        granted(&mut queue, start).unwrap();
        let other = queue.request(shard(1));
        let sent = start + Duration::from_secs(4);
        queue.used(shard(0), sent);
        assert_eq!(queue.next_deadline(sent), Some(sent + SPACING));
        assert_eq!(granted(&mut queue, start + SPACING), None, "1.25 s after the other Identify");
        // The paces are read anew from the ledger.
        queue.update(&SessionStartLimit::default(), sent).unwrap();
        assert_eq!(granted(&mut queue, start + SPACING), None);
        assert_eq!(granted(&mut queue, sent + SPACING), Some(other));
    }

    #[test]
    fn a_permit_that_is_never_used_delays_the_next_by_the_spacing_alone() {
        let start = Instant::now();
        let mut queue = IdentifyQueue::new(1);
        let (lost, next) = (queue.request(shard(0)), queue.request(shard(1)));
        assert_eq!(granted(&mut queue, start), Some(lost));
        queue.cancel(lost);
        assert_eq!(granted(&mut queue, start + SPACING), Some(next));
    }

    #[test]
    fn a_permit_that_comes_too_late_waits_again_and_is_paid_once() {
        let start = Instant::now();
        let mut queue = IdentifyQueue::new(1);
        let (slow, quick) = (queue.request(shard(0)), queue.request(shard(1)));
        assert_eq!(granted(&mut queue, start), Some(slow));
        assert_eq!(granted(&mut queue, start + SPACING), Some(quick));
        let late = start + SPACING + Duration::from_secs(1);
        assert!(queue.redeem(quick, late));
        assert!(!queue.redeem(slow, late));
        assert_eq!((granted(&mut queue, late), queue.next_deadline(late)), (None, Some(late + SPACING)));
        assert_eq!(granted(&mut queue, late + SPACING), Some(slow));
        assert!(queue.redeem(slow, late + SPACING * 3), "none was granted since");
        assert_eq!(queue.remaining(late + SPACING), 998);
    }

    #[test]
    fn what_is_paid_is_not_refused() {
        let start = Instant::now();
        let mut budget = IdentifyBudget::default();
        (budget.shards, budget.reserve) = (2, Some(998));
        let mut queue = IdentifyQueue::with_budget(budget, &SessionStartLimit::default(), start).unwrap();
        let (slow, quick) = (queue.request(shard(0)), queue.request(shard(1)));
        assert_eq!(
            (granted(&mut queue, start), granted(&mut queue, start + SPACING)),
            (Some(slow), Some(quick))
        );
        let late = start + SPACING * 2;
        assert!(!queue.redeem(slow, late));
        let third = queue.request(shard(2));
        assert_eq!(granted(&mut queue, late), Some(slow));
        let Some(IdentifyOutput::Refused(refused, _)) = queue.poll_output(late) else {
            panic!("the budget is spent")
        };
        assert_eq!((refused, queue.poll_output(late)), (third, None));
    }
}
