//! From one generation to the next: the phases of a reshard.

use std::collections::BTreeMap;
use std::time::Instant;

use gateway_proto::session::SessionSnapshot;
use gateway_proto::{Dispatch, Event, ShardId, Shutdown, Snowflake, StopReason};

use super::member::{Leaving, Member, MemberState};
use super::{ClusterMachine, ClusterOutput, RETRY};
use crate::cutover::{Cutover, CutoverOutput};
use crate::error::GUILDS_PER_SHARD;
use crate::plan::{ReshardPhase, ReshardPlan};
use crate::time::later;
use crate::{
    AbortReason, ClusterError, ClusterEvent, ClusterPlan, CutoverTally, Generation, ReshardEvent, ShardKey,
    Switch,
};

/// A reshard that is going on.
#[derive(Debug)]
pub(super) struct Reshard {
    generation: Generation,
    count: u32,
    phase: Phase,
    cutover: Cutover,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// "Preparing" is being written down.
    Planned,
    /// The new sessions are started.
    Preparing,
    /// All new sessions are up. Guilds are compared until then at most.
    Overlapping { until: Instant },
    /// "Cutting over" is being written down. None: it could not be, and is tried again at this time.
    Ordering { until: Instant, retry_at: Option<Instant> },
    /// Guilds are switched.
    CuttingOver,
    /// All guilds are switched, and the application has not handled everything that it got of the old generation. Until it has, or
    /// until this time, a crash must find both generations, so that the old sessions can replay it.
    Handling { until: Instant },
    /// That the new generation is in charge is being written down.
    Ending { tally: CutoverTally, retry_at: Option<Instant> },
}

impl Reshard {
    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Whether the new generation is in charge of a guild.
    pub(super) fn is_in_charge(&self, guild: Option<Snowflake>) -> bool {
        self.cutover.in_charge(guild) == self.generation
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.cutover.held_bytes()
    }

    pub(super) fn plan(&self) -> Option<ReshardPlan> {
        let phase = match self.phase {
            Phase::Planned | Phase::Preparing | Phase::Overlapping { .. } => ReshardPhase::Preparing,
            Phase::Ordering { .. } | Phase::CuttingOver | Phase::Handling { .. } | Phase::Ending { .. } => {
                ReshardPhase::CuttingOver
            }
        };
        Some(ReshardPlan { shards: self.count, phase })
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let own = match self.phase {
            Phase::Overlapping { until } | Phase::Handling { until } => Some(until),
            Phase::Ordering { retry_at, .. } | Phase::Ending { retry_at, .. } => retry_at,
            Phase::Planned | Phase::Preparing | Phase::CuttingOver => None,
        };
        own.into_iter().chain(self.cutover.next_deadline()).min()
    }

    /// Whether no new session is to be started yet.
    pub(super) fn is_planned(&self) -> bool {
        self.phase == Phase::Planned
    }

    /// Whether it may be aborted.
    fn can_be_aborted(&self) -> bool {
        matches!(self.phase, Phase::Planned | Phase::Preparing | Phase::Overlapping { .. })
    }
}

impl ClusterMachine {
    /// Begins to move the bot to another number of shards, without an event lost. [`ReshardEvent`]s tell how it goes on.
    ///
    /// The caller has checked that the budget of session starts suffices for all new sessions.
    ///
    /// # Errors
    ///
    /// Where the bot cannot be resharded so, or not now. Nothing has changed.
    pub fn reshard(&mut self, count: u32, now: Instant) -> Result<(), ClusterError> {
        self.check_reshard(count)?;
        let generation = self.generation.next();
        let (old, new) = ((self.generation, self.count), (generation, count));
        let mut cutover = Cutover::new(self.config.clone(), old, new, now);
        for (key, member) in &self.members {
            if let MemberState::Stopped(_) = member.state {
                cutover.handle_gone(*key, now);
            }
        }
        self.reshard = Some(Reshard { generation, count, phase: Phase::Planned, cutover });
        self.persist(self.plan());
        Ok(())
    }

