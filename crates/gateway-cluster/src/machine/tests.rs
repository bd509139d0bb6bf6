//! The machine with shards that do at once what they are asked to.

use gateway_proto::Encoding;
use gateway_proto::disconnect::{DisconnectReason, Disconnected};

use super::*;
use crate::{ReshardPhase, ReshardPlan};

struct Fleet {
    machine: ClusterMachine,
    now: Instant,
    /// What the machine has asked for, in words.
    log: Vec<String>,
    /// The shards that were started and not shut down.
    running: BTreeSet<ShardKey>,
    /// Whether shards become ready as soon as they are started.
    prompt: bool,
    /// Whether plans can be written.
    writable: bool,
    /// The application has handled everything.
    handles: bool,
    plan: Option<ClusterPlan>,
    ended: bool,
}

fn shard(id: u32, count: u32) -> ShardId {
    ShardId::new(id, count).unwrap()
}

fn session(id: u32, count: u32) -> SessionSnapshot {
    SessionSnapshot::new(format!("session {id}"), None, 7, shard(id, count))
}

fn config(max_concurrency: u32) -> ClusterConfig {
    ClusterConfig { max_concurrency, ..ClusterConfig::default() }
}

fn ready(guilds: usize) -> Event {
    let guilds = vec![r#"{"id":"7"}"#; guilds].join(",");
    let payload = format!(r#"{{"t":"READY","s":1,"op":0,"d":{{"user":{{"id":"1"}},"guilds":[{guilds}]}}}}"#);
    Event::Dispatch(Dispatch::from_payload(payload, Encoding::Json).unwrap())
}

fn cut_off() -> Event {
    Event::Disconnected(Disconnected::new(DisconnectReason::Zombie, true, None))
}

impl Fleet {
    fn new(config: ClusterConfig, plan: ClusterPlan, sessions: Vec<SessionSnapshot>) -> Self {
        let now = Instant::now();
        let mut this = Self {
            machine: ClusterMachine::new(config, plan, sessions, now).unwrap(),
            now,
            log: Vec::new(),
            running: BTreeSet::new(),
            prompt: true,
            writable: true,
            handles: true,
            plan: None,
            ended: false,
        };
        this.run();
        this
    }

    fn run(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                ClusterOutput::Start { key, session } => {
                    self.log.push(format!("start {key}{}", if session.is_some() { " resuming" } else { "" }));
                    self.running.insert(key);
                    if self.prompt {
                        self.come_up(key, session.is_some());
                    }
                }
                ClusterOutput::Reconnect(key, _) => self.log.push(format!("reconnect {key}")),
                ClusterOutput::ShutDown(key, how) => {
                    self.log.push(format!("shut down {key} {how:?}"));
                    assert!(self.running.remove(&key), "{key} runs");
                    let kept =
                        (how == Shutdown::Resumable).then(|| session(key.shard.id(), key.shard.count()));
                    self.machine.handle_stopped(key, StopReason::Shutdown(how), kept, self.now);
                }
                ClusterOutput::Heartbeat(key) => {
                    let sent = self.now + Duration::from_millis(1);
                    let event = Event::HeartbeatAcknowledged { sent, latency: Duration::ZERO };
                    self.machine.handle_event(key, event, sent);
                }
                ClusterOutput::Deliver(_, ClusterEvent::Shard(_)) | ClusterOutput::Discard(..) => {}
                ClusterOutput::Deliver(key, event) => {
                    self.log.push(key.map_or_else(|| event.to_string(), |key| format!("{key} {event}")));
                }
                ClusterOutput::Persist { number, plan } => {
                    self.log.push(format!("persist {:?}", plan.reshard.map(|reshard| reshard.phase)));
                    if self.writable {
                        self.plan = Some(plan);
                    }
                    self.machine.handle_persisted(number, self.writable, self.now);
                }
                ClusterOutput::Forget(key) => self.log.push(format!("forget {key}")),
                ClusterOutput::Released(key, handover) => {
                    self.running.remove(&key);
                    self.log.push(format!("released {key}, {} session", handover.session.iter().count()));
                }
                ClusterOutput::AwaitHandled(generation) if self.handles => {
                    self.machine.handle_handled(generation);
                }
                ClusterOutput::AwaitHandled(generation) => self.log.push(format!("await {generation}")),
                ClusterOutput::StopReading => self.log.push("stop reading".to_owned()),
                ClusterOutput::Ended => self.ended = true,
            }
        }
    }

    fn come_up(&mut self, key: ShardKey, resuming: bool) {
        if resuming {
            self.event(key, Event::Resumed { replayed: 0 });
        } else {
            self.machine.handle_event(key, Event::Identifying, self.now);
            self.machine.handle_event(key, ready(0), self.now);
            self.event(key, Event::Ready);
        }
    }

    fn event(&mut self, key: ShardKey, event: Event) {
        self.machine.handle_event(key, event, self.now);
    }

    /// What was logged since the last call.
    fn said(&mut self) -> Vec<String> {
        self.run();
        std::mem::take(&mut self.log)
    }

    fn key(&self, id: u32) -> ShardKey {
        self.machine.key(shard(id, self.machine.shards())).unwrap()
    }

    /// Lets time pass until the machine waits for nothing but inputs.
    fn wait(&mut self) {
        self.run();
        while let Some(deadline) = self.machine.next_deadline() {
            self.now = self.now.max(deadline) + Duration::from_millis(10);
            self.machine.handle_timeout(self.now);
            self.run();
        }
    }
}

