//! What the author of the bot does: asks for reshards and restarts, answers advice, starts again what has stopped.

use std::time::Duration;

use gateway_cluster::{ClusterEvent, Handover, ReshardCause, ReshardEvent, ShardKey};
use gateway_proto::{ShardId, Shutdown, Snowflake};
use gateway_sim::guild_id;

use super::observation::{ClusterObservation, Standing};
use super::process::Process;
use super::{ClusterWorld, Event};
use crate::commands;
use crate::fault::{Fault, Phase};
use crate::observation::Observation;
use crate::plan::format_of;

/// When a shard that has stopped for good is started again.
const OPERATOR: Duration = Duration::from_secs(600);
/// How long a cluster is given to drain.
const DRAIN: Duration = Duration::from_secs(30);

impl ClusterWorld {
    /// The cluster tells the application something.
    pub(super) fn told(&mut self, key: Option<ShardKey>, event: &ClusterEvent) {
        self.show(&ClusterObservation::Told(event));
        let (now, epoch) = (self.engine.now(), self.epoch);
        match event {
            ClusterEvent::ShardStopped(_) => {
                let Some(key) = key else { return };
                self.process_mut().told_stopped.insert(key);
                self.engine.plan(now + OPERATOR, Event::Restart(epoch, key.shard));
            }
            ClusterEvent::ReshardAdvised { shards, cause } => {
                let most = self.setting.shards;
                let shards = match (shards, cause) {
                    (Some(shards), _) => *shards,
                    (None, ReshardCause::ShardingRequired) => (2 * self.plan().shards).min(most),
                    (None, _) => most,
                };
                let at = now + Duration::from_millis(self.rng.u64(1..20_000));
                self.engine.plan(at, Event::Answer(epoch, shards));
            }
            ClusterEvent::Reshard(event) => self.told_of_a_reshard(event),
            ClusterEvent::RollingRestartDone => self.counts.rolled += 1,
            _ => {}
        }
    }

    fn told_of_a_reshard(&mut self, event: &ReshardEvent) {
        let phase = match event {
            ReshardEvent::Preparing { .. } => {
                self.counts.reshards += 1;
                Some(Phase::Preparing)
            }
            ReshardEvent::Overlapping => Some(Phase::Overlapping),
            ReshardEvent::CuttingOver => Some(Phase::CuttingOver),
            ReshardEvent::Finished { tally } => {
                self.counts.finished += 1;
                let all = &mut self.counts.switched;
                all.matched += tally.matched;
                all.silent += tally.silent;
                all.unmatched += tally.unmatched;
                Some(Phase::Retiring)
            }
            ReshardEvent::Aborted(_) => {
                self.counts.aborted += 1;
                None
            }
            _ => return,
        };
        self.set_rush(!matches!(phase, None | Some(Phase::Retiring)));
        if let Some((_, after, lasting)) = self.trap.take_if(|(trapped, ..)| phase == Some(*trapped)) {
            let at = self.engine.now() + after;
            self.engine.plan(at, Event::Crash(self.epoch, lasting));
        }
    }

    /// The author asks the cluster for something, or lets its process be.
    pub(super) fn user_does(&mut self, fault: &Fault, shard: Option<u32>) {
        let now = self.engine.now();
        let Some(process) = self.process.as_mut().filter(|process| !process.is_leaving()) else { return };
        if self.suspended_until.is_some() {
            return;
        }
        let count = process.machine.shards();
        let any = shard.and_then(|shard| ShardId::new(shard % count, count).ok());
        match fault {
            Fault::Reshard { shards } => return self.reshard(*shards),
            // It may be too late for that.
            Fault::AbortReshard => drop(process.machine.abort_reshard()),
            // A reshard comes first.
            Fault::RollingRestart => drop(process.machine.rolling_restart()),
            Fault::Recommend { shards } => process.machine.handle_recommendation(*shards),
            Fault::UserReconnect { .. } => any.into_iter().for_each(|shard| {
                drop(process.machine.restart(shard));
            }),
            Fault::Handover { lasting } => {
                if let Some(shard) = any
                    && process.machine.release(shard).is_ok()
                    && let Ok(key) = process.machine.key(shard)
                {
                    process.handed_over.insert(key, *lasting);
                }
            }
            Fault::SlowHandler { lasting } => process.application.busy_until = now + *lasting,
            Fault::Commands { count } => return self.send_commands(*count),
            Fault::Redeploy { lasting, log_off } => {
                self.begins_at = now + *lasting;
                process.leaving = true;
                match log_off {
                    true => process.machine.shutdown(Shutdown::LogOff),
                    false => process.machine.drain(self.engine.client_now() + DRAIN),
                }
            }
            Fault::Crash { lasting } => return self.crash(*lasting),
            Fault::CrashIn { phase, after, lasting } => self.trap = Some((*phase, *after, *lasting)),
            _ => return,
        }
        self.pump();
    }