    /// Whether [`reshard`](Self::reshard) would begin.
    ///
    /// # Errors
    ///
    /// As [`reshard`](Self::reshard).
    pub fn check_reshard(&self, count: u32) -> Result<(), ClusterError> {
        self.check_going_on()?;
        if count == 0 {
            return Err(ClusterError::NoShards);
        }
        // Sessions that are still being ended have the keys, or the files, that new ones would have.
        if self.is_resharding() {
            return Err(ClusterError::Resharding);
        }
        if self.rolling.is_some() {
            return Err(ClusterError::Rolling);
        }
        if !self.is_whole() {
            return Err(ClusterError::NotWhole);
        }
        if count == self.count {
            return Err(ClusterError::SameCount);
        }
        let guilds: u64 = self.members.values().filter_map(|member| member.guilds).sum();
        if guilds > u64::from(count) * GUILDS_PER_SHARD {
            return Err(ClusterError::TooFewShards { shards: count, guilds });
        }
        Ok(())
    }

    /// Whether sessions of another generation are still being ended. They have the keys, or the files, that those of the next reshard
    /// would have.
    pub fn ends_sessions(&self) -> bool {
        self.reshard.is_none() && self.is_resharding()
    }

    /// Whether all shards of the bot are here. Those that were released are another process's.
    pub(super) fn is_whole(&self) -> bool {
        self.config.range.as_ref().is_none_or(|range| *range == (0..self.count))
            && self.members.keys().filter(|key| key.generation == self.generation).count()
                == self.count as usize
    }

    /// Aborts the reshard: the old generation stays in charge, and the new sessions are ended.
    ///
    /// # Errors
    ///
    /// Where there is none, or guilds are being switched already.
    pub fn abort_reshard(&mut self) -> Result<(), ClusterError> {
        match &self.reshard {
            None => Err(ClusterError::NotResharding),
            Some(reshard) if !reshard.can_be_aborted() => Err(ClusterError::CutoverBegun),
            Some(_) => {
                self.abort_for(AbortReason::Requested);
                Ok(())
            }
        }
    }

    /// Aborts the reshard if that is still possible.
    pub(super) fn abort_for(&mut self, reason: AbortReason) {
        if !self.reshard.as_ref().is_some_and(Reshard::can_be_aborted) {
            return;
        }
        let Some(mut reshard) = self.reshard.take() else { return };
        reshard.cutover.abandon();
        self.pump(&mut reshard);
        self.retire(reshard.generation);
        self.persist(self.plan());
        self.deliver(None, ClusterEvent::Reshard(ReshardEvent::Aborted(reason)));
        self.tell_recommendation();
    }

    /// Ends the sessions of a generation.
    fn retire(&mut self, generation: Generation) {
        let keys: Vec<ShardKey> =
            self.members.keys().copied().filter(|key| key.generation == generation).collect();
        for key in keys {
            let Some(member) = self.members.get_mut(&key) else { continue };
            if member.is_running() {
                member.leaving = Some(Leaving::Retired);
                self.out.push_back(ClusterOutput::ShutDown(key, Shutdown::LogOff));
            } else {
                self.members.remove(&key);
                self.out.push_back(ClusterOutput::Forget(key));
            }
        }
    }

    /// Takes up the reshard that an earlier process has begun.
    pub(super) fn take_up(
        &mut self,
        plan: ReshardPlan,
        sessions: &mut BTreeMap<ShardId, SessionSnapshot>,
        now: Instant,
    ) {
        let generation = self.generation.next();
        let count = plan.shards;
        if plan.phase == ReshardPhase::Preparing {
            // The old generation is in charge of everything.
            for shard in (0..count).filter_map(|id| ShardId::new(id, count).ok()) {
                self.out.push_back(ClusterOutput::Forget(ShardKey { generation, shard }));
            }
            self.persist(self.plan());
            self.deliver(None, ClusterEvent::Reshard(ReshardEvent::Aborted(AbortReason::Restarted)));
            return;
        }
        let (old, new) = ((self.generation, self.count), (generation, count));
        let mut cutover = Cutover::resumed(self.config.clone(), old, new, now);
        // A session that is gone is not started again: the new generation takes over what it was in charge of.
        for (key, member) in &mut self.members {
            if member.session.is_none() {
                member.state = MemberState::Stopped(StopReason::Shutdown(Shutdown::Resumable));
                cutover.handle_gone(*key, now);
            }
        }
        cutover.order(later(now, self.config.overlap), now);
        self.add_members(generation, count, 0..count, sessions);
        self.reshard = Some(Reshard { generation, count, phase: Phase::CuttingOver, cutover });
        self.deliver(None, ClusterEvent::Reshard(ReshardEvent::CuttingOver));
    }

