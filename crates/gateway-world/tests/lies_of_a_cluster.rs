//! Each rule of a cluster against one that breaks it on purpose: what stands between the cluster and its driver lies.

mod liar;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gateway_cluster::{ClusterEvent, ClusterOutput, Generation, ShardKey};
use gateway_proto::{Dispatch, Event, Message, Output, Shard, Shutdown, Snowflake};
use gateway_world::{
    Between, ClusterOutcome, ClusterWorld, Fault, MakeClient, Profile, Setting, Time, User, over_messages,
};
use liar::{Liar, Lie, plan};

/// The first generation after a reshard.
const NEXT: Generation = Generation(2);

fn world(faults: &[(f64, Fault)], between: impl Between + 'static) -> ClusterOutcome {
    world_of(over_messages, faults, between)
}

fn world_of(make: MakeClient, faults: &[(f64, Fault)], between: impl Between + 'static) -> ClusterOutcome {
    let setting = Setting { seed: 1, hours: 4.0, shards: 6, profile: Profile::Calm, user: User::Cluster };
    let mut cycle = setting.cycle(0).expect("a world has a beginning");
    cycle.faults = plan(faults);
    ClusterWorld::new(setting, Time::ZERO, std::iter::once(cycle), make).with_between(Box::new(between)).run()
}

