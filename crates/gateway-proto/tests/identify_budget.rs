//! The session starts of a day, on a virtual clock.

#![allow(clippy::disallowed_methods, reason = "a test has to begin its virtual clock somewhere")]

mod client;

use std::time::{Duration, Instant};

use client::{Client, config};
use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::Phase;
use gateway_proto::identify::{
    BudgetError, IdentifyBudget, IdentifyOutput, IdentifyQueue, IdentifyRefused, IdentifySnapshot,
    SessionStartLimit, Ticket, WhenSpent,
};
use gateway_proto::{Event, Input, Shard, ShardId, StopReason};
use proptest::prelude::*;

const SPACING: Duration = Duration::from_millis(5250);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn shard(id: u32) -> ShardId {
    ShardId::new(id, 100_000).unwrap()
}

fn limit(total: u32, remaining: u32, reset_after: Duration) -> SessionStartLimit {
    let mut limit = SessionStartLimit::default();
    (limit.total, limit.remaining, limit.reset_after) = (total, remaining, reset_after);
    limit
}

fn budget(when_spent: WhenSpent, reserve: u32) -> IdentifyBudget {
    let mut budget = IdentifyBudget::default();
    (budget.when_spent, budget.reserve) = (when_spent, Some(reserve));
    budget
}

/// A budget for a bot whose shards all have a session to resume.
fn resuming(mut budget: IdentifyBudget) -> IdentifyBudget {
    budget.starting = Some(0);
    budget
}

/// The next permit, unless a refusal comes first.
fn granted(queue: &mut IdentifyQueue, now: Instant) -> Option<Ticket> {
    queue.poll_output(now).map(|output| match output {
        IdentifyOutput::Granted(ticket) => ticket,
        other => panic!("{other:?}"),
    })
}

/// The next refusal, unless a permit comes first.
fn refused(queue: &mut IdentifyQueue, now: Instant) -> Option<(Ticket, IdentifyRefused)> {
    queue.poll_output(now).map(|output| match output {
        IdentifyOutput::Refused(ticket, refused) => (ticket, refused),
        other => panic!("{other:?}"),
    })
}

/// Requests permits for one shard until `end`, one after the other, or until one is refused. Returns the times of the
/// permits.
fn starts_until(queue: &mut IdentifyQueue, shard: ShardId, mut now: Instant, end: Instant) -> Vec<Instant> {
    let mut starts = Vec::new();
    while now < end {
        let ticket = queue.request(shard);
        now = now.max(queue.next_deadline(now).unwrap());
        if now < end {
            match queue.poll_output(now) {
                Some(IdentifyOutput::Granted(granted)) => assert_eq!(granted, ticket),
                output => {
                    assert!(matches!(output, Some(IdentifyOutput::Refused(..))), "{output:?}");
                    return starts;
                }
            }
            starts.push(now);
        }
    }
    starts
}

#[test]
fn the_documented_object_is_read() {
    let json =
        r#"{"total": 1000, "remaining": 999, "reset_after": 14400000, "max_concurrency": 16, "new": 1}"#;
    let limit: SessionStartLimit = serde_json::from_str(json).unwrap();
    assert_eq!((limit.total, limit.remaining, limit.max_concurrency), (1000, 999, 16));
    assert_eq!(limit.reset_after, 4 * HOUR);
}

#[test]
fn days_of_constant_failure_stay_within_the_budget() {
    let start = Instant::now();
    let budget = budget(WhenSpent::Hold, 100);
    let mut queue = IdentifyQueue::with_budget(budget, &SessionStartLimit::default(), start).unwrap();
    let starts = starts_until(&mut queue, shard(0), start, start + 3 * DAY);
    assert_eq!(starts.len(), 2700);
    for (index, at) in starts.iter().enumerate() {
        let within = starts[index..].iter().take_while(|later| **later < *at + DAY).count();
        assert!(within <= 900, "{within} in the day from start {index}");
    }
}