    fn persist(&mut self, plan: ClusterPlan) {
        self.writes += 1;
        self.out.push_back(ClusterOutput::Persist { number: self.writes, plan });
    }

    /// The write of a [`ClusterOutput::Persist`] has ended. `ok`: the plan survives a crash from now on.
    pub fn handle_persisted(&mut self, number: u64, ok: bool, now: Instant) {
        // A write for a reshard that was aborted since changes nothing: a process that finds the older plan aborts it too.
        let Some(reshard) = self.reshard.as_mut().filter(|_| number == self.writes) else { return };
        match &mut reshard.phase {
            Phase::Planned if ok => {
                reshard.phase = Phase::Preparing;
                let (generation, to) = (reshard.generation, reshard.count);
                self.add_members(generation, to, 0..to, &mut BTreeMap::new());
                self.deliver(None, ClusterEvent::Reshard(ReshardEvent::Preparing { from: self.count, to }));
            }
            Phase::Planned => self.abort_for(AbortReason::PlanNotKept),
            Phase::Ordering { until, retry_at: None } if ok => {
                // Those that are level are switched at once; the others have until then.
                let due_at = (*until).max(later(now, self.config.silence.saturating_mul(2)));
                reshard.phase = Phase::CuttingOver;
                reshard.cutover.order(due_at, now);
                self.deliver(None, ClusterEvent::Reshard(ReshardEvent::CuttingOver));
            }
            Phase::Ending { tally, retry_at: None } if ok => {
                let tally = *tally;
                self.end_reshard(tally);
            }
            Phase::Ordering { retry_at, .. } | Phase::Ending { retry_at, .. }
                if !ok && retry_at.is_none() =>
            {
                *retry_at = Some(now + RETRY);
                self.deliver(None, ClusterEvent::PlanNotKept);
            }
            _ => {}
        }
        self.start_more();
        self.reshard_on(now);
    }

    /// The new generation is in charge of everything, and that is written down.
    fn end_reshard(&mut self, tally: CutoverTally) {
        let Some(mut reshard) = self.reshard.take() else { return };
        self.pump(&mut reshard);
        let old = self.generation;
        (self.generation, self.count) = (reshard.generation, reshard.count);
        self.config.range = None;
        self.retire(old);
        self.deliver(None, ClusterEvent::Reshard(ReshardEvent::Finished { tally }));
        self.tell_recommendation();
    }

    /// A dispatch of a shard.
    pub(super) fn dispatch(&mut self, key: ShardKey, dispatch: Dispatch, now: Instant) {
        let Some(mut reshard) = self.reshard.take() else {
            let output = match key.generation == self.generation {
                true => ClusterOutput::Deliver(Some(key), ClusterEvent::Shard(Event::Dispatch(dispatch))),
                // Of a generation that is being retired.
                false => ClusterOutput::Discard(key, dispatch.key()),
            };
            self.out.push_back(output);
            return;
        };
        if dispatch.name() == "READY" {
            reshard.cutover.handle_ready(key, &dispatch, now);
        }
        reshard.cutover.handle_dispatch(key, dispatch, now);
        self.pump(&mut reshard);
        self.reshard = Some(reshard);
    }

    /// What another event of a shard says to the cutover.
    pub(super) fn compare(&mut self, key: ShardKey, event: &Event, now: Instant) {
        let Some(reshard) = &mut self.reshard else { return };
        match event {
            Event::Identifying => reshard.cutover.handle_began(key, now),
            Event::Resumed { .. } => reshard.cutover.handle_resumed(key),
            Event::HeartbeatAcknowledged { sent, .. } => {
                let live_since = self.members.get(&key).and_then(|member| member.live_since);
                if live_since.is_some_and(|since| *sent >= since) {
                    reshard.cutover.handle_acknowledged(key, *sent);
                }
            }
            _ => {}
        }
    }