#[test]
fn shards_start_by_bucket_and_those_with_a_session_first() {
    let mut fleet = Fleet::new(config(1), ClusterPlan::new(4), vec![session(2, 4), session(1, 8)]);
    let said = fleet.said();
    assert_eq!(said, ["start 2,4 resuming", "start 0,4", "start 1,4", "start 3,4", "all shards are ready"]);
}

fn starts(machine: &mut ClusterMachine) -> Vec<u32> {
    let mut started = Vec::new();
    while let Some(output) = machine.poll_output() {
        if let ClusterOutput::Start { key, .. } = output {
            started.push(key.shard.id());
        }
    }
    started
}

#[test]
fn a_bucket_starts_when_the_one_before_has_identified() {
    let now = Instant::now();
    let mut machine = ClusterMachine::new(config(2), ClusterPlan::new(7), [session(5, 7)], now).unwrap();
    let key = |id| ShardKey { generation: Generation::FIRST, shard: shard(id, 7) };
    assert_eq!(starts(&mut machine), [5, 0, 1], "a Resume needs no permit");
    machine.handle_event(key(1), Event::Identifying, now);
    machine.handle_event(key(5), Event::Resumed { replayed: 0 }, now);
    assert!(starts(&mut machine).is_empty(), "0 has not identified");
    machine.handle_event(key(0), Event::Identifying, now);
    assert_eq!(starts(&mut machine), [2, 3]);
    // One is up, and one cannot be reached: neither keeps others waiting.
    machine.handle_event(key(2), Event::Identifying, now);
    machine.handle_event(key(3), cut_off(), now);
    assert_eq!(starts(&mut machine), [4]);
    let reason = StopReason::Rejected(Rejection::InvalidShard);
    machine.handle_stopped(key(4), reason, None, now);
    assert_eq!(starts(&mut machine), [6]);
}

#[test]
fn no_more_shards_are_on_their_way_than_can_come_up_soon() {
    let now = Instant::now();
    let sessions = || (0..100).map(|id| session(id, 100));
    let mut machine = ClusterMachine::new(config(1), ClusterPlan::new(100), sessions(), now).unwrap();
    let first = starts(&mut machine);
    assert_eq!(first.len(), 16);
    let key = |id| ShardKey { generation: Generation::FIRST, shard: shard(id, 100) };
    // One is up, and one cannot be reached: neither keeps others waiting.
    machine.handle_event(key(first[0]), Event::Resumed { replayed: 0 }, now);
    machine.handle_event(key(first[1]), cut_off(), now);
    assert_eq!(starts(&mut machine), [16, 17]);
    let mut wide = ClusterMachine::new(config(16), ClusterPlan::new(100), sessions(), now).unwrap();
    assert_eq!(starts(&mut wide).len(), 32);
}

