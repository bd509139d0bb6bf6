//! A process of the cluster from its beginning to its end: it moves the machine, and carries out what that asks for, as an async driver
//! would.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use gateway_cluster::{ClusterEvent, ClusterMachine, ClusterOutput, ReshardPhase, ShardKey};
use gateway_proto::codec::{Envelope, RawRef};
use gateway_proto::config::Delivery;
use gateway_proto::session::{AckTracker, DispatchKey, SessionSnapshot};
use gateway_proto::{
    Dispatch, Event as Said, GatewayUrl, Intents, Message, Output, ShardConfig, ShardId, Shutdown, StopReason,
};

use super::application::{Application, Item, Mark, QUEUE};
use super::observation::ClusterObservation;
use super::storage::{Write, is_planned};
use super::{ClusterWorld, Event, STORE_EVERY};
use crate::client::Client;
use crate::engine::{ClientId, Line};
use crate::observation::Observation;
use crate::plan::{READY_AT_MOST, RECOVERY, TOKEN, format_of};
use crate::time::Time;
use crate::{effect, gate};

const IDENTIFY: u64 = 2;
/// When a process begins again whose shards have all stopped.
const ALL_STOPPED: Duration = Duration::from_secs(300);
/// More dispatches than any shard of the world has outstanding.
const TRACKED: usize = 1 << 20;
/// One message may bring so many more dispatches after the application has stopped reading.
const BEYOND_QUEUE: usize = 200;

/// What runs.
pub(super) struct Process {
    pub(super) machine: ClusterMachine,
    /// What the machine asks for, besides what it says itself.
    more: VecDeque<ClusterOutput>,
    pub(super) slots: BTreeMap<ShardKey, Slot>,
    keys: BTreeMap<ClientId, ShardKey>,
    pub(super) application: Application,
    /// What was received and is neither dealt with nor discarded.
    received: BTreeMap<DispatchKey, Received>,
    /// Sockets are read.
    reads: bool,
    /// The cluster has asked for nothing more to be read, and has not been told that the application is done.
    draining: bool,
    /// It was asked to end.
    pub(super) leaving: bool,
    ended: bool,
    pub(super) timer_at: Option<Time>,
    /// Shards of which the application knows that they have stopped for good.
    pub(super) told_stopped: BTreeSet<ShardKey>,
    /// Shards that are elsewhere, or on their way there, and for how long.
    pub(super) handed_over: BTreeMap<ShardKey, Duration>,
}

/// A shard that runs.
pub(super) struct Slot {
    pub(super) client: ClientId,
    tracker: AckTracker,
    /// The newest dispatch of its session that the shard knows to be dealt with; 0 for none.
    handled: u64,
    pub(super) session_id: Option<String>,
    standing: bool,
    pub(super) is_shut_down: bool,
}

/// A dispatch.
struct Received {
    from: ShardKey,
    at: Time,
    /// The number and the guild of what happened. None: it is of the session alone.
    event: Option<(u64, u64)>,
}

impl Process {
    pub(super) fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.slots.values().map(|slot| slot.client)
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// What the rules are shown long after the last fault.
    pub(super) fn calm(&self, starts_left: bool, now: Time) -> ClusterObservation<'static> {
        let plan = self.machine.plan();
        let all = (0..plan.shards).filter_map(|id| ShardId::new(id, plan.shards).ok());
        let missing = all.map(|shard| ShardKey { generation: plan.generation, shard }).filter(|key| {
            !self.slots.contains_key(key)
                && !self.told_stopped.contains(key)
                && !self.handed_over.contains_key(key)
        });
        let old = |slot: &&Slot| {
            let oldest = slot.tracker.oldest().and_then(|key| self.received.get(&key));
            oldest.is_some_and(|received| now.since(received.at) >= RECOVERY)
        };
        ClusterObservation::Calm {
            runs: true,
            resharding: starts_left && plan.reshard.is_some(),
            missing: if starts_left { missing.count() } else { 0 },
            outstanding: self.slots.values().filter(old).map(|slot| slot.tracker.outstanding()).sum(),
        }
    }
}

// ---- Beginning and end ------------------------------------------------------------------------------------------------------------