    /// A shard has stopped for good during a reshard.
    pub(super) fn reshard_without(&mut self, key: ShardKey, reason: StopReason, now: Instant) {
        let Some(reshard) = &mut self.reshard else { return };
        reshard.cutover.handle_gone(key, now);
        if key.generation == reshard.generation {
            self.abort_for(AbortReason::ShardStopped { shard: key.shard, reason });
        }
    }

    /// Goes on with the reshard as far as it can.
    pub(super) fn reshard_on(&mut self, now: Instant) {
        let Some(mut reshard) = self.reshard.take() else { return };
        reshard.cutover.handle_timeout(now);
        self.pump(&mut reshard);
        match reshard.phase {
            Phase::Preparing if self.is_up(reshard.generation) => {
                reshard.phase = Phase::Overlapping { until: later(now, self.config.overlap) };
                self.deliver(None, ClusterEvent::Reshard(ReshardEvent::Overlapping));
            }
            Phase::Overlapping { until } if now >= until || reshard.cutover.is_settled() => {
                reshard.phase = Phase::Ordering { until, retry_at: None };
                self.reshard = Some(reshard);
                self.persist(self.plan());
                return;
            }
            Phase::Ordering { until, retry_at: Some(at) } if now >= at => {
                reshard.phase = Phase::Ordering { until, retry_at: None };
                self.reshard = Some(reshard);
                self.persist(self.plan());
                return;
            }
            Phase::CuttingOver if reshard.cutover.is_finished() => {
                reshard.phase = Phase::Handling { until: later(now, self.config.overlap) };
                self.out.push_back(ClusterOutput::AwaitHandled(self.generation));
            }
            Phase::Handling { until } if now >= until => {
                self.end_handled(reshard);
                return;
            }
            Phase::Ending { tally, retry_at: Some(at) } if now >= at => {
                reshard.phase = Phase::Ending { tally, retry_at: None };
                self.persist_end(reshard);
                return;
            }
            _ => {}
        }
        self.reshard = Some(reshard);
    }

    /// The application has handled, and acknowledged where it has to, everything that it got of the shards of a generation.
    /// Answers [`ClusterOutput::AwaitHandled`].
    pub fn handle_handled(&mut self, generation: Generation) {
        if generation == self.generation
            && let Some(reshard) = self.reshard.take_if(|it| matches!(it.phase, Phase::Handling { .. }))
        {
            self.end_handled(reshard);
        }
    }

    fn end_handled(&mut self, mut reshard: Reshard) {
        reshard.phase = Phase::Ending { tally: reshard.cutover.tally(), retry_at: None };
        self.persist_end(reshard);
    }

    fn persist_end(&mut self, reshard: Reshard) {
        let mut plan = self.plan();
        (plan.generation, plan.shards, plan.reshard) = (reshard.generation, reshard.count, None);
        self.reshard = Some(reshard);
        self.persist(plan);
    }

    /// Whether every shard of a generation has been ready.
    fn is_up(&self, generation: Generation) -> bool {
        let own = self.members.iter().filter(|(key, _)| key.generation == generation);
        own.map(|(_, member): (_, &Member)| member).all(|member| member.was_live)
    }

    /// Carries out what the cutover asks for.
    fn pump(&mut self, reshard: &mut Reshard) {
        while let Some(output) = reshard.cutover.poll_output() {
            let output = match output {
                CutoverOutput::Deliver(key, dispatch) => {
                    ClusterOutput::Deliver(Some(key), ClusterEvent::Shard(Event::Dispatch(dispatch)))
                }
                CutoverOutput::Discard(key, dispatch) => ClusterOutput::Discard(key, dispatch),
                CutoverOutput::Heartbeat(key) => ClusterOutput::Heartbeat(key),
                CutoverOutput::Switched { guild, how, voice } => {
                    if voice || matches!(how, Switch::Unmatched { .. }) {
                        let event = ReshardEvent::GuildSwitched { guild, how, voice };
                        self.deliver(None, ClusterEvent::Reshard(event));
                    }
                    continue;
                }
            };
            self.out.push_back(output);
        }
    }
}
