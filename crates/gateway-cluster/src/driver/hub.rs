//! What the tasks of the shards, the lanes and the handles of a cluster share.
//!
//! Locks are taken in this order: the machine, the list of lanes, a lane. Readers are woken without any of them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

use event_listener::Event as Signal;
use gateway_driver::gate::IdentifyGate;
use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::proto::{Event, ShardId, Shutdown, Snowflake, StopReason};
use gateway_driver::store::SessionKeeper;

use super::host::Host;
use super::item::ClusterItem;
use super::lane::{Lane, Queue};
use super::members::Members;
use super::slot::{Signals, Slot};
use crate::cutover::guild_of;
use crate::time::later;
use crate::{
    ClusterEvent, ClusterMachine, ClusterOutput, ClusterPlan, Generation, Handover, ReshardEvent, ShardKey,
};

/// The shortest time between two events about sessions that cannot be kept.
const UNKEPT_EVERY: Duration = Duration::from_secs(60);

pub(crate) struct Hub {
    core: Mutex<Core>,
    lanes: RwLock<Vec<Arc<Queue>>>,
    /// Lanes that are not dropped.
    readers: AtomicUsize,
    /// Every event has to go through the machine. Changed under its lock, and looked at under a lane's.
    resharding: AtomicBool,
    pub(crate) signals: Arc<Signals>,
    /// A shard has changed its state, or something that was asked for has ended.
    pub(crate) changed: Signal,
    pub(crate) members: Members,
    pub(crate) host: Box<dyn Host>,
    pub(crate) gate: Arc<dyn IdentifyGate>,
    pub(crate) keeper: Option<Arc<SessionKeeper>>,
    /// Shards whose tasks are gone although they had not stopped.
    lost: Mutex<Vec<Arc<Slot>>>,
    /// When it was last told that a session could not be kept.
    unkept_at: Mutex<Option<Instant>>,
}

/// The machine, and what it has asked for.
pub(crate) struct Core {
    pub(crate) machine: ClusterMachine,
    /// Shards that run, and those that have stopped for good.
    pub(crate) slots: BTreeMap<ShardKey, Arc<Slot>>,
    /// Shards that were released, for those who asked.
    pub(crate) released: BTreeMap<ShardKey, Handover>,
    /// Shards that are to be started, in this order.
    pub(crate) starts: VecDeque<(ShardKey, Option<SessionSnapshot>)>,
    /// The shard that is being built, and how it is to be shut down again if that was asked for meanwhile.
    pub(crate) building: Option<(ShardKey, Option<Shutdown>)>,
    /// The generation whose shards the application has to handle everything of.
    pub(crate) awaited: Option<Generation>,
    /// Plans that are to be written, in this order.
    pub(crate) writes: VecDeque<(u64, ClusterPlan)>,
    /// Every shard of the generation in charge was ready, or has stopped.
    pub(crate) was_ready: bool,
    /// All shards have stopped.
    pub(crate) over: bool,
    /// What is to be delivered is delivered.
    pub(crate) ended: bool,
    /// When the keeper looks again.
    pub(crate) deadline: Option<Instant>,
}