impl ClusterWorld {
    pub(super) fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("only a process that runs is asked for")
    }

    /// The next process begins then, or once what the last one writes is written.
    pub(super) fn begin_at(&mut self, at: Time) {
        self.begins_at = at.max(self.storage.idle_at());
        self.engine.plan(self.begins_at, Event::Begin(self.epoch));
    }

    pub(super) fn begin(&mut self) {
        self.epoch += 1;
        self.counts.processes += 1;
        let plan = self.storage.plan().clone();
        let stored = self.storage.take_sessions();
        let ledger = self.engine.gateway().ledger();
        let on: BTreeMap<ShardKey, u64> = stored
            .iter()
            .filter_map(|(key, session)| Some((*key, ledger.session(&session_id(session)?)?)))
            .collect();
        let before = std::mem::replace(&mut self.sessions, on);
        let lost: Vec<u64> = before
            .into_iter()
            .filter(|(key, session)| is_planned(&plan, *key) && self.sessions.get(key) != Some(session))
            .map(|(_, session)| session)
            .collect();
        let cutting_over = plan.reshard.is_some_and(|reshard| reshard.phase == ReshardPhase::CuttingOver);
        self.counts.cutovers_resumed += u64::from(cutting_over);
        self.engine.observer.retain(|key| is_planned(&plan, key));
        self.show(&ClusterObservation::Began { cutting_over });
        lost.into_iter().for_each(|session| self.show(&ClusterObservation::SessionLost { session }));
        let now = self.engine.client_now();
        let machine = ClusterMachine::new(self.config.clone(), plan, stored.into_values(), now);
        self.process = Some(Process {
            machine: machine.expect("the world's configuration can be used"),
            more: VecDeque::new(),
            slots: BTreeMap::new(),
            keys: BTreeMap::new(),
            application: Application::new(self.rng.u64(..)),
            received: BTreeMap::new(),
            reads: true,
            draining: false,
            leaving: false,
            ended: false,
            timer_at: None,
            told_stopped: BTreeSet::new(),
            handed_over: BTreeMap::new(),
        });
        self.engine.plan(self.engine.now() + STORE_EVERY, Event::Store(self.epoch));
        self.pump();
    }

    /// The process dies, and what it has not written is lost.
    pub(super) fn crash(&mut self, lasting: Duration) {
        self.note(|| "the process dies".to_owned());
        self.end_process();
        self.storage.crash();
        // The gate dies with it.
        let (at, now) = (self.engine.now(), self.engine.client_now());
        let gate = gate::restored(2 * self.setting.shards, &self.limit, self.kept.as_ref(), at, now);
        self.engine.replace_gate(gate);
        self.begin_at(at + lasting);
    }

    fn end_process(&mut self) {
        let Some(process) = self.process.take() else { return };
        for client in process.clients() {
            self.show_shard(client, &Observation::Died);
            self.engine.remove(client);
        }
        self.set_rush(false);
    }

    // ---- The machine ----------------------------------------------------------------------------------------------

    pub(super) fn timer(&mut self) {
        self.show_lost_sessions();
        let now = self.engine.client_now();
        let process = self.process_mut();
        process.timer_at = None;
        process.machine.handle_timeout(now);
        self.pump();
    }

    /// Carries out what the machine asks for.
    pub(super) fn pump(&mut self) {
        let mut deliveries = 0;
        while let Some(output) = self.next_output() {
            self.carry_out(output, &mut deliveries);
        }
        let bound = self.config.held_bytes;
        let Some(process) = &mut self.process else { return };
        let held = self.between.held_bytes(process.machine.held_bytes());
        let waiting = process.application.waiting_fresh();
        if process.ended {
            self.end_process();
            let at = self.begins_at.max(self.engine.now());
            return self.begin_at(at);
        }
        self.plan_timer();
        self.go_on_reading();
        self.show(&ClusterObservation::Sizes {
            held,
            held_bound: bound,
            waiting,
            waiting_bound: QUEUE + BEYOND_QUEUE,
        });
    }

    fn next_output(&mut self) -> Option<ClusterOutput> {
        let process = self.process.as_mut()?;
        loop {
            if let Some(output) = process.more.pop_front() {
                return Some(output);
            }
            let output = process.machine.poll_output()?;
            if let Some(output) = self.between.output(output, &mut process.more) {
                return Some(output);
            }
        }
    }

    fn plan_timer(&mut self) {
        let process = self.process_mut();
        let Some(deadline) = process.machine.next_deadline() else { return };
        let at = self.engine.time_of(deadline).max(self.engine.now());
        let process = self.process_mut();
        if process.timer_at.is_none_or(|timer_at| at < timer_at) {
            process.timer_at = Some(at);
            self.engine.plan(at, Event::Timer(self.epoch));
        }
    }

    fn carry_out(&mut self, output: ClusterOutput, deliveries: &mut usize) {
        if !matches!(output, ClusterOutput::Deliver(_, ClusterEvent::Shard(_))) {
            self.note(|| format!("{output:?}"));
        }
        match output {
            ClusterOutput::Start { key, session } => self.start(key, session),
            ClusterOutput::Reconnect(key, how) => {
                if let Some(client) = self.client_of(key) {
                    self.engine.client_mut(client).into_iter().for_each(|client| client.reconnect(how));
                    self.show_shard(client, &Observation::UserAsked { gives_up_session: false });
                }
            }
            ClusterOutput::ShutDown(key, how) => self.shut_down(key, how),
            ClusterOutput::Heartbeat(key) => {
                if let Some(client) = self.client_of(key) {
                    self.engine.client_mut(client).into_iter().for_each(Client::heartbeat);
                }
            }
            ClusterOutput::Deliver(Some(key), ClusterEvent::Shard(Said::Dispatch(dispatch))) => {
                *deliveries += 1;
                self.deliver(key, &dispatch, *deliveries > 1);
            }
            ClusterOutput::Deliver(_, ClusterEvent::Shard(_)) => {}
            ClusterOutput::Deliver(key, event) => self.told(key, &event),
            ClusterOutput::Discard(key, Some(dispatch)) => {
                self.mark(Mark::Discarded(key, dispatch));
            }
            ClusterOutput::Discard(_, None) => {}
            ClusterOutput::Persist { number, plan } => self.mark(Mark::Plan(number, plan)),
            ClusterOutput::Forget(key) => {
                self.sessions.remove(&key);
                self.engine.observer.retain(|kept| kept != key);
                self.write(Write::Session(key, None));
            }
            ClusterOutput::Released(key, handover) => {
                self.write(Write::Session(key, None));
                let lasting = self.process_mut().handed_over.get(&key).copied().unwrap_or_default();
                let at = self.engine.now() + lasting;
                self.engine.plan(at, Event::Adopt(self.epoch, Box::new(handover)));
            }
            ClusterOutput::StopReading => {
                self.process_mut().draining = true;
                self.set_reading(false);
                self.drained();
            }
            ClusterOutput::Ended => {
                let now = self.engine.now();
                let process = self.process_mut();
                process.ended = true;
                if !process.leaving {
                    self.begins_at = now + ALL_STOPPED;
                }
            }
            // What was added since means nothing here.
            _ => {}
        }
    }

    fn client_of(&self, key: ShardKey) -> Option<ClientId> {
        self.process.as_ref()?.slots.get(&key).map(|slot| slot.client)
    }

    pub(super) fn session_of(&self, client: ClientId) -> Option<u64> {
        let process = self.process.as_ref()?;
        let slot = process.slots.get(process.keys.get(&client)?)?;
        self.engine.gateway().session_number(slot.session_id.as_ref()?)
    }

    // ---- Shards ---------------------------------------------------------------------------------------------------

    fn start(&mut self, key: ShardKey, session: Option<SessionSnapshot>) {
        let stored = self.storage.session(key).and_then(session_id);
        let lives = |id: &String| self.engine.gateway().session_number(id).is_some();
        let could_resume = stored.as_ref().is_some_and(lives);
        let runs = self.client_of(key).is_some();
        let planned = is_planned(&self.plan(), key);
        self.counts.starts += u64::from(session.is_none());
        self.process_mut().told_stopped.remove(&key);
        self.show(&ClusterObservation::Started {
            key,
            resuming: session.is_some(),
            could_resume,
            runs,
            planned,
        });
        let mut config = ShardConfig::new(TOKEN, Intents::UNPRIVILEGED | Intents::GUILD_MEMBERS);
        // So that a lost Identify is made good within the time that the world grants for it.
        config.timeouts.ready_at_most = READY_AT_MOST;
        config.shard = key.shard;
        config.url = "wss://gateway.world".to_owned();
        (config.encoding, config.compression) = format_of(key.shard.id());
        config.seed = Some(self.rng.u64(..));
        config.delivery = Delivery::Acknowledged;
        let resumes_from = session.as_ref().map(SessionSnapshot::sequence);
        let slot_session = session.as_ref().and_then(session_id);
        config.session = session;
        let client = (self.make)(config, self.engine.client_now());
        let client = self.engine.add(client.expect("the world's configuration can be used"));
        self.engine.observer.enter(key, client);
        self.show_shard(client, &Observation::Started { resumes_from });
        let process = self.process_mut();
        process.keys.insert(client, key);
        let slot = Slot {
            client,
            tracker: AckTracker::new(TRACKED),
            handled: resumes_from.unwrap_or(0),
            session_id: slot_session,
            standing: false,
            is_shut_down: false,
        };
        process.slots.insert(key, slot);
        if !process.reads {
            self.engine.set_reading(client, false);
        }
    }

    fn shut_down(&mut self, key: ShardKey, how: Shutdown) {
        let slot = self.process_mut().slots.get_mut(&key);
        let client = slot.as_ref().map(|slot| slot.client);
        let runs = slot.is_some_and(|slot| !std::mem::replace(&mut slot.is_shut_down, true));
        self.show(&ClusterObservation::ShutDown { key, runs });
        if let Some(client) = client {
            self.engine.client_mut(client).into_iter().for_each(|client| client.shutdown(how));
            let gives_up_session = how == Shutdown::LogOff;
            self.show_shard(client, &Observation::UserAsked { gives_up_session });
        }
    }

    /// What follows from what a shard said.
    pub(super) fn said(&mut self, id: ClientId, output: Output) {
        let Some(key) = self.process.as_ref().and_then(|process| process.keys.get(&id)).copied() else {
            return;
        };
        match output {
            Output::Send(message) => self.sent(key, id, &message),
            Output::Connect(url) => self.dial(key, id, &url),
            Output::Stopped(reason) => self.stopped(key, id, reason),
            Output::Event(event) => self.shard_event(key, event),
            _ => {}
        }
    }

    fn shard_event(&mut self, key: ShardKey, event: Said) {
        self.between.input(key, &event);
        match &event {
            Said::Dispatch(dispatch) => self.receive(key, dispatch),
            Said::Identifying => self.session_ends(key),
            Said::Ready => self.slot_stands(key),
            Said::Resumed { .. } => {
                self.counts.resumed += 1;
                self.slot_stands(key);
            }
            _ => {}
        }
        let now = self.engine.client_now();
        let process = self.process.as_mut().expect("only a process that runs has shards");
        if ClusterMachine::concerns(&event) || process.machine.is_resharding() {
            process.machine.handle_event(key, event, now);
        } else {
            // As a driver does that has no need to ask.
            let output = ClusterOutput::Deliver(Some(key), ClusterEvent::Shard(event));
            let mut more = VecDeque::new();
            process.more.extend(self.between.output(output, &mut more));
            process.more.append(&mut more);
        }
        self.pump();
    }

    fn slot_stands(&mut self, key: ShardKey) {
        self.process_mut().slots.get_mut(&key).into_iter().for_each(|slot| slot.standing = true);
    }

    /// A dispatch has arrived, wherever it goes from here.
    fn receive(&mut self, key: ShardKey, dispatch: &Dispatch) {
        let at = self.engine.now();
        if dispatch.name() == "READY" {
            self.session_begins(key, dispatch);
        }
        let (Some(number), Some(sequence)) = (dispatch.key(), dispatch.sequence()) else { return };
        let ledger = self.engine.gateway().ledger();
        let event = self.sessions.get(&key).and_then(|session| ledger.event(*session, sequence));
        let event = event.map(|event| (event, guild_of(dispatch)));
        let process = self.process_mut();
        process.received.insert(number, Received { from: key, at, event });
        if let Some(slot) = process.slots.get_mut(&key) {
            slot.tracker.received(number).expect("fewer are outstanding");
        }
    }

    /// A shard begins another session: what the one before still had is lost.
    fn session_ends(&mut self, key: ShardKey) {
        if let Some(session) = self.sessions.remove(&key) {
            let process = self.process_mut();
            process.received.retain(|_, received| received.from != key);
            process.slots.get_mut(&key).into_iter().for_each(|slot| slot.handled = 0);
            self.show(&ClusterObservation::SessionLost { session });
        }
    }

    /// READY.
    fn session_begins(&mut self, key: ShardKey, ready: &Dispatch) {
        let Some(id) = ready.data().get("session_id").and_then(RawRef::as_str) else { return };
        let Some(session) = self.engine.gateway().ledger().session(&id) else { return };
        self.sessions.insert(key, session);
    }

    /// READY or RESUMED has come: the session is stored.
    pub(super) fn settled(&mut self, id: ClientId) {
        let Some(process) = &mut self.process else { return };
        let Some(key) = process.keys.get(&id).copied() else { return };
        let Some(slot) = process.slots.get_mut(&key).filter(|slot| slot.standing) else { return };
        slot.standing = false;
        let Some(client) = self.engine.client(id) else { return };
        slot.session_id = client.session().as_ref().and_then(session_id);
        let stats = client.stats().clone();
        self.show_shard(id, &Observation::Standing { stats: &stats, sequence: None });
        self.store(key);
    }

    fn sent(&mut self, key: ShardKey, id: ClientId, message: &Message) {
        let encoding = format_of(key.shard.id()).0;
        let op = Envelope::parse(message.as_bytes(), encoding).ok().map(|envelope| envelope.op);
        let identifies = op == Some(IDENTIFY);
        let session_lives = identifies && self.session_of(id).is_some();
        let bytes = message.as_bytes().len();
        self.show_shard(id, &Observation::Sent { op, bytes, session_lives });
        if identifies {
            self.counts.identifies += 1;
            let max_concurrency = self.limit.max_concurrency;
            self.show(&ClusterObservation::Identified { key, max_concurrency });
        }
    }

    fn dial(&mut self, key: ShardKey, id: ClientId, url: &GatewayUrl) {
        self.counts.connects += 1;
        let (latency, jitter) = self.setting.profile.latency();
        let line = Line { latency, jitter, seed: self.rng.u64(..) };
        let unreachable = self.unreachable.get(&(key.shard.id() % self.setting.shards));
        let now = self.engine.now();
        let how = unreachable.filter(|(_, until)| now < *until).map(|(how, _)| *how);
        self.engine.dial(id, url, line, effect::dial(how));
    }

    fn stopped(&mut self, key: ShardKey, id: ClientId, reason: StopReason) {
        let now = self.engine.client_now();
        let session = self.engine.client(id).and_then(Client::session);
        self.engine.remove(id);
        let process = self.process_mut();
        process.keys.remove(&id);
        if process.slots.get(&key).is_some_and(|slot| slot.client == id) {
            process.slots.remove(&key);
        }
        let is_planned = is_planned(&process.machine.plan(), key);
        if session.is_none()
            && let Some(session) = self.sessions.remove(&key).filter(|_| is_planned)
        {
            self.show(&ClusterObservation::SessionLost { session });
        }
        self.write(Write::Session(key, session.clone()));
        self.process_mut().machine.handle_stopped(key, reason, session, now);
        self.pump();
    }

    // ---- The application ------------------------------------------------------------------------------------------

    fn deliver(&mut self, from: ShardKey, dispatch: &Dispatch, was_held: bool) {
        let Some(key) = dispatch.key() else { return };
        let process = self.process_mut();
        let event = process.received.get(&key).and_then(|received| received.event);
        // Of a shard that has stopped since, nothing is to be acknowledged.
        let client = process.slots.get(&from).map(|slot| slot.client);
        let begins = process.application.deliver(Item { client, key, event, was_held });
        if let Some(lane) = begins {
            self.plan_work(lane);
        }
        if let Some((event, guild)) = event {
            self.counts.delivered += 1;
            self.show(&ClusterObservation::Delivered { event, guild, by: from });
        }
    }

    fn plan_work(&mut self, lane: usize) {
        let now = self.engine.now();
        let application = &mut self.process_mut().application;
        let at = now.max(application.busy_until) + application.work();
        self.engine.plan(at, Event::Work(self.epoch, lane));
    }

    /// A worker has finished something.
    pub(super) fn work(&mut self, lane: usize) {
        let now = self.engine.now();
        let application = &mut self.process_mut().application;
        if application.busy_until > now {
            return self.plan_work(lane);
        }
        for Item { client, key, event, .. } in application.finish(lane) {
            if let Some((event, guild)) = event {
                self.show(&ClusterObservation::Handled { event, guild });
            }
            client.into_iter().for_each(|client| self.done(client, key));
            self.process_mut().received.remove(&key);
        }
        if self.process_mut().application.has_work(lane) {
            self.plan_work(lane);
        }
        self.take_marks();
        self.drained();
        self.pump();
    }

    fn mark(&mut self, mark: Mark) {
        self.process_mut().application.mark(mark);
        self.take_marks();
    }

    fn take_marks(&mut self) {
        while let Some(mark) = self.process.as_mut().and_then(|process| process.application.due()) {
            match mark {
                Mark::Discarded(from, key) => {
                    if let Some(client) = self.client_of(from) {
                        self.done(client, key);
                    }
                }
                Mark::Plan(number, plan) => self.write(Write::Plan(number, plan)),
            }
        }
    }

    /// A dispatch is dealt with.
    fn done(&mut self, client: ClientId, key: DispatchKey) {
        let process = self.process_mut();
        process.received.remove(&key);
        let Some(slot) = process.keys.get(&client).and_then(|key| process.slots.get_mut(key)) else { return };
        if slot.client != client {
            return;
        }
        let Some(newest) = slot.tracker.done(key) else { return };
        slot.handled = newest.sequence();
        let Some(client_mut) = self.engine.client_mut(client) else { return };
        if let Err(error) = client_mut.ack_up_to(newest) {
            self.show_shard(client, &Observation::AcknowledgementRefused { error: &error });
        }
    }

    /// Once the application is done with everything, a cluster that drains hears of it.
    fn drained(&mut self) {
        let process = self.process_mut();
        if process.draining && process.application.is_idle() {
            process.draining = false;
            process.machine.handle_drained();
        }
    }

    /// Reads no more while too much waits, and reads again later.
    fn go_on_reading(&mut self) {
        let process = self.process_mut();
        let waiting = process.application.waiting();
        if process.reads && waiting >= QUEUE {
            self.set_reading(false);
        } else if !process.reads && !process.leaving && waiting <= QUEUE / 2 {
            self.set_reading(true);
        }
    }

    fn set_reading(&mut self, reads: bool) {
        let process = self.process_mut();
        if std::mem::replace(&mut process.reads, reads) != reads {
            let clients: Vec<ClientId> = process.clients().collect();
            clients.into_iter().for_each(|client| self.engine.set_reading(client, reads));
        }
    }

    // ---- The storage ----------------------------------------------------------------------------------------------

    fn write(&mut self, write: Write) {
        // Usually at once, now and then late.
        let delay = Duration::from_secs_f64(0.001 * 3000_f64.powf(self.rng.f64()));
        let (number, at) = self.storage.begin(write, self.engine.now() + delay);
        self.engine.plan(at, Event::Written(number));
    }

    pub(super) fn written(&mut self, number: u64) {
        let now = self.engine.now();
        let Some((Write::Plan(number, _), ok)) = self.storage.end(number, now) else { return };
        let now = self.engine.client_now();
        if let Some(process) = &mut self.process {
            process.machine.handle_persisted(number, ok, now);
            self.pump();
        }
    }

    pub(super) fn store_all(&mut self) {
        self.show_lost_sessions();
        let keys: Vec<ShardKey> = self.process_mut().slots.keys().copied().collect();
        keys.into_iter().for_each(|key| self.store(key));
    }

    fn store(&mut self, key: ShardKey) {
        let Some(slot) = self.process.as_ref().and_then(|process| process.slots.get(&key)) else { return };
        let Some(snapshot) = self.engine.client(slot.client).and_then(Client::session) else {
            return;
        };
        if slot.session_id != session_id(&snapshot) {
            // READY has not settled yet.
            return;
        }
        let (sequence, handled, client) = (snapshot.sequence(), slot.handled, slot.client);
        self.show_shard(client, &Observation::Stored { sequence, handled, exact: false });
        self.write(Write::Session(key, Some(snapshot)));
    }
}

/// The guild that a dispatch names; 0 for none.
fn guild_of(dispatch: &Dispatch) -> u64 {
    dispatch.data().get("guild_id").and_then(RawRef::as_id).unwrap_or(0)
}

/// The `session_id` within a snapshot.
fn session_id(snapshot: &SessionSnapshot) -> Option<String> {
    let stored = serde_json::to_value(snapshot).ok()?;
    Some(stored["session_id"].as_str()?.to_owned())
}