#[test]
fn what_concerns_the_whole_bot_stops_it_before_every_shard_has_tried() {
    let mut fleet = Fleet::new(config(4), ClusterPlan::new(40), vec![]);
    fleet.machine = ClusterMachine::new(config(4), ClusterPlan::new(40), [], fleet.now).unwrap();
    fleet.running.clear();
    (fleet.prompt, fleet.log) = (false, Vec::new());
    fleet.said();
    let reason = StopReason::Rejected(Rejection::DisallowedIntents);
    fleet.event(fleet.key(0), Event::Identifying);
    fleet.event(fleet.key(1), Event::Identifying);
    fleet.running.remove(&fleet.key(0));
    fleet.machine.handle_stopped(fleet.key(0), reason.clone(), None, fleet.now);
    let said = fleet.said();
    let count = |what: &str| said.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count("shut down"), 2, "2 and 3 wait for a permit: {said:?}");
    assert_eq!(count(&format!("stopped: {reason}")), 39, "all but 1, with the reason that it has: {said:?}");
    assert!(!fleet.ended, "1 has sent Identify already");
    fleet.machine.handle_stopped(fleet.key(1), reason, None, fleet.now);
    fleet.run();
    assert!(fleet.ended, "no shard is left");
}

#[test]
fn a_bot_whose_every_shard_has_too_many_guilds_can_be_resharded() {
    let mut fleet = Fleet::new(config(2), ClusterPlan::new(2), vec![]);
    fleet.said();
    let reason = StopReason::Rejected(Rejection::ShardingRequired);
    for id in [0, 1] {
        fleet.machine.handle_stopped(fleet.key(id), reason.clone(), None, fleet.now);
    }
    fleet.run();
    assert!(!fleet.ended, "the advice is not answered");
    fleet.machine.reshard(4, fleet.now).unwrap();
    fleet.wait();
    assert_eq!((fleet.machine.shards(), fleet.ended), (4, false), "{:?}", fleet.said());
    let mut fleet = Fleet::new(config(2), ClusterPlan::new(2), vec![]);
    for id in [0, 1] {
        fleet.machine.handle_stopped(fleet.key(id), reason.clone(), None, fleet.now);
    }
    fleet.machine.shutdown(Shutdown::Resumable);
    fleet.run();
    assert!(fleet.ended);
}

#[test]
fn a_shard_that_is_rejected_leaves_the_others_alone() {
    let mut fleet = Fleet::new(config(1), ClusterPlan::new(3), vec![]);
    fleet.said();
    let key = fleet.key(1);
    let reason = StopReason::Rejected(Rejection::ShardingRequired);
    fleet.machine.handle_stopped(key, reason.clone(), None, fleet.now);
    assert_eq!(
        fleet.said(),
        [format!("1,3 stopped: {reason}"), "a shard would have too many guilds".to_owned()]
    );
    assert_eq!(fleet.machine.stop_reason(key), Some(&reason));
    fleet.machine.restart(shard(1, 3)).unwrap();
    fleet.machine.restart(shard(0, 3)).unwrap();
    assert_eq!(fleet.said(), ["start 1,3", "reconnect 0,3"]);
    assert_eq!(fleet.machine.restart(shard(1, 4)), Err(ClusterError::NoSuchShard(shard(1, 4))));
    assert!(!fleet.ended);
}

