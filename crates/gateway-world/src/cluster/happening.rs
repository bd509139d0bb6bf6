//! Lets the planned faults happen.

use std::time::Duration;

use gateway_sim::{Control, Target, guild_id};

use super::process::Process;
use super::{ClusterWorld, Event};
use crate::effect;
use crate::engine::ClientId;
use crate::fault::{Fault, Planned};
use crate::observation::Observation;

impl ClusterWorld {
    /// Something goes wrong, or the author of the bot does something.
    pub(super) fn happen(&mut self, planned: Planned) {
        let Planned { shard, fault, .. } = planned;
        self.note(|| format!("fault {fault:?} for {shard:?}"));
        match &fault {
            Fault::Suspend { lasting, clock_stops } => self.suspend(*lasting, *clock_stops),
            Fault::WallClock { seconds } => {
                self.wall_clock_ahead += i64::from(*seconds);
                self.set_wall_clock();
            }
            Fault::StorageFails { lasting } => self.storage.fails_until = self.engine.now() + *lasting,
            Fault::Voice { guild, joins } => {
                let guild = guild % self.guilds;
                let target = Target::Guild(guild_id(guild));
                let before = self.engine.gateway().ledger().newest_event();
                effect::control(&mut self.engine, target, Control::Voice { joins: *joins });
                if self.engine.gateway().ledger().newest_event() > before {
                    self.show_happened(Some(guild));
                }
            }
            Fault::Flood { events } => {
                let guild = shard.unwrap_or(0) % self.guilds;
                (0..*events).for_each(|_| self.happens(Some(guild)));
            }
            Fault::Unreachable { how, lasting } => {
                let until = self.engine.now() + *lasting;
                let all = 0..self.setting.shards;
                let of_one = shard.map(|shard| shard % self.setting.shards);
                for id in of_one.map_or(all, |id| id..id + 1) {
                    self.unreachable.insert(id, (*how, until));
                }
            }
            Fault::Expire => {
                for id in self.targets(shard) {
                    if let Some(session) = self.session_of(id) {
                        effect::control(&mut self.engine, Target::Session(session), Control::Expire);
                    }
                }
            }
            // Its events would be of one session alone.
            Fault::Reconnect { .. } => {
                for id in self.targets(shard) {
                    effect::of_the_connection(&mut self.engine, id, &Fault::Reconnect { then_emit: 0 });
                }
            }
            fault if effect::of_the_gateway(&mut self.engine, fault, shard) => {}
            fault => {
                self.user_does(fault, shard);
                for id in self.targets(shard) {
                    effect::of_the_connection(&mut self.engine, id, fault);
                }
            }
        }
    }

    /// The clients that a fault concerns: one of those that run, or all.
    fn targets(&self, shard: Option<u32>) -> Vec<ClientId> {
        let clients: Vec<ClientId> = self.process.iter().flat_map(Process::clients).collect();
        match shard {
            Some(shard) if !clients.is_empty() => vec![clients[shard as usize % clients.len()]],
            _ => clients,
        }
    }

    // ---- The machine that the process runs on -----------------------------------------------------------------

    fn suspend(&mut self, lasting: Duration, clock_stops: bool) {
        if self.suspended_until.is_none() {
            let until = self.engine.now() + lasting;
            self.suspended_until = Some(until);
            self.engine.suspend();
            self.engine.plan(until, Event::Wake(if clock_stops { lasting } else { Duration::ZERO }));
            self.show_all_shards(&Observation::Suspended);
        }
    }

    pub(super) fn wake(&mut self, clock_stood_still: Duration) {
        self.suspended_until = None;
        self.show_all_shards(&Observation::Woke);
        self.engine.resume(clock_stood_still);
        if let Some(process) = &mut self.process {
            process.timer_at = None;
            self.timer();
        }
    }

    fn show_all_shards(&mut self, what: &Observation<'_>) {
        self.targets(None).into_iter().for_each(|id| self.show_shard(id, what));
    }
}