    /// The author asks for another number of shards, if the day's session starts suffice.
    pub(super) fn reshard(&mut self, shards: u32) {
        let now = self.engine.client_now();
        if self.engine.gate().check(shards, now).is_err() {
            return self.note(|| format!("too few session starts for {shards} shards"));
        }
        let asked = self.process_mut().machine.reshard(shards, now);
        self.note(|| format!("reshard to {shards}: {asked:?}"));
        self.pump();
    }

    pub(super) fn restart(&mut self, shard: ShardId) {
        let process = self.process_mut();
        let stopped = process.machine.key(shard).is_ok_and(|key| process.machine.stop_reason(key).is_some());
        if stopped {
            // The cluster may be ending.
            drop(process.machine.restart(shard));
            self.pump();
        }
    }

    /// Starts everything again that has stopped.
    pub(super) fn restart_stopped(&mut self) {
        let Some(process) = &self.process else { return self.begin_at(self.engine.now()) };
        let machine = &process.machine;
        let stopped: Vec<ShardId> = machine
            .members()
            .filter(|key| key.generation == machine.generation() && machine.stop_reason(*key).is_some())
            .map(|key| key.shard)
            .collect();
        stopped.into_iter().for_each(|shard| self.restart(shard));
    }

    pub(super) fn adopt(&mut self, handover: Handover) {
        let process = self.process_mut();
        if let Ok(key) = process.machine.key(handover.shard) {
            process.handed_over.remove(&key);
        }
        let asked = process.machine.adopt(handover);
        self.note(|| format!("adopt: {asked:?}"));
        self.pump();
    }

    fn send_commands(&mut self, count: u32) {
        for _ in 0..count {
            let guild = Snowflake(guild_id(self.rng.u32(0..self.guilds)));
            let Some(process) = &mut self.process else { return };
            let key = self.between.sender(process.machine.shard_of(guild));
            let standing = process.standing(key);
            if let Some(slot) = process.slots.get(&key)
                && let Some(client) = self.engine.client_mut(slot.client)
            {
                let command = commands::about(&mut self.rng, guild, format_of(key.shard.id()).0);
                // A full queue is an answer too.
                let _ = client.send(command);
                let (commands, client) = (client.health().queued_commands, slot.client);
                self.show_shard(client, &Observation::Queued { commands });
            }
            self.show(&ClusterObservation::Sender { guild: guild.0, key, standing });
        }
    }

    /// Long after the last fault, everything is to be as it should.
    pub(super) fn check(&mut self) {
        let kept_back = self.limit.total / 10;
        let gate = self.engine.gate();
        let starts = gate.remaining(self.engine.client_now()).saturating_sub(kept_back);
        let starts_left = starts as usize > gate.waiting();
        let calm = match &self.process {
            None => ClusterObservation::Calm { runs: false, resharding: false, missing: 0, outstanding: 0 },
            Some(process) => process.calm(starts_left, self.engine.now()),
        };
        self.show(&calm);
        let clients: Vec<_> = self.process.iter().flat_map(Process::clients).collect();
        for id in clients {
            let phase = self.engine.client(id).map(|client| client.health().phase);
            self.show_shard(id, &Observation::Calm { phase, refused: false, starts_left });
        }
    }
}

impl Process {
    /// What is at the other end of a sender.
    pub(super) fn standing(&self, key: ShardKey) -> Standing {
        match self.slots.get(&key) {
            Some(slot) if !slot.is_shut_down => Standing::Runs,
            _ if self.handed_over.contains_key(&key) => Standing::HandedOver,
            Some(_) => Standing::Dead,
            None if self.told_stopped.contains(&key) => Standing::Stopped,
            None if self.machine.stop_reason(key).is_none() && self.machine.members().any(|it| it == key) => {
                Standing::Waits
            }
            None => Standing::Dead,
        }
    }
}