#[test]
fn a_rolling_restart_waits_for_each_bucket() {
    let mut fleet = Fleet::new(config(2), ClusterPlan::new(5), vec![]);
    fleet.said();
    fleet.machine.rolling_restart().unwrap();
    assert_eq!(fleet.machine.rolling_restart(), Err(ClusterError::Rolling));
    assert_eq!(fleet.machine.reshard(2, fleet.now), Err(ClusterError::Rolling));
    assert_eq!(fleet.said(), ["reconnect 0,5", "reconnect 1,5"]);
    for id in [0, 1] {
        fleet.event(fleet.key(id), cut_off());
    }
    fleet.event(fleet.key(0), Event::Resumed { replayed: 0 });
    assert!(fleet.said().is_empty(), "the other one of the bucket is down");
    fleet.event(fleet.key(3), cut_off());
    fleet.event(fleet.key(1), Event::Resumed { replayed: 0 });
    assert_eq!(fleet.said(), ["reconnect 2,5"], "3 reconnects by itself");
    let reason = StopReason::Rejected(Rejection::AuthenticationFailed);
    fleet.machine.handle_stopped(fleet.key(2), reason, None, fleet.now);
    assert_eq!(fleet.said()[1..], ["reconnect 4,5"]);
    fleet.event(fleet.key(4), Event::Resumed { replayed: 0 });
    assert_eq!(fleet.said(), ["the rolling restart is done"]);
}

#[test]
fn what_an_event_completes_is_told_after_it() {
    let mut fleet = Fleet::new(config(1), ClusterPlan::new(1), vec![]);
    fleet.said();
    fleet.machine = ClusterMachine::new(config(1), ClusterPlan::new(1), [], fleet.now).unwrap();
    fleet.machine.handle_event(fleet.key(0), Event::Ready, fleet.now);
    let mut delivered = Vec::new();
    while let Some(output) = fleet.machine.poll_output() {
        if let ClusterOutput::Deliver(_, event) = output {
            delivered.push(event.to_string());
        }
    }
    assert_eq!(delivered, ["ready", "all shards are ready"]);
}

#[test]
fn a_shard_is_handed_over_once() {
    let mut one = Fleet::new(config(1), ClusterPlan::new(2), vec![]);
    one.said();
    one.machine.release(shard(1, 2)).unwrap();
    assert_eq!(one.machine.release(shard(1, 2)), Err(ClusterError::NoSuchShard(shard(1, 2))));
    assert_eq!(one.said(), ["shut down 1,2 Resumable", "released 1,2, 1 session"]);
    assert_eq!(one.machine.release(shard(1, 2)), Err(ClusterError::NoSuchShard(shard(1, 2))));
    assert_eq!(one.machine.reshard(4, one.now), Err(ClusterError::NotWhole));

    let range = ClusterConfig { range: Some(0..1), ..config(1) };
    let mut other = Fleet::new(range, ClusterPlan::new(2), vec![]);
    other.said();
    let handover =
        Handover { shard: shard(1, 2), generation: Generation::FIRST, session: Some(session(1, 2)) };
    let stranger = Handover { session: Some(session(0, 2)), ..handover.clone() };
    assert_eq!(other.machine.adopt(stranger), Err(ClusterError::OtherGeneration(shard(1, 2))));
    let later = Handover { generation: Generation(2), ..handover.clone() };
    assert_eq!(other.machine.adopt(later), Err(ClusterError::OtherGeneration(shard(1, 2))));
    other.machine.adopt(handover.clone()).unwrap();
    assert_eq!(other.machine.adopt(handover), Err(ClusterError::AlreadyHere(shard(1, 2))));
    assert_eq!(other.said(), ["start 1,2 resuming"]);
}

#[test]
fn a_drained_cluster_ends_resumably() {
    let mut fleet = Fleet::new(config(1), ClusterPlan::new(2), vec![]);
    fleet.said();
    let deadline = fleet.now + Duration::from_secs(10);
    fleet.machine.drain(deadline);
    assert_eq!(fleet.machine.next_deadline(), Some(deadline));
    assert_eq!(fleet.machine.restart(shard(0, 2)), Err(ClusterError::Ending));
    assert_eq!(fleet.said(), ["stop reading"]);
    fleet.machine.handle_drained();
    assert_eq!(fleet.said(), ["shut down 0,2 Resumable", "shut down 1,2 Resumable"]);
    assert!(fleet.ended);

    let mut slow = Fleet::new(config(1), ClusterPlan::new(1), vec![]);
    slow.machine.drain(slow.now + Duration::from_secs(10));
    slow.wait();
    assert!(slow.ended, "the deadline has passed");
}