impl Hub {
    pub(crate) fn new(
        machine: ClusterMachine,
        host: Box<dyn Host>,
        gate: Arc<dyn IdentifyGate>,
        keeper: Option<Arc<SessionKeeper>>,
        members: Members,
    ) -> Arc<Self> {
        let core = Core {
            machine,
            slots: BTreeMap::new(),
            released: BTreeMap::new(),
            starts: VecDeque::new(),
            building: None,
            awaited: None,
            writes: VecDeque::new(),
            was_ready: false,
            over: false,
            ended: false,
            deadline: None,
        };
        Arc::new(Self {
            core: Mutex::new(core),
            lanes: RwLock::new(vec![Arc::new(Queue::default())]),
            readers: AtomicUsize::new(1),
            resharding: AtomicBool::new(true),
            signals: Arc::new(Signals::default()),
            changed: Signal::new(),
            members,
            host,
            gate,
            keeper,
            lost: Mutex::default(),
            unkept_at: Mutex::default(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lanes(&self) -> RwLockReadGuard<'_, Vec<Arc<Queue>>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_resharding(&self) -> bool {
        self.resharding.load(Ordering::SeqCst)
    }

    /// Whether nothing reads the events any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.readers.load(Ordering::SeqCst) == 0
    }

    /// Hands an input to the machine, and does what it asks for.
    pub(crate) fn tell<T>(self: &Arc<Self>, input: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let mut wakers = Vec::new();
        let told = {
            let mut core = self.lock();
            let told = input(&mut core, self.host.now());
            self.carry_out(&mut core, &mut wakers);
            told
        };
        wakers.into_iter().for_each(Waker::wake);
        self.changed.notify(usize::MAX);
        told
    }

    pub(crate) fn handle_event(self: &Arc<Self>, slot: &Arc<Slot>, event: Event) {
        let is_new = matches!(event, Event::Ready);
        self.tell(|core, now| {
            if core.is_current(slot) {
                core.machine.handle_event(slot.key, event, now);
            }
        });
        if is_new {
            // A new session knows nothing of what the one before was asked.
            self.members.handle_new_session(slot.key, self);
        }
    }

    pub(crate) fn handle_stopped(self: &Arc<Self>, slot: &Arc<Slot>, reason: StopReason) {
        let session = slot.sender.session();
        self.tell(|core, now| {
            if core.is_current(slot) {
                core.machine.handle_stopped(slot.key, reason, session, now);
            }
        });
        self.members.handle_new_session(slot.key, self);
    }

    /// The task of a shard is gone. Handled by the task of the cluster, since a runtime may drop tasks wherever it is.
    pub(crate) fn report_lost(&self, slot: Arc<Slot>) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        self.signals.keeper.notify(usize::MAX);
    }

    pub(crate) fn handle_lost(self: &Arc<Self>) {
        let lost = std::mem::take(&mut *self.lost.lock().unwrap_or_else(PoisonError::into_inner));
        for slot in lost {
            // Its socket was closed without a word, so its session can be resumed: a restart does.
            self.handle_stopped(&slot, StopReason::Shutdown(Shutdown::Resumable));
        }
    }

    /// Tells the application something of a shard.
    pub(crate) fn report(&self, key: ShardKey, event: ClusterEvent) {
        let mut wakers = Vec::new();
        self.push(Self::item(None, Some(key), event), &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The session of a shard could not be kept.
    pub(crate) fn report_unkept(&self, shard: ShardId, error: &std::io::Error) {
        let now = self.host.now();
        {
            let mut told = self.unkept_at.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_some_and(|at| now < later(at, UNKEPT_EVERY)) {
                return;
            }
            *told = Some(now);
        }
        let event = ClusterEvent::SessionNotKept { shard, error: error.to_string() };
        let mut wakers = Vec::new();
        self.push(Self::item(None, None, event), &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// What an event is to the application. It takes a place of its shard, if there is one.
    pub(crate) fn item(slot: Option<&Arc<Slot>>, key: Option<ShardKey>, event: ClusterEvent) -> ClusterItem {
        let place = slot.map(|slot| match &event {
            ClusterEvent::Shard(Event::Dispatch(dispatch)) => {
                slot.take_place(dispatch.data().as_bytes().len(), dispatch.key())
            }
            _ => slot.take_place(0, None),
        });
        ClusterItem::new(key, event, place)
    }

    /// Delivers events of a shard which the machine need not see, unless a reshard has begun since: then it has to.
    pub(crate) fn deliver(self: &Arc<Self>, slot: &Arc<Slot>, items: Vec<ClusterItem>) {
        let mut wakers = Vec::new();
        let mut late = Vec::new();
        {
            let lanes = self.lanes();
            let mut items = items.into_iter().peekable();
            while let Some(item) = items.next() {
                let lane = lane_of(&item, lanes.len());
                let Some(queue) = lanes.get(lane) else { continue };
                let mut state = queue.lock();
                if self.is_resharding() {
                    late.push(item);
                    late.extend(items);
                    break;
                }
                let mut same = vec![item];
                while let Some(item) = items.next_if(|item| lane_of(item, lanes.len()) == lane) {
                    same.push(item);
                }
                wakers.extend(state.push(same));
            }
        }
        wakers.into_iter().for_each(Waker::wake);
        for item in late {
            if let ClusterEvent::Shard(event) = item.take_back() {
                self.handle_event(slot, event);
            }
        }
    }

    fn push(&self, item: ClusterItem, wakers: &mut Vec<Waker>) {
        let lanes = self.lanes();
        if let Some(queue) = lanes.get(lane_of(&item, lanes.len())) {
            wakers.extend(queue.lock().push([item]));
        }
    }

    /// Does what the machine asks for.
    fn carry_out(self: &Arc<Self>, core: &mut Core, wakers: &mut Vec<Waker>) {
        while let Some(output) = core.machine.poll_output() {
            match output {
                ClusterOutput::Start { key, session } => {
                    // By the task of the cluster: this may be a thread without a runtime.
                    core.starts.push_back((key, session));
                    self.signals.keeper.notify(usize::MAX);
                }
                ClusterOutput::Reconnect(key, how) => {
                    if let Some(slot) = core.slots.get(&key) {
                        slot.sender.reconnect(how);
                    }
                }
                ClusterOutput::ShutDown(key, how) => {
                    if let Some(at) = core.starts.iter().position(|(start, _)| *start == key) {
                        let session = core.starts.remove(at).and_then(|(_, session)| session);
                        let reason = StopReason::Shutdown(how);
                        core.machine.handle_stopped(key, reason, session, self.host.now());
                    } else if let Some((_, asked)) = core.building.as_mut().filter(|(built, _)| *built == key)
                    {
                        *asked = Some(how);
                    } else if let Some(slot) = core.slots.get(&key) {
                        slot.shut_down(how);
                    }
                }
                ClusterOutput::Heartbeat(key) => {
                    if let Some(slot) = core.slots.get(&key) {
                        slot.sender.heartbeat();
                    }
                }
                ClusterOutput::Deliver(key, event) => {
                    match &event {
                        ClusterEvent::AllReady => core.was_ready = true,
                        ClusterEvent::Reshard(ReshardEvent::Finished { .. } | ReshardEvent::Aborted(_)) => {
                            self.host.set_shards(core.machine.shards());
                        }
                        _ => {}
                    }
                    let slot = key.and_then(|key| core.slots.get(&key));
                    self.push(Self::item(slot, key, event), wakers);
                }
                ClusterOutput::Discard(key, dispatch) => {
                    if let Some(slot) = core.slots.get(&key) {
                        slot.discarded(dispatch);
                    }
                }
                ClusterOutput::Persist { number, plan } => {
                    core.writes.push_back((number, plan));
                    self.signals.keeper.notify(usize::MAX);
                }
                ClusterOutput::Forget(key) => {
                    core.slots.remove(&key);
                    if let Some(keeper) = &self.keeper {
                        keeper.keep(key.shard, None);
                    }
                }
                ClusterOutput::Released(key, handover) => {
                    core.slots.remove(&key);
                    core.released.insert(key, handover);
                }
                ClusterOutput::AwaitHandled(generation) => {
                    core.awaited = Some(generation);
                    self.signals.watched.store(true, Ordering::SeqCst);
                    self.signals.keeper.notify(usize::MAX);
                }
                ClusterOutput::StopReading => {
                    self.signals.draining.store(true, Ordering::SeqCst);
                    self.signals.watched.store(true, Ordering::SeqCst);
                    self.signals.keeper.notify(usize::MAX);
                }
                ClusterOutput::Ended => {
                    core.over = true;
                    self.signals.keeper.notify(usize::MAX);
                }
            }
        }
        self.set_resharding(core.machine.is_resharding());
        let deadline = core.machine.next_deadline();
        if deadline.is_some_and(|deadline| core.deadline.is_none_or(|known| deadline < known)) {
            core.deadline = deadline;
            self.signals.keeper.notify(usize::MAX);
        }
    }

    fn set_resharding(&self, resharding: bool) {
        if self.resharding.swap(resharding, Ordering::SeqCst) != resharding && resharding {
            // From here on every delivery that was under way has ended, and those that follow see the flag.
            for queue in self.lanes().iter() {
                drop(queue.lock());
            }
        }
    }

    /// Ends all lanes.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        let wakers: Vec<Waker> = self.lanes().iter().filter_map(|queue| queue.end()).collect();
        wakers.into_iter().for_each(Waker::wake);
        self.changed.notify(usize::MAX);
    }

    /// Splits the events into so many lanes, what waits already among them.
    pub(crate) fn split(self: &Arc<Self>, mut lane: Lane, count: usize) -> Vec<Lane> {
        let count = count.max(1);
        let queues: Vec<Arc<Queue>> = (0..count).map(|_| Arc::new(Queue::default())).collect();
        {
            let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
            let mut waiting = lane.take_all();
            for queue in lanes.iter() {
                waiting.append(&mut queue.lock().take_all());
            }
            for item in waiting {
                if let Some(queue) = queues.get(lane_of(&item, count)) {
                    queue.lock().push([item]);
                }
            }
            lanes.clone_from(&queues);
            self.readers.fetch_add(count, Ordering::SeqCst);
        }
        drop(lane);
        if self.lock().ended {
            self.end();
        }
        queues.into_iter().map(|queue| Lane::new(self.clone(), queue)).collect()
    }

    /// The first lane.
    pub(crate) fn first_lane(self: &Arc<Self>) -> Option<Lane> {
        let queue = self.lanes().first()?.clone();
        Some(Lane::new(self.clone(), queue))
    }

    pub(crate) fn lane_dropped(&self) {
        if self.readers.fetch_sub(1, Ordering::SeqCst) == 1 {
            let slots: Vec<Arc<Slot>> = self.lock().slots.values().cloned().collect();
            slots.iter().for_each(|slot| slot.wake());
            self.signals.keeper.notify(usize::MAX);
            self.changed.notify(usize::MAX);
        }
    }

    /// The running shard that is in charge of a guild.
    pub(crate) fn slot_of_guild(&self, guild: Snowflake) -> Option<Arc<Slot>> {
        let core = self.lock();
        core.slots.get(&core.machine.shard_of(guild)).cloned()
    }

    /// Whether the shard that is in charge of a guild is this process's.
    pub(crate) fn has_guild(&self, guild: Snowflake) -> bool {
        let core = self.lock();
        core.machine.has(core.machine.shard_of(guild))
    }
}

impl Core {
    /// Whether this is the run of a shard that the machine knows of: an earlier one may still have something to say.
    fn is_current(&self, slot: &Arc<Slot>) -> bool {
        self.slots.get(&slot.key).is_some_and(|current| Arc::ptr_eq(current, slot))
    }

    /// Whether the application has let go of every event, of one generation or of all, and acknowledged what it has to.
    pub(crate) fn is_drained(&self, generation: Option<Generation>) -> bool {
        let own = self.slots.values().filter(|slot| generation.is_none_or(|it| it == slot.key.generation));
        own.into_iter().all(|slot| slot.is_drained())
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

/// Which of so many lanes an item belongs to: by its guild, and without one by its shard.
///
/// `shard_id = (guild_id >> 22) % num_shards` (Discord Docs, Gateway > Sharding): where the lanes divide the shards, the shard tells
/// the lane of all its guilds.
fn lane_of(item: &ClusterItem, lanes: usize) -> usize {
    let lanes = lanes as u64;
    let (1.., Some(key)) = (lanes.saturating_sub(1), item.key()) else { return 0 };
    let of_shard = u64::from(key.shard.id()) % lanes;
    let lane = match item.dispatch() {
        Some(dispatch) if u64::from(key.shard.count()) % lanes != 0 => {
            guild_of(dispatch).map_or(of_shard, |Snowflake(guild)| (guild >> 22) % lanes)
        }
        _ => of_shard,
    };
    lane as usize
}