/// The rule that a liar is found to break in hours with a reshard.
fn caught(between: impl Between + 'static) -> Option<&'static str> {
    caught_with(&[], between)
}

/// The same, with a fault after the reshard.
fn caught_with(faults: &[(f64, Fault)], between: impl Between + 'static) -> Option<&'static str> {
    let reshards = [(0.5, Fault::Reshard { shards: 4 }), (1.5, Fault::Reshard { shards: 2 })];
    let faults = [&reshards, faults].concat();
    world(&faults, between).violation.map(|violation| violation.invariant)
}

fn guild(dispatch: &Dispatch) -> Option<Snowflake> {
    dispatch.data().get("guild_id")?.as_id().map(Snowflake)
}

fn is_news(dispatch: &Dispatch) -> bool {
    ["MESSAGE_CREATE", "TYPING_START"].contains(&dispatch.name())
}

fn deliver(key: ShardKey, dispatch: Dispatch) -> ClusterOutput {
    ClusterOutput::Deliver(Some(key), ClusterEvent::Shard(Event::Dispatch(dispatch)))
}

/// What the output delivers of what happens in guilds, and from where.
fn news(output: &ClusterOutput) -> Option<(ShardKey, &Dispatch)> {
    match output {
        ClusterOutput::Deliver(Some(key), ClusterEvent::Shard(Event::Dispatch(dispatch))) => {
            is_news(dispatch).then_some((*key, dispatch))
        }
        _ => None,
    }
}

#[test]
fn an_honest_cluster_is_caught_at_nothing() {
    let faults = [
        (2.0, Fault::Commands { count: 50 }),
        (2.1, Fault::RollingRestart),
        (2.2, Fault::Crash { lasting: Duration::from_secs(20) }),
        (2.3, Fault::Redeploy { lasting: Duration::from_secs(20), log_off: false }),
    ];
    let reshards = [(0.5, Fault::Reshard { shards: 4 }), (1.5, Fault::Reshard { shards: 2 })];
    let outcome = world(&[&reshards[..], &faults].concat(), ());
    assert_eq!(outcome.violation, None);
    let counts = outcome.counts;
    assert_eq!((counts.finished, counts.rolled, counts.processes), (2, 1, 3));
    // 3 at first, 4 and 2 for the reshards, none for the restarts.
    assert_eq!((counts.identifies, counts.starts), (9, 9));
    assert!(counts.switched.matched > 0 && counts.switched.silent > 0, "{counts:?}");
    assert_eq!(counts.switched.unmatched, 0);
}

/// Switches each guild one event too early: what the new session held last, which the old one had delivered, is delivered again.
#[derive(Default)]
struct Early(BTreeMap<(ShardKey, u64), Dispatch>);
impl Between for Early {
    fn input(&mut self, key: ShardKey, event: &Event) {
        if let Event::Dispatch(dispatch) = event
            && is_news(dispatch)
            && key.generation == NEXT
        {
            self.0.insert((key, dispatch.sequence().unwrap()), dispatch.clone());
        }
    }

    fn output(&mut self, output: ClusterOutput, _: &mut VecDeque<ClusterOutput>) -> Option<ClusterOutput> {
        if let ClusterOutput::Discard(key, Some(number)) = &output
            && let Some(dispatch) = self.0.remove(&(*key, number.sequence()))
        {
            return Some(deliver(*key, dispatch));
        }
        Some(output)
    }
}

#[test]
fn once_a_guild_is_switched_one_event_early() {
    assert_eq!(caught(Early::default()), Some("once"));
}

/// Switches each guild one event too late: the first event that the new session would deliver is dropped.
#[derive(Default)]
struct Late(BTreeMap<Option<Snowflake>, ()>);
impl Between for Late {
    fn output(&mut self, output: ClusterOutput, _: &mut VecDeque<ClusterOutput>) -> Option<ClusterOutput> {
        if let Some((key, dispatch)) = news(&output)
            && key.generation == NEXT
            && self.0.insert(guild(dispatch), ()).is_none()
        {
            return Some(ClusterOutput::Discard(key, dispatch.key()));
        }
        Some(output)
    }
}

#[test]
fn guild_order_a_guild_is_switched_one_event_late() {
    assert_eq!(caught(Late::default()), Some("guild order"));
}

/// Forgets a guild: after the reshard nothing of it is delivered.
#[derive(Default)]
struct Forgets(Option<Snowflake>);
impl Between for Forgets {
    fn output(&mut self, output: ClusterOutput, _: &mut VecDeque<ClusterOutput>) -> Option<ClusterOutput> {
        if let Some((key, dispatch)) = news(&output)
            && key.generation >= NEXT
            && guild(dispatch).is_some()
        {
            let forgotten = *self.0.get_or_insert(guild(dispatch).unwrap());
            if guild(dispatch) == Some(forgotten) {
                return Some(ClusterOutput::Discard(key, dispatch.key()));
            }
        }
        Some(output)
    }
}

#[test]
fn reached_a_guild_is_forgotten() {
    assert_eq!(caught(Forgets::default()), Some("reached"));
}

/// Keeps to itself what becomes of a dispatch now and then: neither delivered nor discarded.
#[derive(Default)]
struct Silent(u64);
impl Between for Silent {
    fn output(&mut self, output: ClusterOutput, _: &mut VecDeque<ClusterOutput>) -> Option<ClusterOutput> {
        if let ClusterOutput::Discard(key, _) = &output
            && key.generation == Generation(3)
        {
            self.0 += 1;
            return (self.0 != 3).then_some(output);
        }
        Some(output)
    }
}

#[test]
fn progress_a_dispatch_is_left_over() {
    let faults = [(2.0, Fault::RollingRestart)];
    assert_eq!(caught_with(&faults, Silent::default()), Some("progress"));
}

/// Leaves a shard out.
struct Lazy;
impl Between for Lazy {
    fn output(&mut self, output: ClusterOutput, _: &mut VecDeque<ClusterOutput>) -> Option<ClusterOutput> {
        let is_left_out = matches!(&output, ClusterOutput::Start { key, .. } if key.shard.id() == 1);
        (!is_left_out).then_some(output)
    }
}

#[test]
fn progress_a_shard_is_left_out() {
    assert_eq!(world(&[], Lazy).violation.map(|violation| violation.invariant), Some("progress"));
}

/// Forgets which sessions there are.
struct Fresh;
impl Between for Fresh {
    fn output(&mut self, output: ClusterOutput, _: &mut VecDeque<ClusterOutput>) -> Option<ClusterOutput> {
        Some(match output {
            ClusterOutput::Start { key, .. } => ClusterOutput::Start { key, session: None },
            output => output,
        })
    }
}

#[test]
fn starts_sessions_that_could_be_resumed() {
    let crash = Fault::Crash { lasting: Duration::from_secs(20) };
    assert_eq!(world(&[(1.0, crash)], Fresh).violation.map(|violation| violation.invariant), Some("starts"));
}

/// Starts each shard of a reshard twice.
struct Doubles;
impl Between for Doubles {
    fn output(&mut self, output: ClusterOutput, more: &mut VecDeque<ClusterOutput>) -> Option<ClusterOutput> {
        if let ClusterOutput::Start { key, .. } = &output
            && key.generation == NEXT
        {
            more.push_back(ClusterOutput::Start { key: *key, session: None });
        }
        Some(output)
    }
}

#[test]
fn starts_a_shard_twice() {
    assert_eq!(caught(Doubles), Some("starts"));
}

/// Ends the old sessions before the guilds are switched, and goes on sending there.
struct Dead;
impl Between for Dead {
    fn sender(&self, key: ShardKey) -> ShardKey {
        ShardKey { generation: Generation::FIRST, ..key }
    }
}

#[test]
fn senders_lead_to_a_shard_that_is_gone() {
    let faults = [(1.0, Fault::Commands { count: 10 })];
    assert_eq!(caught_with(&faults, Dead), Some("senders"));
}

/// Says that more is held back than may be.
struct Hoarder;
impl Between for Hoarder {
    fn held_bytes(&self, bytes: usize) -> usize {
        bytes + if bytes > 0 { usize::MAX / 2 } else { 0 }
    }
}

#[test]
fn bounds_are_broken() {
    assert_eq!(caught(Hoarder), Some("bounds"));
}

/// Shuts the shards of a rolling restart down, so that they identify.
struct Rough;
impl Between for Rough {
    fn output(&mut self, output: ClusterOutput, more: &mut VecDeque<ClusterOutput>) -> Option<ClusterOutput> {
        if let ClusterOutput::Reconnect(key, _) = output {
            more.push_back(ClusterOutput::ShutDown(key, Shutdown::LogOff));
            more.push_back(ClusterOutput::ShutDown(key, Shutdown::LogOff));
            return None;
        }
        Some(output)
    }
}

#[test]
fn starts_a_shard_is_shut_down_twice() {
    assert_eq!(
        world(&[(1.0, Fault::RollingRestart)], Rough).violation.map(|it| it.invariant),
        Some("starts")
    );
}

/// Gives itself the permit to identify.
#[derive(Default)]
struct Pushy;
impl Lie for Pushy {
    fn output(&mut self, _: &mut Shard, output: Output, more: &mut VecDeque<Output>) -> Option<Output> {
        if let Output::AcquireIdentify = output {
            more.push_back(Output::Send(Message::Text(br#"{"op":2,"d":{}}"#.as_slice().into())));
        }
        Some(output)
    }
}

#[test]
fn identify_spacing_in_a_cluster() {
    let violation = world_of(Liar::<Pushy>::make, &[], ()).violation;
    assert_eq!(violation.map(|violation| violation.invariant), Some("identify spacing"));
}