#[test]
fn a_bot_is_resharded_phase_by_phase() {
    let mut fleet = Fleet::new(config(1), ClusterPlan::new(2), vec![]);
    fleet.said();
    fleet.machine.reshard(3, fleet.now).unwrap();
    assert_eq!(fleet.machine.reshard(4, fleet.now), Err(ClusterError::Resharding));
    fleet.wait();
    assert_eq!(
        fleet.said(),
        [
            "persist Some(Preparing)",
            "resharding from 2 to 3: new sessions are started",
            "start 0,3 (generation 2)",
            "start 1,3 (generation 2)",
            "start 2,3 (generation 2)",
            "resharding: all new sessions are up",
            "persist Some(CuttingOver)",
            "resharding: guilds are switched",
            "persist None",
            "shut down 0,2 LogOff",
            "shut down 1,2 LogOff",
            "resharded: matched=0 silent=1 unmatched=0",
            "forget 0,2",
            "forget 1,2",
        ]
    );
    assert_eq!((fleet.machine.generation(), fleet.machine.shards()), (Generation(2), 3));
    let plan = fleet.plan.take().unwrap();
    assert_eq!((plan.generation, plan.shards, plan.reshard), (Generation(2), 3, None));
}

#[test]
fn a_reshard_is_aborted_until_the_cutover() {
    let mut fleet = Fleet::new(config(2), ClusterPlan::new(1), vec![]);
    fleet.said();
    assert_eq!(fleet.machine.abort_reshard(), Err(ClusterError::NotResharding));
    fleet.prompt = false;
    fleet.machine.reshard(2, fleet.now).unwrap();
    fleet.said();
    fleet.machine.abort_reshard().unwrap();
    let said = fleet.said();
    assert_eq!(
        said,
        [
            "shut down 0,2 (generation 2) LogOff",
            "shut down 1,2 (generation 2) LogOff",
            "persist None",
            "the reshard was aborted: the application asked for it",
            "forget 0,2 (generation 2)",
            "forget 1,2 (generation 2)",
        ]
    );
    assert_eq!(fleet.machine.shards(), 1);

    fleet.machine.reshard(2, fleet.now).unwrap();
    fleet.said();
    let key = ShardKey { generation: Generation(2), shard: shard(1, 2) };
    fleet.running.remove(&key);
    fleet.machine.handle_stopped(key, StopReason::Rejected(Rejection::InvalidShard), None, fleet.now);
    assert!(
        fleet.said().iter().any(|line| line.starts_with("the reshard was aborted: shard 1,2 has stopped"))
    );
}

#[test]
fn a_plan_that_cannot_be_written_begins_nothing_and_ends_nothing() {
    let mut fleet = Fleet::new(config(2), ClusterPlan::new(1), vec![]);
    fleet.said();
    fleet.writable = false;
    fleet.machine.reshard(2, fleet.now).unwrap();
    assert_eq!(
        fleet.said(),
        [
            "persist Some(Preparing)",
            "persist None",
            "the reshard was aborted: the plan of the cluster cannot be written"
        ]
    );
    fleet.writable = true;
    fleet.prompt = false;
    fleet.machine.reshard(2, fleet.now).unwrap();
    fleet.run();
    fleet.writable = false;
    let new: Vec<ShardKey> =
        fleet.running.iter().copied().filter(|key| key.generation == Generation(2)).collect();
    for key in new {
        fleet.come_up(key, false);
    }
    for _ in 0..100 {
        fleet.now += Duration::from_secs(1);
        fleet.machine.handle_timeout(fleet.now);
        fleet.run();
    }
    let said = fleet.said();
    let tries = said.iter().filter(|line| *line == "persist Some(CuttingOver)").count();
    assert!((10..=30).contains(&tries), "{tries}: each 5 s");
    assert_eq!(fleet.machine.abort_reshard(), Err(ClusterError::CutoverBegun), "it may have been written");
    fleet.writable = true;
    fleet.wait();
    assert_eq!(fleet.machine.shards(), 2);
}

