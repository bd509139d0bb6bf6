//! The identify gate as a state machine: arbitrary requests, cancellations, write results and times.

#![allow(clippy::disallowed_methods, reason = "a test has to begin its virtual clock somewhere")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use gateway_proto::ShardId;
use gateway_proto::identify::{
    IdentifyBudget, IdentifyOutput, IdentifyQueue, IdentifySnapshot, RefusalCause, SessionStartLimit, Ticket,
    WhenSpent,
};
use proptest::prelude::*;

const SPACING: Duration = Duration::from_millis(5250);
const RETRY: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Session starts of a day, of which 4 are in reserve.
const TOTAL: u32 = 20;
const SPENDABLE: usize = 16;

fn shard(id: u32) -> ShardId {
    ShardId::new(id, 100).unwrap()
}

fn queue(when_spent: WhenSpent, concurrency: u32, now: Instant) -> IdentifyQueue {
    let mut budget = IdentifyBudget::default();
    (budget.reserve, budget.starting, budget.when_spent) =
        (Some(TOTAL - SPENDABLE as u32), Some(0), when_spent);
    IdentifyQueue::with_budget(budget, &limit(concurrency), now).unwrap()
}

fn limit(concurrency: u32) -> SessionStartLimit {
    let mut limit = SessionStartLimit::default();
    (limit.total, limit.remaining, limit.max_concurrency) = (TOTAL, TOTAL, concurrency);
    limit
}

#[derive(Debug, Clone)]
enum Step {
    Request(u32),
    /// Cancels one of the requests, answered or not.
    Cancel(prop::sample::Index),
    /// Reports the result of the pending write.
    Written(bool),
    /// Redeems one of the permits that were not used when they were granted.
    Redeem(prop::sample::Index),
    /// The Identify of the last permits is sent only after this many milliseconds.
    Late(u64),
    Pass(Duration),
    Update,
    /// The gate's process is killed, and the next one starts with the newest persisted snapshot.
    Crash,
}

fn steps(crashes: u32) -> impl Strategy<Value = Vec<Step>> {
    let index = any::<prop::sample::Index>;
    let step = prop_oneof![
        8 => (0u32..6).prop_map(Step::Request),
        2 => index().prop_map(Step::Cancel),
        6 => prop::bool::weighted(0.7).prop_map(Step::Written),
        3 => index().prop_map(Step::Redeem),
        2 => (0u64..5000).prop_map(Step::Late),
        8 => (0u64..8000).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        2 => (0u64..90_000).prop_map(|secs| Step::Pass(Duration::from_secs(secs))),
        1 => Just(Step::Update),
        crashes => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..250)
}

/// A gate with an owner that checks every output.
struct Owner {
    queue: IdentifyQueue,
    persists: bool,
    when_spent: WhenSpent,
    concurrency: u32,
    now: Instant,
    /// Requests that were not answered.
    open: BTreeSet<Ticket>,
    /// Permits that were granted and not used.
    held: Vec<Ticket>,
    /// Whether the next permits are held instead of used at once.
    holds: bool,
    /// The snapshot that is being written.
    writing: Option<(u64, IdentifySnapshot)>,
    persisted: Option<(IdentifySnapshot, Instant)>,
    /// Nothing is written before this time.
    retry_at: Option<Instant>,
    /// When each Identify was sent.
    used: Vec<(ShardId, Instant)>,
    /// The time of each ticket's first grant in this process, by shard.
    granted: BTreeMap<Ticket, Instant>,
    /// The number of the newest snapshot.
    number: u64,
}

impl Owner {
    fn new(persists: bool, when_spent: WhenSpent, concurrency: u32) -> Self {
        let now = Instant::now();
        let mut this = Self {
            queue: queue(when_spent, concurrency, now),
            persists,
            when_spent,
            concurrency,
            now,
            open: BTreeSet::new(),
            held: Vec::new(),
            holds: false,
            writing: None,
            persisted: None,
            retry_at: None,
            used: Vec::new(),
            granted: BTreeMap::new(),
            number: 0,
        };
        this.start();
        this
    }

