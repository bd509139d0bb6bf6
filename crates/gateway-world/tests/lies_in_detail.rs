//! Every comparison within an invariant against a shard that fails it and no other.

mod liar;

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

use gateway_proto::disconnect::DisconnectReason;
use gateway_proto::health::Stats;
use gateway_proto::session::AckError;
use gateway_proto::{Closed, Event, Notice, Output, Reconnect, Shard, ShardConfig};
use gateway_sim::{Action, Point};
use gateway_world::{Direction, Fault, Nonsense, Profile, Setting, Time, Unreachable, User, World};
use liar::{Honest, Liar, Lie, violation, violation_of};

fn asserted<L: Lie>(faults: &[(f64, Fault)], invariant: &str, sentence: &str) {
    let violation = violation::<L>(faults).expect("the lie is found out");
    assert_eq!(violation.invariant, invariant, "{violation}");
    assert!(violation.sentence.contains(sentence), "{violation}");
}

/// Announces no wait, and does not wait.
#[derive(Default)]
struct Tireless;
impl Lie for Tireless {
    fn output(&mut self, shard: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        Some(match output {
            Output::Event(Event::Disconnected(mut end)) => {
                end.retry_in = Some(Duration::ZERO);
                shard.reconnect(Reconnect::Resume);
                Output::Event(Event::Disconnected(end))
            }
            output => output,
        })
    }
}

/// Takes every session that came up for one that held.
#[derive(Default)]
struct Trusting;
impl Lie for Trusting {
    fn start(config: &mut ShardConfig) {
        config.backoff.stable_after = Duration::ZERO;
    }
}

/// Announces a wait before the first redial, where there is none.
#[derive(Default)]
struct Hesitant;
impl Lie for Hesitant {
    fn output(&mut self, _: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        Some(match output {
            Output::Event(Event::Disconnected(mut end)) => {
                end.retry_in = end.retry_in.map(|wait| wait.max(Duration::from_millis(1)));
                Output::Event(Event::Disconnected(end))
            }
            output => output,
        })
    }
}

/// Has waits of another length: the least, and the most, in milliseconds.
#[derive(Default)]
struct Waiting<const LEAST: u64, const MOST: u64>;
impl<const LEAST: u64, const MOST: u64> Lie for Waiting<LEAST, MOST> {
    fn start(config: &mut ShardConfig) {
        config.backoff.minimum = Duration::from_millis(LEAST);
        config.backoff.cap = Duration::from_millis(MOST);
    }
}

/// No server listens for hours, from the first on.
fn outage() -> Vec<(f64, Fault)> {
    let outage = Fault::Unreachable { how: Unreachable::Tcp, lasting: Duration::from_secs(2 * 3600) };
    vec![(1.0, outage), (1.0, Fault::Reset)]
}

/// Every Resume comes to this, for hours.
fn failing_resumes(action: Action) -> Vec<(f64, Fault)> {
    let rule = Fault::Rule { at: Point::Resume, action, times: u32::MAX };
    vec![(1.0, rule), (1.0, Fault::Reset), (3.0, Fault::EndRules)]
}

#[test]
fn a_redial_that_is_immediate_once_more() {
    let again = "a redial is immediate that is not the first after a session";
    asserted::<Tireless>(&outage(), "connects", again);
    let reset_after = Fault::ResetAfter { messages: 4, direction: Direction::Down };
    let resets: Vec<(f64, Fault)> = (0..40)
        .flat_map(|second| {
            let hour = 1.0 + f64::from(second) / 3600.0;
            [(hour, Fault::Reset), (hour + 0.5 / 3600.0, reset_after.clone())]
        })
        .collect();
    asserted::<Trusting>(&resets, "connects", again);
    assert_eq!(violation::<Honest>(&resets), None);
}

#[test]
fn a_first_redial_that_is_not_immediate() {
    asserted::<Hesitant>(&[(1.0, Fault::Reset)], "connects", "before the first redial");
}

