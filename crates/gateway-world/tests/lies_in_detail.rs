//! Every comparison within an invariant against a shard that fails it and no other.

mod liar;

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

use gateway_proto::{AckError, Event, Output, Reconnect, Shard, ShardConfig, Stats};
use gateway_world::{Fault, Profile, Setting, Time, Unreachable, User, World};
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

#[test]
fn too_many_connects_in_an_hour() {
    let outage = Fault::Unreachable { how: Unreachable::Tcp, lasting: Duration::from_secs(3600) };
    asserted::<Tireless>(&[(1.0, outage), (1.0, Fault::Reset)], "connects", "connects within an hour");
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
        let world = World::<Liar<Honest>>::new(setting, Time::ZERO, cycles).with_heap(|| HEAP.get());
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
