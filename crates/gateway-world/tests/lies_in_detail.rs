//! Every comparison within an invariant against a shard that fails it and no other.

mod liar;

use std::collections::VecDeque;
use std::time::Duration;

use gateway_proto::{Event, Output, Reconnect, Shard, Stats};
use gateway_world::{Fault, Profile, Setting, Time, Unreachable, World};
use liar::{Honest, Liar, Lie, violation};

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
    let setting = Setting { seed: 1, hours: 3.0, shards: 2, profile: Profile::Calm };
    let run = |heap| {
        let cycles = setting.cycle(0).into_iter();
        World::<Liar<Honest>>::new(setting, Time::ZERO, cycles).with_heap(heap).run().violation
    };
    assert_eq!(run(|| 17 << 20), None);
    let violation = run(|| 19 << 20).expect("that is too much for two shards");
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