#[test]
fn a_later_process_goes_on_with_what_the_plan_says() {
    let plan = |phase| ClusterPlan { reshard: Some(ReshardPlan { shards: 2, phase }), ..ClusterPlan::new(1) };
    let sessions = || vec![session(0, 1), session(0, 2), session(1, 2)];

    let mut fleet = Fleet::new(config(1), plan(ReshardPhase::Preparing), sessions());
    assert_eq!(
        fleet.said(),
        [
            "forget 0,2 (generation 2)",
            "forget 1,2 (generation 2)",
            "persist None",
            "the reshard was aborted: the process that began it has ended",
            "start 0,1 resuming",
            "all shards are ready",
        ]
    );

    let mut fleet = Fleet::new(config(1), plan(ReshardPhase::CuttingOver), sessions());
    fleet.wait();
    let said = fleet.said();
    assert_eq!(said[..2], ["resharding: guilds are switched", "start 0,1 resuming"]);
    assert!(said.contains(&"start 1,2 (generation 2) resuming".to_owned()), "{said:?}");
    assert_eq!(fleet.machine.shards(), 2);

    // What cannot be resumed is not started again: the new generation takes over.
    let mut fleet = Fleet::new(config(1), plan(ReshardPhase::CuttingOver), vec![]);
    fleet.wait();
    let said = fleet.said();
    assert!(!said.iter().any(|line| line == "start 0,1"), "{said:?}");
    assert_eq!(fleet.machine.shards(), 2);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let now = Instant::now();
    let new = |range, shards| {
        ClusterMachine::new(ClusterConfig { range, ..config(0) }, ClusterPlan::new(shards), [], now)
            .map(|_| ())
    };
    assert_eq!(new(None, 0), Err(ClusterError::NoShards));
    assert_eq!(new(Some(1..1), 2), Err(ClusterError::Range { from: 1, to: 1, total: 2 }));
    assert_eq!(new(Some(1..3), 2), Err(ClusterError::Range { from: 1, to: 3, total: 2 }));
    assert_eq!(new(Some(1..2), 2), Ok(()));
    let mut fleet = Fleet::new(config(1), ClusterPlan::new(2), vec![]);
    assert_eq!(fleet.machine.reshard(0, now), Err(ClusterError::NoShards));
    assert_eq!(fleet.machine.reshard(2, now), Err(ClusterError::SameCount));
    fleet.event(fleet.key(0), ready(2501));
    assert_eq!(fleet.machine.reshard(1, now), Err(ClusterError::TooFewShards { shards: 1, guilds: 2501 }));
    let mut part = Fleet::new(ClusterConfig { range: Some(0..1), ..config(1) }, ClusterPlan::new(2), vec![]);
    assert_eq!(part.machine.reshard(4, now), Err(ClusterError::NotWhole));
}

#[test]
fn a_recommendation_is_told_once() {
    let mut fleet = Fleet::new(config(1), ClusterPlan::new(2), vec![]);
    fleet.said();
    [2, 4, 4, 0].into_iter().for_each(|shards| fleet.machine.handle_recommendation(shards));
    assert_eq!(fleet.said(), ["another number of shards is recommended: 4"]);
}

#[test]
fn commands_follow_the_guild() {
    let mut fleet = Fleet::new(config(1), ClusterPlan::new(2), vec![]);
    let guild = Snowflake(5 << 22);
    assert_eq!(fleet.machine.shard_of(guild).to_string(), "1,2");
    fleet.machine.reshard(3, fleet.now).unwrap();
    fleet.run();
    assert_eq!(fleet.machine.shard_of(guild).to_string(), "1,2", "until it is switched");
    fleet.wait();
    assert_eq!(fleet.machine.shard_of(guild).to_string(), "2,3 (generation 2)");
}