#[test]
fn a_queue_without_a_limit_spends_900_a_day() {
    let start = Instant::now();
    let mut queue = IdentifyQueue::new(1);
    assert_eq!(queue.remaining(start), 1000);
    let starts = starts_until(&mut queue, shard(0), start, start + DAY);
    assert_eq!(starts.len(), 900);
    queue.request(shard(0));
    let (_, refused) = refused(&mut queue, start + DAY - HOUR).unwrap();
    assert_eq!((refused.remaining, refused.reserve), (100, 100));
    assert_eq!(refused.available_in, HOUR, "when the first start is a day old");
}

#[test]
fn the_servers_remaining_starts_count_and_an_update_applies_at_once() {
    let start = Instant::now();
    let hold = budget(WhenSpent::Hold, 10);
    let mut queue = IdentifyQueue::with_budget(hold, &limit(1000, 10, 6 * HOUR), start).unwrap();
    let ticket = queue.request(shard(0));
    assert_eq!(granted(&mut queue, start), None);
    assert_eq!(queue.next_deadline(start), Some(start + 6 * HOUR));
    assert_eq!(refused(&mut queue, start), None, "it waits");
    let later = start + HOUR;
    queue.update(&limit(1000, 500, 5 * HOUR), later).unwrap();
    assert_eq!(queue.next_deadline(later), Some(later));
    assert_eq!(granted(&mut queue, later), Some(ticket));
    assert_eq!(queue.remaining(later), 499);
}

#[test]
fn without_an_update_the_budget_continues_after_the_servers_reset() {
    let start = Instant::now();
    let hold = budget(WhenSpent::Hold, 0);
    let mut queue = IdentifyQueue::with_budget(hold, &limit(1000, 1, HOUR), start).unwrap();
    let starts = starts_until(&mut queue, shard(0), start, start + 2 * HOUR);
    assert_eq!(starts[..3], [start, start + HOUR, start + HOUR + SPACING]);
}

#[test]
fn a_spent_budget_refuses_every_request_in_shard_order() {
    let start = Instant::now();
    let refuse = budget(WhenSpent::Refuse, 100);
    let mut queue = IdentifyQueue::with_budget(resuming(refuse), &limit(1000, 100, HOUR), start).unwrap();
    let tickets: Vec<Ticket> = [2, 1].map(|id| queue.request(shard(id))).into();
    let refused: Vec<_> = std::iter::from_fn(|| refused(&mut queue, start)).collect();
    assert_eq!(refused.iter().map(|(ticket, _)| *ticket).collect::<Vec<_>>(), [tickets[1], tickets[0]]);
    assert_eq!(refused[0].1, IdentifyRefused::new(100, 100, HOUR));
    assert!(refused[0].1.to_string().contains("3600 s"), "{}", refused[0].1);
    assert_eq!((queue.waiting(), queue.next_deadline(start)), (0, None));
}

/// A shard that fails repeatedly spends its own share; the others keep theirs.
#[test]
fn a_shard_spends_no_more_than_its_share() {
    let start = Instant::now();
    let mut budget = budget(WhenSpent::Hold, 100);
    (budget.shards, budget.per_shard) = (3, Some(300));
    let mut queue = IdentifyQueue::with_budget(budget, &SessionStartLimit::default(), start).unwrap();
    assert_eq!(starts_until(&mut queue, shard(1), start, start + DAY).len(), 300);
    let late = start + 20 * HOUR;
    queue.request(shard(1));
    let other = queue.request(shard(2));
    assert!(queue.next_deadline(late).unwrap() <= late);
    assert_eq!((granted(&mut queue, late), granted(&mut queue, late + SPACING)), (Some(other), None));
}