    fn start(&mut self) {
        self.queue = queue(self.when_spent, self.concurrency, self.now);
        if let Some((snapshot, at)) = &self.persisted {
            self.queue.restore(snapshot, self.now - *at, self.now);
        }
        if self.persists {
            self.queue = std::mem::replace(&mut self.queue, IdentifyQueue::new(1)).with_persistence();
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Request(id) => {
                let ticket = self.queue.request(shard(id));
                assert_eq!(ticket.shard(), shard(id));
                assert!(self.open.insert(ticket));
            }
            Step::Cancel(index) => {
                let any: Vec<Ticket> = self.open.iter().copied().chain(self.held.iter().copied()).collect();
                if !any.is_empty() {
                    let ticket = *index.get(&any);
                    let before = self.queue.remaining(self.now);
                    self.queue.cancel(ticket);
                    assert_eq!(self.queue.remaining(self.now), before, "it neither costs nor gives anything");
                    self.open.remove(&ticket);
                    self.held.retain(|held| *held != ticket);
                }
            }
            Step::Written(ok) => self.written(ok),
            Step::Redeem(index) => {
                if !self.held.is_empty() {
                    let ticket = self.held.remove(index.index(self.held.len()));
                    self.redeem(ticket);
                }
            }
            Step::Late(ms) => self.late(Duration::from_millis(ms)),
            Step::Pass(time) => {
                self.now += time;
                self.holds = time.subsec_millis() % 3 == 1;
            }
            Step::Update => self.queue.update(&limit(self.concurrency), self.now).unwrap(),
            Step::Crash => {
                self.start();
                let open = std::mem::take(&mut self.open);
                self.open = open.iter().map(|ticket| self.queue.request(ticket.shard())).collect();
                self.held.clear();
                self.granted.clear();
                (self.writing, self.retry_at, self.number) = (None, None, 0);
            }
        }
        self.drain();
    }

    /// The pending write has succeeded or failed.
    fn written(&mut self, ok: bool) {
        let Some((number, snapshot)) = self.writing.take() else {
            // A repeated answer, or one for an unknown snapshot.
            self.queue.handle_persisted(self.number, ok, self.now);
            return self.queue.handle_persisted(self.number + 1, ok, self.now);
        };
        self.queue.handle_persisted(number + 1, !ok, self.now);
        self.queue.handle_persisted(number, ok, self.now);
        if ok {
            self.persisted = Some((snapshot, self.now));
        } else if self.when_spent == WhenSpent::Hold {
            self.retry_at = Some(self.now + RETRY);
        }
    }

    /// A permit is granted, and its Identify is sent some time later without a look at the clock.
    fn late(&mut self, time: Duration) {
        let held = std::mem::take(&mut self.held);
        self.holds = true;
        self.drain();
        let granted = std::mem::replace(&mut self.held, held);
        self.now += time;
        granted.into_iter().for_each(|ticket| self.identify(ticket));
        self.holds = false;
    }

    fn redeem(&mut self, ticket: Ticket) {
        if self.queue.redeem(ticket, self.now) {
            self.identify(ticket);
        } else {
            assert!(self.open.insert(ticket), "it is answered once more");
        }
    }

    /// Sends an Identify.
    fn identify(&mut self, ticket: Ticket) {
        self.check_spacing(ticket.shard());
        self.used.push((ticket.shard(), self.now));
        self.queue.used(ticket.shard(), self.now);
        let day = self.used.iter().filter(|(_, at)| self.now - *at < DAY).count();
        assert!(day <= SPENDABLE, "{day} Identifies in a day");
    }

    /// The newest Identify of this shard's key is at least 5.25 s old.
    fn check_spacing(&self, shard: ShardId) {
        let key = |shard: ShardId| shard.rate_limit_key(self.concurrency);
        if let Some((_, at)) = self.used.iter().rev().find(|(other, _)| key(*other) == key(shard)) {
            assert!(self.now - *at >= SPACING, "{:?} after another of its key", self.now - *at);
        }
    }