/// A machine with these shards, all ready, whose outputs are taken.
fn ready_machine(shards: u32) -> (ClusterMachine, Instant) {
    let now = Instant::now();
    let mut machine = ClusterMachine::new(config(2), ClusterPlan::new(shards), [], now).unwrap();
    for id in 0..shards {
        let key = machine.key(shard(id, shards)).unwrap();
        machine.handle_event(key, Event::Ready, now);
    }
    while machine.poll_output().is_some() {}
    (machine, now)
}

/// Takes the outputs, and writes each plan at once.
fn persist(machine: &mut ClusterMachine, now: Instant) -> Vec<ClusterOutput> {
    let mut outputs = Vec::new();
    while let Some(output) = machine.poll_output() {
        if let ClusterOutput::Persist { number, .. } = &output {
            machine.handle_persisted(*number, true, now);
        }
        outputs.push(output);
    }
    outputs
}

#[test]
fn dispatches_of_sessions_that_are_being_ended_go_through_the_machine() {
    let (mut machine, mut now) = ready_machine(1);
    machine.reshard(2, now).unwrap();
    persist(&mut machine, now);
    for id in 0..2 {
        let key = ShardKey { generation: Generation(2), shard: shard(id, 2) };
        machine.handle_event(key, Event::Identifying, now);
        machine.handle_event(key, ready(0), now);
        machine.handle_event(key, Event::Ready, now);
    }
    let old = ShardKey { generation: Generation(1), shard: shard(0, 1) };
    while machine.generation() == Generation(1) {
        now += Duration::from_secs(1);
        machine.handle_timeout(now);
        for output in persist(&mut machine, now) {
            if let ClusterOutput::Heartbeat(key) = output {
                let event = Event::HeartbeatAcknowledged { sent: now, latency: Duration::ZERO };
                machine.handle_event(key, event, now);
            }
        }
    }
    assert!(machine.members().any(|key| key == old), "it is still shutting down");
    assert!(machine.is_resharding(), "what it receives is not to be delivered");
    machine.handle_stopped(old, StopReason::Shutdown(Shutdown::LogOff), None, now);
    assert!(!machine.is_resharding());
}

/// The generation that was aborted has the same shards as the next that is begun.
#[test]
fn a_reshard_does_not_begin_before_the_sessions_of_one_that_was_aborted_have_ended() {
    let (mut machine, now) = ready_machine(1);
    machine.reshard(2, now).unwrap();
    let outputs = persist(&mut machine, now);
    let started: Vec<ShardKey> = outputs
        .iter()
        .filter_map(|output| match output {
            ClusterOutput::Start { key, .. } => Some(*key),
            _ => None,
        })
        .collect();
    assert_eq!(started.len(), 2);
    machine.abort_reshard().unwrap();
    assert_eq!(machine.reshard(2, now), Err(ClusterError::Resharding));
    for key in started {
        machine.handle_stopped(key, StopReason::Shutdown(Shutdown::LogOff), None, now);
    }
    machine.reshard(2, now).unwrap();
}

/// A crash before that must find both generations, so that the old sessions replay what was not handled.
#[test]
fn a_reshard_does_not_end_before_the_application_has_handled_what_it_got_of_the_old_generation() {
    let mut fleet = Fleet::new(config(16), ClusterPlan::new(1), vec![]);
    fleet.handles = false;
    fleet.machine.reshard(2, fleet.now).unwrap();
    fleet.run();
    while !fleet.said().contains(&"await 1".to_owned()) {
        fleet.now = fleet.machine.next_deadline().unwrap();
        fleet.machine.handle_timeout(fleet.now);
    }
    assert_eq!(fleet.plan.as_ref().unwrap().reshard.unwrap().phase, ReshardPhase::CuttingOver);
    assert_eq!(fleet.machine.generation(), Generation(1));
    fleet.machine.handle_handled(Generation(1));
    fleet.run();
    assert_eq!(fleet.plan.as_ref().unwrap().reshard, None);
    assert_eq!(fleet.machine.generation(), Generation(2));
}

