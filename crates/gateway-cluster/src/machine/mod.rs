//! The cluster as a state machine: which shards exist, when each starts, and what becomes of them.
//!
//! What shards report, what the application asks for, results of writes and the time go in; orders to shards, deliveries, plans to be
//! persisted and a deadline come out. It has no clock, socket, task or randomness.

mod member;
mod output;
mod reshard;
mod starts;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use gateway_proto::codec::RawRef;
use gateway_proto::disconnect::Rejection;
use gateway_proto::session::SessionSnapshot;
use gateway_proto::{Dispatch, Event, Reconnect, ShardId, Shutdown, Snowflake, StopReason};

pub use output::ClusterOutput;

use crate::{
    AbortReason, ClusterError, ClusterEvent, ClusterPlan, Generation, Handover, ReshardCause, ShardKey,
};
use member::{Leaving, Member, MemberState};
use reshard::Reshard;

/// How a cluster works. The default is right for a whole bot in one process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClusterConfig {
    /// Which shards are this process's. None: all.
    pub range: Option<Range<u32>>,
    /// `session_start_limit.max_concurrency` of `GET /gateway/bot`: how many shards a bucket has. 0 is read as 1. Default 1.
    pub max_concurrency: u32,
    /// How long a reshard waits for the sessions of a guild to meet, counted from when all new sessions are up. Default 60 s.
    pub overlap: Duration,
    /// How long a guild must be silent to be switched without a common event. Default 5 s.
    pub silence: Duration,
    /// How many bytes of events a reshard may hold back. Default 256 MiB. Beyond it a guild's events are dropped and
    /// compared anew; the old generation delivers them, and only its GUILD_CREATE is missing if its sessions then never meet.
    pub held_bytes: usize,
    /// Keeps users of Discord from writing events that are taken for each other. Take it from the system's source of randomness.
    pub seed: u64,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            range: None,
            max_concurrency: 1,
            overlap: Duration::from_secs(60),
            silence: Duration::from_secs(5),
            held_bytes: 256 << 20,
            seed: 0,
        }
    }
}

/// How long a bot that was closed with 4011 waits for a reshard before it ends, if none of its shards runs.
const ANSWER: Duration = Duration::from_secs(60);

/// How long to wait before a plan that could not be written is written again.
pub(crate) const RETRY: Duration = Duration::from_secs(5);

/// All shards of a bot, or those of a process.
///
/// Call one of the `handle_` functions or a request, then [`poll_output`](Self::poll_output) until it returns `None`, then wait for
/// the next input or for [`next_deadline`](Self::next_deadline).
#[derive(Debug)]
pub struct ClusterMachine {
    config: ClusterConfig,
    bot: Option<String>,
    generation: Generation,
    count: u32,
    members: BTreeMap<ShardKey, Member>,
    reshard: Option<Reshard>,
    rolling: Option<Rolling>,
    ending: Option<Ending>,
    /// [`ClusterEvent::AllReady`] was delivered.
    was_ready: bool,
    /// A shard was ready once: what keeps others from it is not the whole bot's fault.
    was_live: bool,
    /// The recommended number of shards that was told last.
    advised: Option<u32>,
    /// The recommended number of shards that was heard last.
    recommended: Option<u32>,
    /// Until then a bot whose shards have all stopped waits for a reshard, since one of them was closed with 4011.
    answer_until: Option<Instant>,
    ended: bool,
    /// How many plans were given out to be written.
    writes: u64,
    out: VecDeque<ClusterOutput>,
}

/// A rolling restart.
#[derive(Debug)]
struct Rolling {
    buckets: VecDeque<Vec<ShardKey>>,
    /// Those that are being restarted.
    waiting: BTreeSet<ShardKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Nothing more is read; the application takes what is there, until this moment.
    Draining(Instant),
    /// The shards are shut down.
    ShuttingDown,
}