    /// Performs the outputs of the queue.
    fn drain(&mut self) {
        while let Some(output) = self.queue.poll_output(self.now) {
            match output {
                IdentifyOutput::Persist { number, snapshot } => {
                    assert!(self.persists);
                    assert!(self.writing.is_none(), "two writes could overtake each other");
                    assert!(
                        self.retry_at.take().is_none_or(|at| self.now >= at),
                        "less than 5 s after a failure"
                    );
                    self.number += 1;
                    assert_eq!(number, self.number);
                    self.writing = Some((number, snapshot));
                }
                IdentifyOutput::Granted(ticket) => {
                    assert!(
                        self.open.remove(&ticket),
                        "{ticket:?} was not requested, or is answered already"
                    );
                    self.granted.entry(ticket).or_insert(self.now);
                    self.check_persisted(ticket.shard());
                    self.check_spacing(ticket.shard());
                    if self.holds {
                        self.held.push(ticket);
                    } else {
                        self.identify(ticket);
                    }
                }
                IdentifyOutput::Refused(ticket, refused) => {
                    assert!(
                        self.open.remove(&ticket),
                        "{ticket:?} was not requested, or is answered already"
                    );
                    assert_eq!(self.when_spent, WhenSpent::Refuse);
                    match refused.cause {
                        RefusalCause::Spent => assert!(refused.available_in <= DAY, "{refused:?}"),
                        RefusalCause::NotPersisted => assert!(self.persists),
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
        assert_eq!(self.queue.waiting(), self.open.len(), "no request is lost");
        match self.queue.next_deadline(self.now) {
            Some(deadline) => assert!(deadline > self.now, "there is nothing left to do"),
            None => {
                assert!(self.open.is_empty() || self.writing.is_some(), "nothing would wake the requests");
            }
        }
    }

    /// The newest persisted snapshot contains everything that this process has granted for a shard in the last hours.
    fn check_persisted(&self, shard: ShardId) {
        if !self.persists {
            return;
        }
        let (snapshot, _) = self.persisted.as_ref().expect("a permit before the first snapshot is persisted");
        let value = serde_json::to_value(snapshot).unwrap();
        let starts = value["starts"].as_array().unwrap();
        let persisted = starts.iter().filter(|start| start[0] == serde_json::json!(shard)).count();
        let recent =
            |(ticket, at): &(&Ticket, &Instant)| ticket.shard() == shard && self.now - **at < DAY / 8;
        let granted = self.granted.iter().filter(recent).count();
        assert!(persisted >= granted, "{granted} were granted, {persisted} are persisted");
    }

    /// From now on every write succeeds and every permit is used at once: every request must be answered.
    fn finish(mut self) {
        self.holds = false;
        self.drain();
        for _ in 0..2000 {
            self.written(true);
            for ticket in std::mem::take(&mut self.held) {
                self.redeem(ticket);
            }
            self.drain();
            if self.open.is_empty() {
                return;
            }
            if self.writing.is_none() {
                self.now = self.queue.next_deadline(self.now).expect("requests wait");
                self.drain();
            }
        }
        panic!("{:?} are never answered", self.open);
    }
}

fn when_spent() -> impl Strategy<Value = WhenSpent> {
    prop_oneof![Just(WhenSpent::Hold), Just(WhenSpent::Refuse)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// In one process: Identifies of a key are 5.25 s apart, no 24 hours have more than the budget, no permit is granted
    /// before it is persisted, and every request is answered once.
    #[test]
    fn every_request_is_answered_within_the_limits(
        steps in steps(0),
        persists in any::<bool>(),
        when_spent in when_spent(),
        concurrency in 1u32..4,
    ) {
        let mut owner = Owner::new(persists, when_spent, concurrency);
        steps.into_iter().for_each(|step| owner.step(step));
        owner.finish();
    }

    /// Over any number of processes, each of which starts with what the last one has persisted. Writes take no time here,
    /// and permits are used when they are granted, so the persisted times are those of the grants.
    #[test]
    fn the_limits_hold_over_crashes(
        steps in steps(3),
        when_spent in when_spent(),
        concurrency in 1u32..4,
    ) {
        let mut owner = Owner::new(true, when_spent, concurrency);
        for step in steps {
            let ok = match step {
                Step::Late(_) | Step::Redeem(_) => continue,
                Step::Written(ok) => ok,
                _ => true,
            };
            owner.step(step);
            while owner.writing.is_some() {
                owner.holds = false;
                owner.written(ok);
                owner.drain();
            }
        }
        owner.finish();
    }
}

/// The next output of a queue with persistence, as a word and a number or a shard.
fn next(queue: &mut IdentifyQueue, now: Instant) -> Option<(&'static str, u64)> {
    queue.poll_output(now).map(|output| match output {
        IdentifyOutput::Persist { number, .. } => ("persist", number),
        IdentifyOutput::Granted(ticket) => ("granted", ticket.shard().id().into()),
        IdentifyOutput::Refused(ticket, _) => ("refused", ticket.shard().id().into()),
    })
}

#[test]
fn permits_of_several_keys_share_a_snapshot_and_the_next_waits_for_its_answer() {
    let now = Instant::now();
    let mut queue = queue(WhenSpent::Refuse, 3, now).with_persistence();
    queue.request(shard(0));
    queue.request(shard(1));
    assert_eq!((next(&mut queue, now), next(&mut queue, now)), (Some(("persist", 1)), None));
    assert_eq!(queue.next_deadline(now), None, "nothing but the answer is waited for");
    queue.request(shard(2));
    assert_eq!(next(&mut queue, now), None, "writes do not overtake each other");
    assert_eq!(queue.waiting(), 3);
    queue.handle_persisted(2, true, now);
    assert_eq!(next(&mut queue, now), None, "an unknown number changes nothing");
    queue.handle_persisted(1, true, now);
    assert_eq!(queue.next_deadline(now), Some(now));
    let outputs: Vec<_> = std::iter::from_fn(|| next(&mut queue, now)).collect();
    assert_eq!(outputs, [("granted", 0), ("granted", 1), ("persist", 2)]);
    queue.handle_persisted(2, true, now);
    assert_eq!(next(&mut queue, now), Some(("granted", 2)));
}

#[test]
fn a_failed_write_refuses_and_the_next_request_is_written_at_once() {
    let now = Instant::now();
    let mut queue = queue(WhenSpent::Refuse, 2, now).with_persistence();
    let ticket = queue.request(shard(0));
    assert_eq!(next(&mut queue, now), Some(("persist", 1)));
    queue.handle_persisted(1, false, now);
    let Some(IdentifyOutput::Refused(refused, why)) = queue.poll_output(now) else {
        panic!("the write failed")
    };
    assert_eq!((refused, why.cause, why.remaining, why.reserve), (ticket, RefusalCause::NotPersisted, 19, 4));
    queue.request(shard(1));
    assert_eq!(next(&mut queue, now), Some(("persist", 2)));
}

#[test]
fn with_hold_a_failed_write_is_tried_again_after_5_s_with_what_came_since() {
    let start = Instant::now();
    let mut queue = queue(WhenSpent::Hold, 2, start).with_persistence();
    queue.request(shard(0));
    assert_eq!(next(&mut queue, start), Some(("persist", 1)));
    queue.handle_persisted(1, false, start);
    queue.request(shard(1));
    assert_eq!((next(&mut queue, start), queue.next_deadline(start)), (None, Some(start + RETRY)));
    let retry = start + RETRY;
    assert_eq!(next(&mut queue, retry), Some(("persist", 2)));
    queue.handle_persisted(2, true, retry);
    let outputs: Vec<_> = std::iter::from_fn(|| next(&mut queue, retry)).collect();
    assert_eq!(outputs, [("granted", 0), ("granted", 1)]);
    assert_eq!(queue.remaining(retry), 18, "each counts once");
}

#[test]
fn the_spacing_counts_from_when_a_permit_is_granted_not_from_its_write() {
    let start = Instant::now();
    let mut queue = queue(WhenSpent::Hold, 1, start).with_persistence();
    queue.request(shard(0));
    assert_eq!(next(&mut queue, start), Some(("persist", 1)));
    let granted = start + Duration::from_secs(4);
    queue.handle_persisted(1, true, granted);
    assert_eq!(next(&mut queue, granted), Some(("granted", 0)));
    queue.request(shard(1));
    assert_eq!(queue.next_deadline(granted), Some(granted + SPACING));
}

#[test]
fn a_cancelled_request_is_neither_written_again_nor_answered() {
    let start = Instant::now();
    let mut queue = queue(WhenSpent::Hold, 1, start).with_persistence();
    let cancelled = queue.request(shard(0));
    assert_eq!(next(&mut queue, start), Some(("persist", 1)));
    queue.cancel(cancelled);
    queue.handle_persisted(1, false, start);
    assert_eq!((next(&mut queue, start + RETRY), queue.next_deadline(start + RETRY)), (None, None));
    assert_eq!((queue.waiting(), queue.remaining(start)), (0, 19), "its start stays spent");
}

/// Whether a permit is persisted is forgotten together with its session start.
#[test]
fn a_permit_that_is_a_day_old_is_persisted_again() {
    let start = Instant::now();
    let mut queue = queue(WhenSpent::Hold, 1, start);
    let ticket = queue.request(shard(0));
    assert_eq!(next(&mut queue, start), Some(("granted", 0)));
    assert!(!queue.redeem(ticket, start + DAY));
    assert_eq!(queue.remaining(start + DAY), 20);
    assert_eq!(next(&mut queue, start + DAY), Some(("granted", 0)));
    assert_eq!(queue.remaining(start + DAY), 19);
}

/// A permit that was not granted cannot be redeemed: it would be neither counted nor persisted.
#[test]
fn a_permit_that_was_not_granted_is_not_redeemed() {
    let now = Instant::now();
    let mut queue = queue(WhenSpent::Hold, 1, now).with_persistence();
    let ticket = queue.request(shard(0));
    assert!(!queue.redeem(ticket, now));
    assert_eq!(next(&mut queue, now), Some(("persist", 1)));
    assert!(!queue.redeem(ticket, now));
    queue.handle_persisted(1, true, now);
    assert!(!queue.redeem(ticket, now));
    assert_eq!(queue.waiting(), 1);
    assert_eq!((next(&mut queue, now), next(&mut queue, now)), (Some(("granted", 0)), None));
    assert!(queue.redeem(ticket, now));
    queue.used(shard(0), now);
    assert!(!queue.redeem(ticket, now), "it is used");
    assert_eq!(queue.remaining(now), 19);
}

/// Two permits of one shard that are used in turn are two session starts, each counted from its Identify.
#[test]
fn each_identify_is_counted_from_when_it_was_sent() {
    let start = Instant::now();
    let hour = Duration::from_secs(3600);
    let mut queue = queue(WhenSpent::Hold, 1, start);
    for _ in 0..2 {
        queue.request(shard(0));
    }
    assert_eq!(next(&mut queue, start), Some(("granted", 0)));
    assert_eq!(next(&mut queue, start + SPACING), Some(("granted", 0)));
    queue.used(shard(0), start + hour);
    queue.used(shard(0), start + 2 * hour);
    assert_eq!(queue.remaining(start + DAY + hour - SPACING), 18);
    assert_eq!(queue.remaining(start + DAY + hour), 19);
    queue.used(shard(9), start + 3 * hour);
    assert_eq!(queue.remaining(start + 3 * hour), 17, "an Identify without a permit counts too");
}

/// A permit that is granted again counts from the second grant, also if its owner never reports that it was used.
#[test]
fn a_permit_that_is_granted_again_is_counted_from_then() {
    let start = Instant::now();
    let mut queue = queue(WhenSpent::Hold, 1, start);
    let late = queue.request(shard(0));
    queue.request(shard(1));
    assert_eq!(next(&mut queue, start), Some(("granted", 0)));
    assert_eq!(next(&mut queue, start + SPACING), Some(("granted", 1)));
    assert!(!queue.redeem(late, start + SPACING));
    assert_eq!(next(&mut queue, start + 2 * SPACING), Some(("granted", 0)));
    assert_eq!(queue.remaining(start + DAY + SPACING), 19, "only the other is forgotten");
    assert_eq!(queue.remaining(start + DAY + 2 * SPACING), 20);
}

/// Snapshots count in milliseconds. A start that is passed on by many processes must not expire early.
#[test]
fn a_snapshot_forgets_no_start_too_early() {
    let start = Instant::now();
    let mut first = queue(WhenSpent::Hold, 1, start);
    first.request(shard(0));
    assert_eq!(next(&mut first, start), Some(("granted", 0)));
    let now = start + Duration::from_micros(300);
    let mut second = queue(WhenSpent::Hold, 1, now);
    second.restore(&first.snapshot(now), Duration::ZERO, now);
    assert_eq!(second.remaining(start + DAY - Duration::from_micros(1)), 19);
}