#[test]
fn a_budget_whose_worst_case_is_too_much_is_refused() {
    let problem = |change: fn(&mut IdentifyBudget)| {
        let mut budget = IdentifyBudget::default();
        change(&mut budget);
        let queue = IdentifyQueue::with_budget(budget, &SessionStartLimit::default(), Instant::now());
        match queue {
            Ok(_) => Ok(()),
            Err(BudgetError::Config(error)) => Err((error.field(), error.to_string())),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(problem(|budget| budget.reserve = Some(1000)).unwrap_err().0, "reserve");
    assert_eq!(problem(|budget| budget.reserve = Some(2000)).unwrap_err().0, "reserve");
    assert_eq!(problem(|budget| budget.shards = 901).unwrap_err().0, "shards");
    assert_eq!(problem(|budget| budget.shards = 900), Ok(()));
    assert_eq!(problem(|budget| budget.per_shard = Some(0)).unwrap_err().0, "per_shard");
    let (field, words) = problem(|budget| (budget.shards, budget.per_shard) = (4, Some(226))).unwrap_err();
    assert_eq!(field, "per_shard");
    assert!(words.contains("4 shards with 226 session starts each"), "{words}");
    assert_eq!(problem(|budget| (budget.shards, budget.per_shard) = (4, Some(225))), Ok(()));
    assert_eq!(problem(|budget| budget.starting = Some(2)).unwrap_err().0, "starting");
    let most = IdentifyBudget::default();
    let mut queue = IdentifyQueue::with_budget(most, &limit(1000, 1000, DAY), Instant::now()).unwrap();
    assert!(queue.update(&limit(0, 0, DAY), Instant::now()).is_err());
}

/// Otherwise the first shards would start, and the last would stop.
#[test]
fn a_bot_that_cannot_start_all_shards_is_refused_with_the_time() {
    let start = Instant::now();
    let make = |remaining, starting, when_spent| {
        let mut budget = budget(when_spent, 100);
        (budget.shards, budget.starting) = (4, starting);
        IdentifyQueue::with_budget(budget, &limit(1000, remaining, 6 * HOUR), start).map(drop)
    };
    let Err(BudgetError::TooFewStarts(error)) = make(103, None, WhenSpent::Refuse) else {
        panic!("three starts are not enough for four shards")
    };
    assert_eq!((error.starting, error.remaining, error.reserve), (4, 103, 100));
    assert_eq!(error.reset_after, 6 * HOUR);
    assert!(error.to_string().contains("4 sessions cannot be started"), "{error}");
    assert_eq!(make(104, None, WhenSpent::Refuse), Ok(()));
    assert_eq!(make(103, None, WhenSpent::Hold), Ok(()), "it waits");
    assert_eq!(make(103, Some(3), WhenSpent::Refuse), Ok(()), "one resumes");
    assert_eq!(make(0, Some(0), WhenSpent::Refuse), Ok(()), "all resume");
}

#[test]
fn starts_of_an_earlier_process_count_before_the_start() {
    let start = Instant::now();
    let whole = || {
        let mut budget = budget(WhenSpent::Refuse, 0);
        budget.shards = 2;
        budget
    };
    let mut queue = IdentifyQueue::with_budget(whole(), &limit(4, 4, DAY), start).unwrap();
    starts_until(&mut queue, shard(0), start, start + 3 * SPACING);
    let later = start + HOUR;
    let mut next = IdentifyQueue::with_budget(whole(), &limit(4, 4, DAY), later).unwrap();
    assert_eq!(next.check_start(later), Ok(()));
    next.restore(&queue.snapshot(later), Duration::ZERO, later);
    let error = next.check_start(later).unwrap_err();
    assert_eq!((error.remaining, error.reset_after), (1, DAY - HOUR), "when the first start is a day old");
}

#[test]
fn the_next_process_continues_the_count() {
    let start = Instant::now();
    let hold = || budget(WhenSpent::Hold, 0);
    let mut queue = IdentifyQueue::with_budget(hold(), &limit(3, 3, DAY), start).unwrap();
    starts_until(&mut queue, shard(7), start, start + HOUR);
    let saved = start + HOUR;
    let text = serde_json::to_string(&queue.snapshot(saved)).unwrap();
    let snapshot: IdentifySnapshot = serde_json::from_str(&text).unwrap();

    // Another process with another clock, without the elapsed time.
    let now = Instant::now() + 100 * DAY;
    let mut next = IdentifyQueue::with_budget(hold(), &limit(3, 3, DAY), now).unwrap();
    next.restore(&snapshot, Duration::ZERO, now);
    assert_eq!(next.remaining(now), 0);
    next.request(shard(7));
    assert_eq!(next.next_deadline(now), Some(now + 23 * HOUR));

    // Two hours have passed.
    let mut next = IdentifyQueue::with_budget(hold(), &limit(3, 3, DAY), now).unwrap();
    next.restore(&snapshot, 2 * HOUR, now);
    next.request(shard(7));
    assert_eq!(next.next_deadline(now), Some(now + 21 * HOUR));

    let mut next = IdentifyQueue::with_budget(hold(), &limit(3, 3, DAY), now).unwrap();
    next.restore(&snapshot, 30 * HOUR, now);
    assert_eq!(next.remaining(now), 3);
}

#[test]
fn the_spacing_survives_a_restart_and_other_keys() {
    let start = Instant::now();
    let mut queue = IdentifyQueue::new(16);
    queue.request(shard(17));
    granted(&mut queue, start).unwrap();
    let now = start + Duration::from_secs(1);
    let mut next = IdentifyQueue::new(16);
    next.restore(&queue.snapshot(now), Duration::ZERO, now);
    next.request(shard(33));
    assert_eq!(next.next_deadline(now), Some(start + SPACING), "33 and 17 share a key");
    next.request(shard(34));
    assert_eq!(next.next_deadline(now), Some(now));
    // With 3 keys, 17 shares one with 35.
    let mut limit = SessionStartLimit::default();
    limit.max_concurrency = 3;
    queue.update(&limit, now).unwrap();
    queue.request(shard(35));
    assert_eq!(queue.next_deadline(now), Some(start + SPACING));
}

#[test]
fn a_queue_can_be_asked_for_more_session_starts() {
    let start = Instant::now();
    for when_spent in [WhenSpent::Refuse, WhenSpent::Hold] {
        let budget = resuming(budget(when_spent, 100));
        let mut queue = IdentifyQueue::with_budget(budget, &limit(1000, 150, HOUR), start).unwrap();
        assert_eq!(queue.check(50, start), Ok(()));
        let error = queue.check(51, start).unwrap_err();
        assert_eq!((error.starting, error.remaining, error.reserve), (51, 150, 100));
        assert_eq!(error.reset_after, HOUR);
        assert_eq!(queue.check(0, start), Ok(()));
        // Requests that wait at the gate come first.
        let waits = queue.request(shard(0));
        assert_eq!(queue.check(50, start).unwrap_err().starting, 51);
        assert_eq!(queue.check(49, start), Ok(()));
        queue.cancel(waits);
        assert_eq!(queue.check(50, start), Ok(()));
        queue.request(shard(0));
        granted(&mut queue, start).unwrap();
        assert_eq!(queue.check(49, start), Ok(()));
        assert!(queue.check(50, start).is_err());
        // By the server's count all starts are available after an hour, by our own all but one.
        assert_eq!(queue.check(899, start + HOUR), Ok(()));
        assert_eq!(queue.check(900, start + HOUR).unwrap_err().reset_after, DAY - HOUR);
        assert_eq!(queue.check(900, start + DAY), Ok(()));
        let never = queue.check(901, start + DAY).unwrap_err();
        assert_eq!(never.reset_after, Duration::MAX);
        assert!(never.to_string().ends_with("a day has too few"), "{never}");
    }
    let queue = IdentifyQueue::new(1);
    assert_eq!((queue.check(900, start), queue.check(901, start).is_err()), (Ok(()), true));
    assert_eq!(queue.check(u32::MAX, start).unwrap_err().starting, u32::MAX);
}

#[test]
fn the_number_of_shards_can_change() {
    let start = Instant::now();
    let mut budget = budget(WhenSpent::Refuse, 100);
    (budget.shards, budget.starting, budget.per_shard) = (16, Some(16), Some(20));
    let mut queue = IdentifyQueue::with_budget(budget, &SessionStartLimit::default(), start).unwrap();
    assert_eq!(queue.set_shards(16 + 32, start).unwrap_err().field(), "per_shard");
    assert_eq!(queue.set_shards(901, start).unwrap_err().field(), "shards");
    // A rejected number changes nothing: with 901 shards this limit would be too small.
    queue.update(&limit(420, 420, HOUR), start).unwrap();
    queue.update(&SessionStartLimit::default(), start).unwrap();
    queue.set_shards(16 + 28, start).unwrap();
    assert_eq!(queue.update(&limit(420, 420, HOUR), start).unwrap_err().field(), "per_shard");
    queue.set_shards(8, start).unwrap();
    queue.update(&limit(260, 260, HOUR), start).unwrap();
    let mut queue = IdentifyQueue::new(1);
    assert_eq!(queue.set_shards(901, start).unwrap_err().field(), "shards");
    queue.set_shards(900, start).unwrap();
}

#[test]
fn more_shards_than_16_bits_can_count() {
    let start = Instant::now();
    let mut limit = limit(200_000, 200_000, DAY);
    limit.max_concurrency = 1 << 17;
    let mut budget = IdentifyBudget::default();
    budget.shards = 70_000;
    let mut queue = IdentifyQueue::with_budget(budget, &limit, start).unwrap();
    let tickets: Vec<Ticket> = (65_530..70_000).map(|id| queue.request(shard(id))).collect();
    let granted: Vec<Ticket> = std::iter::from_fn(|| granted(&mut queue, start)).collect();
    assert_eq!(granted, tickets);
}

#[test]
fn a_refused_shard_stops_with_the_refusal() {
    let mut client = Client::new(config());
    client.grants = false;
    client.open();
    assert_eq!(client.shard.phase(), Phase::AwaitingIdentify);
    let refused = IdentifyRefused::new(100, 100, HOUR);
    client.input(Input::IdentifyRefused(refused));
    assert!(client.sent.is_empty(), "no Identify");
    client.input(Input::Closed(gateway_proto::Closed::Eof));
    assert_eq!(client.stopped, Some(StopReason::IdentifyRefused(refused)));
    let reasons: Vec<_> = client
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Disconnected(disconnected) => Some((&disconnected.reason, disconnected.retry_in)),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, [(&DisconnectReason::IdentifyRefused(refused), None)]);
    assert_eq!(client.connects, 1);
}

#[test]
fn a_refusal_that_no_shard_waits_for_changes_nothing() {
    let mut client = Client::new(config());
    client.identify();
    client.input(Input::IdentifyRefused(IdentifyRefused::new(0, 0, HOUR)));
    assert_eq!((client.shard.phase(), client.closes.len()), (Phase::Ready, 0));
}

/// A gate that several processes share may be unreachable for some time. Its shards recover without an operator.
#[test]
fn a_shard_requests_again_while_its_gate_is_unreachable() {
    let mut client = Client::new(config());
    client.grants = false;
    for attempt in 1..=20 {
        client.open();
        assert_eq!((client.connects, client.shard.phase()), (attempt, Phase::AwaitingIdentify));
        client.input(Input::IdentifyRefused(IdentifyRefused::unreachable()));
        client.input(Input::Closed(gateway_proto::Closed::Eof));
        assert_eq!(client.stopped, None);
        let Some(Event::Disconnected(disconnected)) = client.events.last() else {
            panic!("{:?}", client.events.last())
        };
        let reason = DisconnectReason::IdentifyRefused(IdentifyRefused::unreachable());
        assert_eq!(disconnected.reason, reason);
        let wait = disconnected.retry_in.unwrap();
        assert!(wait >= Duration::from_millis(300) && wait <= Duration::from_secs(60), "{wait:?}");
        client.pass(wait);
    }
    assert!(client.sent.is_empty(), "no Identify");
    client.grants = true;
    client.open();
    assert_eq!(client.sent.len(), 1, "the gate is back");
}

#[test]
fn refusals_say_what_to_do() {
    let text = |refused: IdentifyRefused| refused.to_string();
    assert!(text(IdentifyRefused::new(100, 90, HOUR)).contains("100 starts are left, of which 90"));
    assert!(text(IdentifyRefused::not_persisted(5, 4)).contains("could not be persisted"));
    assert!(text(IdentifyRefused::unreachable()).contains("could not be reached"));
}

/// Files of earlier versions, with and without the time of writing.
#[test]
fn snapshots_of_earlier_versions_are_read() {
    let now = Instant::now();
    let restored = |text: &str, clock| {
        let snapshot: IdentifySnapshot = serde_json::from_str(text).unwrap();
        let mut queue = IdentifyQueue::new(1);
        queue.restore(&snapshot, snapshot.elapsed(clock), now);
        (queue.remaining(now), serde_json::to_string(&snapshot).unwrap())
    };
    let clock = Some(Duration::from_millis(1_700_003_600_000));
    let old = r#"{"starts":[[[0,1],3600000],[[1,2],86400000]],"written_at":1700000000000}"#;
    assert_eq!(restored(old, clock), (999, old.to_owned()), "an hour later the first is forgotten");
    assert_eq!(restored(old, None), (998, old.to_owned()));
    let without_clock = r#"{"starts":[[[0,1],3600000]]}"#;
    assert_eq!(restored(without_clock, clock), (999, without_clock.to_owned()));
    assert_eq!(restored(r#"{"starts":[],"written_at":null,"new":1}"#, clock).0, 1000);
}

/// A configuration whose worst case would identify more often in a day than the limit allows is an error.
#[test]
fn a_back_off_that_would_identify_too_often_is_refused() {
    let problem = |base| {
        let mut config = config();
        (config.backoff.base, config.backoff.minimum) = (base, base);
        Shard::new(config, Instant::now()).map(drop).map_err(|error| (error.field(), error.to_string()))
    };
    let (field, words) = problem(Duration::from_micros(100)).unwrap_err();
    assert_eq!(field, "backoff.base");
    assert!(words.contains("would identify 1647 times in a day"), "{words}");
    assert_eq!(problem(Duration::from_millis(1)), Ok(()));
}

proptest! {
    /// With any requests, cancellations, updates and restarts, no 24 hours have more starts than the budget, and no key
    /// has two in 5 s.
    #[test]
    fn the_budget_holds_in_any_24_hours(
        steps in prop::collection::vec((0u32..6, 0u64..20_000, 0u8..12), 1..400),
        concurrency in 0u32..4,
    ) {
        let mut now = Instant::now();
        let mut session = SessionStartLimit::default();
        (session.total, session.remaining, session.max_concurrency) = (20, 20, concurrency);
        let hold = || budget(WhenSpent::Hold, 4);
        let mut queue = IdentifyQueue::with_budget(hold(), &session, now).unwrap();
        let mut asked = Vec::new();
        let mut starts: Vec<(Instant, ShardId)> = Vec::new();
        for (id, seconds, action) in steps {
            now += Duration::from_secs(seconds) / if action < 6 { 5000 } else { 1 };
            match action {
                1 => {
                    let snapshot = queue.snapshot(now);
                    queue = IdentifyQueue::with_budget(hold(), &session, now).unwrap();
                    queue.restore(&snapshot, Duration::ZERO, now);
                    asked.clear();
                }
                2 => queue.update(&session, now).unwrap(),
                3 => if let Some(ticket) = asked.pop() {
                    queue.cancel(ticket);
                },
                _ => asked.push(queue.request(shard(id))),
            }
            while let Some(granted) = granted(&mut queue, now) {
                let shard = granted.shard();
                if asked.contains(&granted) {
                    let key = shard.rate_limit_key(concurrency);
                    let last = starts.iter().rev().find(|(_, other)| other.rate_limit_key(concurrency) == key);
                    prop_assert!(last.is_none_or(|(at, _)| now - *at >= Duration::from_secs(5)));
                    starts.push((now, shard));
                }
            }
            prop_assert!(starts.iter().filter(|(at, _)| now - *at < DAY).count() <= 16);
        }
    }
}