impl ClusterMachine {
    /// A cluster that goes on from this plan with these sessions. Sessions of other shard counts are not used.
    ///
    /// # Errors
    ///
    /// Where the plan has no shards, or the range is not one of its shards.
    pub fn new(
        config: ClusterConfig,
        plan: ClusterPlan,
        sessions: impl IntoIterator<Item = SessionSnapshot>,
        now: Instant,
    ) -> Result<Self, ClusterError> {
        let ClusterPlan { bot, generation, shards: count, reshard } = plan;
        if count == 0 {
            return Err(ClusterError::NoShards);
        }
        let range = config.range.clone().unwrap_or(0..count);
        if range.is_empty() || range.end > count {
            return Err(ClusterError::Range { from: range.start, to: range.end, total: count });
        }
        let mut sessions: BTreeMap<ShardId, SessionSnapshot> =
            sessions.into_iter().map(|session| (session.shard(), session)).collect();
        let mut this = Self {
            config,
            bot,
            generation,
            count,
            members: BTreeMap::new(),
            reshard: None,
            rolling: None,
            ending: None,
            was_ready: false,
            was_live: false,
            advised: None,
            recommended: None,
            answer_until: None,
            ended: false,
            writes: 0,
            out: VecDeque::new(),
        };
        this.add_members(generation, count, range, &mut sessions);
        if let Some(plan) = reshard {
            this.take_up(plan, &mut sessions, now);
        }
        this.start_more();
        Ok(this)
    }

    fn add_members(
        &mut self,
        generation: Generation,
        count: u32,
        ids: Range<u32>,
        sessions: &mut BTreeMap<ShardId, SessionSnapshot>,
    ) {
        for shard in ids.filter_map(|id| ShardId::new(id, count).ok()) {
            let member = Member::with_session(sessions.remove(&shard));
            self.members.insert(ShardKey { generation, shard }, member);
        }
    }

    /// An event of a shard.
    pub fn handle_event(&mut self, key: ShardKey, event: Event, now: Instant) {
        let Some(member) = self.members.get_mut(&key) else { return };
        match &event {
            Event::Ready | Event::Resumed { .. } => {
                member.state = MemberState::Live;
                member.was_live = true;
                member.live_since = Some(now);
                self.was_live = true;
            }
            Event::Identifying => member.awaits_permit = false,
            Event::Disconnected(_) if member.is_running() => {
                (member.state, member.live_since) = (MemberState::Reconnecting, None);
            }
            Event::Dispatch(dispatch) if dispatch.name() == "READY" => {
                member.guilds = guilds_in(dispatch);
            }
            _ => {}
        }
        match event {
            Event::Dispatch(dispatch) => self.dispatch(key, dispatch, now),
            event => {
                self.compare(key, &event, now);
                let is_up = matches!(event, Event::Ready | Event::Resumed { .. });
                self.deliver(Some(key), ClusterEvent::Shard(event));
                if is_up {
                    // The events that it completes follow it.
                    self.is_up_again(key);
                }
                // Each looks at all shards or guilds: not after every dispatch.
                self.start_more();
                self.reshard_on(now);
            }
        }
    }

    /// Whether [`handle_event`](Self::handle_event) has to see this event of a shard. Others may be delivered without it, as long as
    /// [`is_resharding`](Self::is_resharding) says no.
    pub fn concerns(event: &Event) -> bool {
        match event {
            Event::Dispatch(dispatch) => dispatch.name() == "READY",
            Event::HeartbeatAcknowledged { .. } => false,
            _ => true,
        }
    }

    /// Whether every event has to be given to [`handle_event`](Self::handle_event): the bot is being resharded, or the sessions of
    /// another generation are still being ended, whose dispatches are not to be delivered.
    pub fn is_resharding(&self) -> bool {
        let is_other = |key: &ShardKey| key.generation != self.generation;
        let (first, last) = (self.members.first_key_value(), self.members.last_key_value());
        self.reshard.is_some() || first.into_iter().chain(last).any(|(key, _)| is_other(key))
    }