#[test]
fn too_many_connects_within_an_outage() {
    assert_eq!(violation::<Honest>(&outage()), None);
    asserted::<Waiting<20, 60_000>>(&outage(), "connects", "connects within 30s");
    asserted::<Waiting<300, 15_000>>(&outage(), "connects", "connects within 600s");
}

#[test]
fn a_wait_that_is_too_long_for_the_outage() {
    asserted::<Waiting<5000, 60_000>>(&outage(), "connects", "where 700ms is enough");
    asserted::<Waiting<300, 600_000>>(&outage(), "connects", "where 60s is enough");
}

// ---- A session that the gateway still holds is not abandoned ----

/// Gives a session up after so many failed Resumes within so many seconds.
#[derive(Default)]
struct Impatient<const ATTEMPTS: u32, const SECONDS: u64>;
impl<const ATTEMPTS: u32, const SECONDS: u64> Lie for Impatient<ATTEMPTS, SECONDS> {
    fn start(config: &mut ShardConfig) {
        config.limits.resume_attempts = ATTEMPTS;
        config.limits.resume_timeout = Duration::from_secs(SECONDS);
    }
}

#[test]
fn resumes_that_have_not_failed_for_long() {
    let closed = failing_resumes(Action::Close(Some(4000)));
    asserted::<Impatient<5, 1>>(&closed, "resume first", "given up after 5 failed Resumes within");
    asserted::<Impatient<5, 150>>(&closed, "resume first", "failed Resumes within 1");
    // Each is waited for for a minute.
    let ignored = failing_resumes(Action::Ignore);
    asserted::<Impatient<4, 180>>(&ignored, "resume first", "given up after 4 failed Resumes within");
    for faults in [closed, ignored, failing_resumes(Action::Close(Some(4003)))] {
        assert_eq!(violation::<Honest>(&faults), None);
    }
}

/// Takes a disconnection of some kind for the end of the session: close code 4003, or a message that cannot be read.
#[derive(Default)]
struct Hasty<const KIND: usize>;
impl<const KIND: usize> Lie for Hasty<KIND> {
    fn output(&mut self, shard: &mut Shard, output: Output, more: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::Event(Event::Disconnected(end)) = &output {
            let is_of_kind = match KIND {
                0 => matches!(end.reason, DisconnectReason::Closed(Closed::Frame { code: Some(4003), .. })),
                _ => matches!(end.reason, DisconnectReason::Undecodable(_)),
            };
            if is_of_kind {
                shard.reconnect(Reconnect::Fresh);
            }
        }
        // And gives a reason.
        if let Output::Close(frame) = &output
            && (KIND == 3 || (KIND == 2 && frame.reason == "undecodable message"))
        {
            more.push_back(output);
            return Some(Output::Event(Event::Notice(Notice::ReplayGivenUp { after: 1 })));
        }
        Some(output)
    }
}

#[test]
fn a_session_that_could_go_on() {
    let could = "the session could have been resumed";
    let closed = [(1.0, Fault::Close { code: Some(4003) })];
    let nonsense = [(1.0, Fault::Nonsense { what: Nonsense::Text })];
    asserted::<Hasty<0>>(&closed, "resume first", could);
    asserted::<Hasty<1>>(&nonsense, "resume first", could);
    asserted::<Hasty<2>>(&nonsense, "resume first", "given up after one message that could not be read");
    let reconnect = [(1.0, Fault::Reconnect { then_emit: 0 })];
    asserted::<Hasty<3>>(
        &reconnect,
        "resume first",
        "given up over a message, but closed for another reason",
    );
    for faults in [&closed, &nonsense, &reconnect] {
        assert_eq!(violation::<Honest>(faults), None);
    }
}