#[test]
fn a_bot_that_was_closed_with_4011_can_be_resharded_and_ends_if_it_is_not() {
    let rejected = StopReason::Rejected(Rejection::ShardingRequired);
    for answers in [true, false] {
        let mut fleet = Fleet::new(config(16), ClusterPlan::new(1), vec![]);
        let key = fleet.key(0);
        fleet.running.remove(&key);
        fleet.machine.handle_stopped(key, rejected.clone(), None, fleet.now);
        fleet.run();
        assert!(!fleet.ended);
        if answers {
            fleet.machine.reshard(2, fleet.now).unwrap();
        }
        fleet.wait();
        assert_eq!(fleet.ended, !answers);
        assert_eq!(fleet.machine.shards(), if answers { 2 } else { 1 });
    }
}

#[test]
fn a_recommendation_that_is_heard_during_a_reshard_is_told_after_it() {
    let mut fleet = Fleet::new(config(16), ClusterPlan::new(1), vec![]);
    fleet.machine.reshard(2, fleet.now).unwrap();
    fleet.run();
    fleet.machine.handle_recommendation(4);
    assert!(!fleet.said().iter().any(|line| line.contains("recommended")));
    fleet.wait();
    let told = fleet.said();
    assert!(told.iter().any(|line| line == "another number of shards is recommended: 4"), "{told:?}");
}

#[test]
fn a_shard_that_has_stopped_with_a_session_resumes_it_when_it_is_restarted() {
    let mut fleet = Fleet::new(config(16), ClusterPlan::new(2), vec![]);
    let key = fleet.key(0);
    fleet.running.remove(&key);
    let reason = StopReason::Shutdown(Shutdown::Resumable);
    fleet.machine.handle_stopped(key, reason, Some(session(0, 2)), fleet.now);
    fleet.said();
    fleet.machine.restart(key.shard).unwrap();
    assert_eq!(fleet.said()[0], "start 0,2 resuming");
}

/// No wait of a caller's is too long to be added to the time.
#[test]
fn the_longest_waits_are_waits() {
    let mut longest = config(16);
    (longest.overlap, longest.silence) = (Duration::MAX, Duration::MAX);
    let mut fleet = Fleet::new(longest, ClusterPlan::new(1), vec![]);
    fleet.machine.reshard(2, fleet.now).unwrap();
    fleet.said();
    fleet.machine.abort_reshard().unwrap();
}

/// The server acknowledges heartbeats on a connection on which it has not resumed the session yet, and sends none of its events.
#[test]
fn a_heartbeat_before_resumed_proves_nothing() {
    let (mut machine, mut now) = ready_machine(1);
    machine.reshard(2, now).unwrap();
    persist(&mut machine, now);
    for id in 0..2 {
        let key = ShardKey { generation: Generation(2), shard: shard(id, 2) };
        machine.handle_event(key, Event::Identifying, now);
        machine.handle_event(key, ready(0), now);
        machine.handle_event(key, Event::Ready, now);
    }
    let old = ShardKey { generation: Generation(1), shard: shard(0, 1) };
    machine.handle_event(old, cut_off(), now);
    let wait = |machine: &mut ClusterMachine, now: &mut Instant| {
        for _ in 0..200 {
            *now += Duration::from_secs(1);
            machine.handle_timeout(*now);
            for output in persist(machine, *now) {
                if let ClusterOutput::Heartbeat(key) = output {
                    let event = Event::HeartbeatAcknowledged { sent: *now, latency: Duration::ZERO };
                    machine.handle_event(key, event, *now);
                }
            }
        }
        machine.generation()
    };
    assert_eq!(wait(&mut machine, &mut now), Generation(1));
    machine.handle_event(old, Event::Resumed { replayed: 3 }, now);
    assert_eq!(wait(&mut machine, &mut now), Generation(2));
}