    /// A shard has stopped for good, with the session that can be resumed, if there is one.
    pub fn handle_stopped(
        &mut self,
        key: ShardKey,
        reason: StopReason,
        session: Option<SessionSnapshot>,
        now: Instant,
    ) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let reason = member.rejected.take().unwrap_or(reason);
        member.state = MemberState::Stopped(reason.clone());
        match member.leaving {
            Some(Leaving::Retired) => {
                self.members.remove(&key);
                self.out.push_back(ClusterOutput::Forget(key));
            }
            Some(Leaving::Released) => {
                self.members.remove(&key);
                let handover = Handover { shard: key.shard, generation: key.generation, session };
                self.out.push_back(ClusterOutput::Released(key, handover));
            }
            None if self.ending.is_some() => {}
            None => {
                member.session = session;
                self.has_stopped(key, reason, now);
            }
        }
        self.is_up_again(key);
        self.start_more();
        self.reshard_on(now);
        self.end_if_over();
    }

    /// A shard has stopped although the cluster goes on.
    fn has_stopped(&mut self, key: ShardKey, reason: StopReason, now: Instant) {
        self.deliver(Some(key), ClusterEvent::ShardStopped(reason.clone()));
        if reason == StopReason::Rejected(Rejection::ShardingRequired) {
            self.answer_until = Some(now + ANSWER);
            let cause = ReshardCause::ShardingRequired;
            self.deliver(None, ClusterEvent::ReshardAdvised { shards: None, cause });
        }
        if is_of_the_whole_bot(&reason) && !self.was_live {
            self.stop_the_others(&reason);
        }
        self.reshard_without(key, reason, now);
    }

    /// The token or the intents are the whole bot's: the others would spend a session start each for the same answer.
    fn stop_the_others(&mut self, reason: &StopReason) {
        let mut stopped = Vec::new();
        for (key, member) in &mut self.members {
            if member.state == MemberState::Waiting {
                member.state = MemberState::Stopped(reason.clone());
                stopped.push(*key);
            } else if member.is_running() && member.awaits_permit && member.leaving.is_none() {
                member.awaits_permit = false;
                member.rejected = Some(reason.clone());
                self.out.push_back(ClusterOutput::ShutDown(*key, Shutdown::Resumable));
            }
        }
        for key in stopped {
            self.deliver(Some(key), ClusterEvent::ShardStopped(reason.clone()));
        }
    }

    /// The time has come that [`next_deadline`](Self::next_deadline) has named, or passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(Ending::Draining(until)) = self.ending
            && now >= until
        {
            self.shut_down_all(Shutdown::Resumable);
        }
        if self.answer_until.take_if(|until| now >= *until).is_some() {
            self.end_if_over();
        }
        self.reshard_on(now);
        self.start_more();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called. None: there is nothing to wait for but inputs.
    pub fn next_deadline(&self) -> Option<Instant> {
        let draining = match self.ending {
            Some(Ending::Draining(until)) => Some(until),
            _ => None,
        };
        let reshard = self.reshard.as_ref().and_then(Reshard::next_deadline);
        draining.into_iter().chain(reshard).chain(self.answer_until).min()
    }

    /// The next thing to do. None: nothing, until the next input.
    pub fn poll_output(&mut self) -> Option<ClusterOutput> {
        self.out.pop_front()
    }

    /// The application has taken and acknowledged everything that was delivered before
    /// [`ClusterOutput::StopReading`], or after it.
    pub fn handle_drained(&mut self) {
        if let Some(Ending::Draining(_)) = self.ending {
            self.shut_down_all(Shutdown::Resumable);
        }
    }

    /// `GET /gateway/bot` recommends this number of shards. Another number than the bot has is reported once.
    pub fn handle_recommendation(&mut self, shards: u32) {
        self.recommended = Some(shards);
        self.tell_recommendation();
    }

    /// Reports the recommendation once. During a reshard it waits, and is reported afterwards if it still differs.
    fn tell_recommendation(&mut self) {
        let Some(shards) = self.recommended.filter(|_| self.reshard.is_none() && self.ending.is_none())
        else {
            return;
        };
        let is_new = self.advised.replace(shards) != Some(shards);
        if is_new && shards != 0 && shards != self.count {
            let cause = ReshardCause::Recommendation;
            self.deliver(None, ClusterEvent::ReshardAdvised { shards: Some(shards), cause });
        }
    }

    /// Restarts a shard: one that runs resumes its session on a new connection, one that has stopped for good starts again.
    ///
    /// # Errors
    ///
    /// Where there is no such shard, or the cluster is ending.
    pub fn restart(&mut self, shard: ShardId) -> Result<(), ClusterError> {
        self.check_going_on()?;
        let key = self.key(shard)?;
        let Some(member) = self.members.get_mut(&key) else { return Err(ClusterError::NoSuchShard(shard)) };
        match member.state {
            MemberState::Stopped(_) => member.state = MemberState::Waiting,
            MemberState::Waiting => {}
            _ => self.out.push_back(ClusterOutput::Reconnect(key, Reconnect::Resume)),
        }
        self.start_more();
        Ok(())
    }

    /// Restarts all shards that run, one bucket after the other, each by Resume: no session is started.
    /// [`ClusterEvent::RollingRestartDone`] tells the end. A bucket waits until the one before is up again.
    ///
    /// # Errors
    ///
    /// Where the bot is being resharded or restarted, or the cluster is ending.
    pub fn rolling_restart(&mut self) -> Result<(), ClusterError> {
        self.check_going_on()?;
        if self.reshard.is_some() {
            return Err(ClusterError::Resharding);
        }
        if self.rolling.is_some() {
            return Err(ClusterError::Rolling);
        }
        let mut buckets: BTreeMap<u32, Vec<ShardKey>> = BTreeMap::new();
        for key in self.members.keys() {
            buckets.entry(key.shard.id() / self.config.max_concurrency.max(1)).or_default().push(*key);
        }
        let buckets = buckets.into_values().collect();
        self.rolling = Some(Rolling { buckets, waiting: BTreeSet::new() });
        self.roll_on();
        Ok(())
    }

    /// A shard is ready, or has stopped.
    fn is_up_again(&mut self, key: ShardKey) {
        if let Some(rolling) = &mut self.rolling
            && rolling.waiting.remove(&key)
            && rolling.waiting.is_empty()
        {
            self.roll_on();
        }
        let own = self.members.iter().filter(|(key, _)| key.generation == self.generation);
        if !self.was_ready && self.ending.is_none() && own.map(|(_, member)| member).all(Member::has_settled)
        {
            self.was_ready = true;
            self.out.push_back(ClusterOutput::Deliver(None, ClusterEvent::AllReady));
        }
    }

    fn roll_on(&mut self) {
        let Some(rolling) = &mut self.rolling else { return };
        while rolling.waiting.is_empty() {
            let Some(bucket) = rolling.buckets.pop_front() else {
                self.rolling = None;
                self.deliver(None, ClusterEvent::RollingRestartDone);
                return;
            };
            for key in bucket {
                if self.members.get(&key).is_some_and(|member| member.state == MemberState::Live) {
                    rolling.waiting.insert(key);
                    self.out.push_back(ClusterOutput::Reconnect(key, Reconnect::Resume));
                }
            }
        }
    }

    /// Ends a shard here, so that another process can go on with its session. [`ClusterOutput::Released`] answers.
    ///
    /// # Errors
    ///
    /// Where there is no such shard, the bot is being resharded, or the cluster is ending.
    pub fn release(&mut self, shard: ShardId) -> Result<(), ClusterError> {
        self.check_going_on()?;
        if self.reshard.is_some() {
            return Err(ClusterError::Resharding);
        }
        let key = self.key(shard)?;
        let Some(member) = self.members.get_mut(&key) else { return Err(ClusterError::NoSuchShard(shard)) };
        if member.leaving.is_some() {
            return Err(ClusterError::NoSuchShard(shard));
        }
        if member.is_running() {
            member.leaving = Some(Leaving::Released);
            self.out.push_back(ClusterOutput::ShutDown(key, Shutdown::Resumable));
        } else if let Some(member) = self.members.remove(&key) {
            let handover = Handover { shard, generation: key.generation, session: member.session };
            self.out.push_back(ClusterOutput::Released(key, handover));
        }
        Ok(())
    }

    /// Goes on with a shard that another process has released.
    ///
    /// # Errors
    ///
    /// Where the shard is here already, or is of another shard count or generation.
    pub fn adopt(&mut self, handover: Handover) -> Result<(), ClusterError> {
        self.check_going_on()?;
        let Handover { shard, generation, session } = handover;
        let is_own = session.as_ref().is_none_or(|session| session.shard() == shard);
        if shard.count() != self.count || generation != self.generation || !is_own {
            return Err(ClusterError::OtherGeneration(shard));
        }
        let key = ShardKey { generation, shard };
        if self.members.contains_key(&key) {
            return Err(ClusterError::AlreadyHere(shard));
        }
        self.members.insert(key, Member::with_session(session));
        self.start_more();
        Ok(())
    }

    /// Ends the cluster without losing what was received: nothing more is read, and once the application has taken and
    /// acknowledged what is there, or at the deadline, the shards are shut down, resumably.
    pub fn drain(&mut self, deadline: Instant) {
        if self.ending.is_some() {
            return;
        }
        self.abort_for(AbortReason::Ending);
        self.ending = Some(Ending::Draining(deadline));
        self.rolling = None;
        self.out.push_back(ClusterOutput::StopReading);
        self.end_if_over();
    }

    /// Shuts all shards down. [`ClusterOutput::Ended`] follows.
    pub fn shutdown(&mut self, how: Shutdown) {
        self.abort_for(AbortReason::Ending);
        self.rolling = None;
        self.shut_down_all(how);
    }

    fn shut_down_all(&mut self, how: Shutdown) {
        self.ending = Some(Ending::ShuttingDown);
        for (key, member) in &self.members {
            if member.is_running() && member.leaving != Some(Leaving::Retired) {
                self.out.push_back(ClusterOutput::ShutDown(*key, how));
            }
        }
        self.end_if_over();
    }

    /// Ends once no shard runs, and none is to be started.
    fn end_if_over(&mut self) {
        let is_over = match self.ending {
            Some(Ending::Draining(_)) => self.have_all_stopped(),
            None => self.have_all_stopped() && !self.awaits_reshard(),
            Some(Ending::ShuttingDown) => !self.members.values().any(Member::is_running),
        };
        if is_over && !self.ended {
            self.ended = true;
            self.ending = Some(Ending::ShuttingDown);
            self.out.push_back(ClusterOutput::Ended);
        }
    }

    fn have_all_stopped(&self) -> bool {
        let has_stopped = |member: &Member| matches!(member.state, MemberState::Stopped(_));
        !self.members.is_empty() && self.members.values().all(has_stopped)
    }

    /// Whether a shard was closed with 4011, so that a reshard brings the bot back.
    fn awaits_reshard(&self) -> bool {
        let may_begin = self.answer_until.is_some() && self.is_whole();
        may_begin || self.reshard.as_ref().is_some_and(Reshard::is_planned)
    }

    fn check_going_on(&self) -> Result<(), ClusterError> {
        if self.ending.is_some() { Err(ClusterError::Ending) } else { Ok(()) }
    }

    /// The plan, for the next process.
    pub fn plan(&self) -> ClusterPlan {
        let reshard = self.reshard.as_ref().and_then(Reshard::plan);
        ClusterPlan { bot: self.bot.clone(), generation: self.generation, shards: self.count, reshard }
    }

    /// The generation in charge.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The shard count of the generation in charge.
    pub fn shards(&self) -> u32 {
        self.count
    }

    /// Which shard commands for a guild go to now.
    pub fn shard_of(&self, guild: Snowflake) -> ShardKey {
        match &self.reshard {
            Some(reshard) if reshard.is_in_charge(Some(guild)) => ShardKey {
                generation: reshard.generation(),
                shard: ShardId::of_guild(guild, reshard.count()),
            },
            _ => ShardKey { generation: self.generation, shard: ShardId::of_guild(guild, self.count) },
        }
    }

    /// The shard with this id of the generation in charge.
    ///
    /// # Errors
    ///
    /// Where it has another shard count.
    pub fn key(&self, shard: ShardId) -> Result<ShardKey, ClusterError> {
        match shard.count() == self.count {
            true => Ok(ShardKey { generation: self.generation, shard }),
            false => Err(ClusterError::NoSuchShard(shard)),
        }
    }

    /// How many shards wait to be started without a session: each of them needs a session start.
    pub fn unstarted(&self) -> usize {
        let waits = |member: &&Member| member.state == MemberState::Waiting && member.session.is_none();
        self.members.values().filter(waits).count()
    }

    /// Whether a shard is this process's.
    pub fn has(&self, key: ShardKey) -> bool {
        self.members.contains_key(&key)
    }

    /// The shard with this id of the generation in charge. `None`: it has no such shard.
    pub fn key_of(&self, id: u32) -> Option<ShardKey> {
        let shard = ShardId::new(id, self.count).ok()?;
        Some(ShardKey { generation: self.generation, shard })
    }

    /// Whether a shard is being retired or released.
    pub fn is_leaving(&self, key: ShardKey) -> bool {
        self.members.get(&key).is_some_and(|member| member.leaving.is_some())
    }

    /// How many bytes a reshard holds back, roughly.
    pub fn held_bytes(&self) -> usize {
        self.reshard.as_ref().map_or(0, Reshard::held_bytes)
    }

    /// All shards, those of a generation that is being started or retired among them.
    pub fn members(&self) -> impl Iterator<Item = ShardKey> {
        self.members.keys().copied()
    }

    /// Why a shard has stopped. None: it has not.
    pub fn stop_reason(&self, key: ShardKey) -> Option<&StopReason> {
        match &self.members.get(&key)?.state {
            MemberState::Stopped(reason) => Some(reason),
            _ => None,
        }
    }

    fn deliver(&mut self, key: Option<ShardKey>, event: ClusterEvent) {
        self.out.push_back(ClusterOutput::Deliver(key, event));
    }
}

/// How many guilds READY names.
fn guilds_in(ready: &Dispatch) -> Option<u64> {
    let guilds = ready.data().get("guilds").map(RawRef::elements)?;
    u64::try_from(guilds.count()).ok()
}

/// Whether every other shard of the bot would be rejected too.
fn is_of_the_whole_bot(reason: &StopReason) -> bool {
    matches!(
        reason,
        StopReason::Rejected(
            Rejection::AuthenticationFailed
                | Rejection::InvalidApiVersion
                | Rejection::InvalidIntents
                | Rejection::DisallowedIntents
        )
    )
}