/// Adds one to a counter.
#[derive(Default)]
struct Miscounting<const COUNTER: usize>;
impl<const COUNTER: usize> Lie for Miscounting<COUNTER> {
    fn stats(&self, stats: &mut Stats) {
        let counters = [
            &mut stats.connect_attempts,
            &mut stats.connects,
            &mut stats.disconnects,
            &mut stats.identifies,
            &mut stats.resumes,
            &mut stats.resumed,
            &mut stats.zombies,
            &mut stats.heartbeats,
            &mut stats.acknowledgements,
            &mut stats.commands,
            &mut stats.dispatches,
        ];
        *counters.into_iter().nth(COUNTER).expect("there are eleven") += 1;
    }
}

#[test]
fn each_counter() {
    asserted::<Miscounting<0>>(&[], "counters", "connect_attempts is said");
    asserted::<Miscounting<1>>(&[], "counters", "connects is said");
    asserted::<Miscounting<2>>(&[], "counters", "disconnects is said");
    asserted::<Miscounting<3>>(&[], "counters", "identifies is said");
    asserted::<Miscounting<4>>(&[], "counters", "resumes is said");
    asserted::<Miscounting<5>>(&[], "counters", "resumed is said");
    asserted::<Miscounting<6>>(&[], "counters", "zombies is said");
    asserted::<Miscounting<7>>(&[], "counters", "heartbeats is said");
    asserted::<Miscounting<8>>(&[], "counters", "acknowledgements is said");
    asserted::<Miscounting<9>>(&[], "counters", "commands is said");
    asserted::<Miscounting<10>>(&[], "counters", "dispatches is said");
}

/// Says that one dispatch more was replayed.
#[derive(Default)]
struct Exaggerating;
impl Lie for Exaggerating {
    fn output(&mut self, _: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        Some(match output {
            Output::Event(Event::Resumed { replayed }) => {
                Output::Event(Event::Resumed { replayed: replayed + 1 })
            }
            output => output,
        })
    }
}

#[test]
fn what_was_replayed() {
    asserted::<Exaggerating>(&[(1.0, Fault::Reset)], "counters", "are said to be replayed");
}

/// Says the same a thousand times.
#[derive(Default)]
struct Talkative;
impl Lie for Talkative {
    fn output(&mut self, _: &mut Shard, output: Output, more: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::Event(Event::Hello { .. }) = &output {
            more.extend(std::iter::repeat_n(output.clone(), 1200));
        }
        Some(output)
    }
}

#[test]
fn what_one_input_leads_to() {
    asserted::<Talkative>(&[], "memory", "one input led to more than");
}

#[test]
fn the_heap() {
    let setting = Setting { seed: 1, hours: 3.0, shards: 2, profile: Profile::Calm, user: User::Quick };
    thread_local! { static HEAP: Cell<usize> = const { Cell::new(0) } }
    let grows = |from: usize, to: usize| {
        HEAP.set(from << 20);
        let cycles = setting.cycle(0).into_iter();
        let world = World::new(setting, Time::ZERO, cycles, Liar::<Honest>::make).with_heap(|| HEAP.get());
        HEAP.set(to << 20);
        world.run().violation
    };
    assert_eq!(grows(0, 17), None);
    assert_eq!(grows(1000, 1017), None);
    let violation = grows(1000, 1019).expect("that is too much for two shards");
    assert_eq!(violation.invariant, "memory");
    assert!(violation.sentence.contains("bytes are in use for 2 shards"), "{violation}");
}

/// Says everything of one kind twice.
#[derive(Default)]
struct Twice<const KIND: usize>;
impl<const KIND: usize> Lie for Twice<KIND> {
    fn output(&mut self, _: &mut Shard, output: Output, more: &mut VecDeque<Output>) -> Option<Output> {
        let is_of_kind = match KIND {
            0 => matches!(output, Output::Event(Event::Disconnected(_))),
            1 => matches!(output, Output::Connect(_)),
            2 => matches!(output, Output::Event(Event::Connecting { .. })),
            _ => matches!(output, Output::Close(_)),
        };
        more.extend(is_of_kind.then(|| output.clone()));
        Some(output)
    }
}

#[test]
fn each_step_of_a_connection_is_taken_once() {
    let reconnect = [(1.0, Fault::Reconnect { then_emit: 0 })];
    asserted::<Twice<0>>(&reconnect, "socket", "the end of a connection was told twice");
    asserted::<Twice<1>>(&reconnect, "socket", "a connect while another connection is Dialing");
    asserted::<Twice<2>>(&reconnect, "socket", "a connection begins before the end of the last was told");
    asserted::<Twice<3>>(&reconnect, "socket", "a close frame was sent while the connection is Closing");
}

/// Acknowledges everything as soon as anything is.
#[derive(Default)]
struct Rash(u64);
impl Lie for Rash {
    fn output(&mut self, _: &mut Shard, output: Output, _: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::Event(Event::Dispatch(dispatch)) = &output {
            self.0 = dispatch.sequence().unwrap_or(self.0);
        }
        Some(output)
    }

    fn ack(&mut self, shard: &mut Shard, _: u64) -> Result<(), AckError> {
        shard.ack(self.0)
    }
}

/// Forgets what was acknowledged.
#[derive(Default)]
struct Oblivious;
impl Lie for Oblivious {
    fn ack(&mut self, _: &mut Shard, _: u64) -> Result<(), AckError> {
        Ok(())
    }
}

/// Acknowledges what it was never given.
#[derive(Default)]
struct Clairvoyant;
impl Lie for Clairvoyant {
    fn ack(&mut self, shard: &mut Shard, sequence: u64) -> Result<(), AckError> {
        shard.ack(sequence + 100_000)
    }
}

#[test]
fn what_was_acknowledged() {
    fn asserted<L: Lie>(sentence: &str) {
        // A session is stored after each of the resets, with more or less of the floods still to be dealt with.
        let faults: Vec<(f64, Fault)> = (0..10)
            .flat_map(|number| {
                let hour = 1.0 + f64::from(number) / 30.0;
                [(hour, Fault::Flood { events: 50 }), (hour + 0.02, Fault::Reset)]
            })
            .collect();
        let violation = violation_of::<L>(User::Thorough, 6.0, 2, &faults).expect("the lie is found out");
        assert_eq!(violation.invariant, "acknowledged", "{violation}");
        assert!(violation.sentence.contains(sentence), "{violation}");
        // Shards that acknowledge nothing are not concerned.
        assert_eq!(violation_of::<L>(User::Quick, 6.0, 2, &faults), None);
    }
    asserted::<Rash>("but the application has dealt with");
    asserted::<Oblivious>("though the application has dealt with");
    asserted::<Clairvoyant>("was not delivered");
}

/// A crash in the middle of a backlog: what was given out and not dealt with comes again, and nothing is lost.
#[test]
fn a_crash_with_a_backlog_loses_nothing() {
    let faults: Vec<(f64, Fault)> = (1..20)
        .flat_map(|hour| {
            let hour = f64::from(hour) / 4.0;
            let crash = Fault::Crash { lasting: Duration::from_secs(5) };
            [(hour, Fault::Flood { events: 200 }), (hour + 0.005, crash)]
        })
        .collect();
    assert_eq!(violation_of::<Honest>(User::Thorough, 6.0, 4, &faults), None);
}

/// Stores more than was acknowledged, but only to the disk of the next process.
#[derive(Default)]
struct Forger;
impl Lie for Forger {
    fn start(config: &mut ShardConfig) {
        if let Some(session) = &config.session {
            let mut stored = serde_json::to_value(session).expect("a snapshot can be written");
            stored["sequence"] = (session.sequence() + 3).into();
            config.session = serde_json::from_value(stored).ok();
        }
    }
}

#[test]
fn what_is_lost_over_a_crash() {
    let crash = Fault::Crash { lasting: Duration::from_secs(5) };
    let faults = [(1.0, Fault::Flood { events: 200 }), (1.005, crash)];
    let violation = violation_of::<Forger>(User::Thorough, 6.0, 2, &faults).expect("it is found out");
    assert_eq!(violation.invariant, "order", "{violation}");
    assert!(violation.sentence.contains("is lost"), "{violation}");
}
