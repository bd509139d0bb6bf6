//! What happens in the guilds, and which sessions owe it to the application.

use std::time::Duration;

use fastrand::Rng;
use gateway_cluster::{ReshardPhase, ShardKey};
use gateway_proto::{ShardId, Snowflake};
use gateway_sim::{Control, Target, guild_id};
use serde_json::{Value, json};

use super::observation::ClusterObservation;
use super::{ClusterWorld, Event};
use crate::effect;
use crate::plan::Setting;
use crate::time::Time;

/// In a reshard that takes longer, as much happens as usual from then on.
const RUSH: Duration = Duration::from_secs(600);

/// When something happens where.
pub(super) struct Traffic {
    guilds: u32,
    /// The mean time between two events of the whole bot, in seconds.
    usual: f64,
    /// The same while the bot is resharded. None: it is not.
    rush: Option<f64>,
    rush_ends: Time,
    /// How often the pace has changed.
    pace: u64,
    count: u64,
    rng: Rng,
}

impl Traffic {
    pub(super) fn new(setting: &Setting, guilds: u32, seed: u64) -> Self {
        let usual = 3600.0 / (setting.profile.events_an_hour() * f64::from(setting.shards));
        Self {
            guilds,
            usual,
            rush: None,
            rush_ends: Time::ZERO,
            pace: 0,
            count: 0,
            rng: Rng::with_seed(seed),
        }
    }

    fn wait(&mut self) -> Duration {
        let mean = self.rush.unwrap_or(self.usual);
        Duration::from_secs_f64(-self.rng.f64().max(1e-12).ln() * mean)
    }

    /// Where the next event happens. While the bot is resharded, many guilds are silent. None: in no guild.
    fn place(&mut self) -> Option<u32> {
        let guild = self.rng.u32(0..self.guilds);
        if self.rng.u8(0..30) == 0 {
            return None;
        }
        Some(if self.rush.is_some() { guild / 2 * 2 } else { guild })
    }

    /// An event: its name and its data. Some are equal to others of the guild.
    fn event(&mut self, guild: Option<u32>) -> (&'static str, Value) {
        self.count += 1;
        let guild_id = guild.map(|guild| guild_id(guild).to_string());
        let mut data = match self.rng.u8(0..10) {
            0..3 => json!({"user_id": "7", "channel_id": guild_id}),
            3 => json!({"user_id": self.rng.u8(0..3).to_string(), "channel_id": guild_id}),
            _ => {
                let length = if self.rng.u8(0..10) == 0 { self.rng.usize(0..8000) } else { 0 };
                json!({"id": self.count, "content": "x".repeat(length)})
            }
        };
        if let Some(guild_id) = guild_id {
            data["guild_id"] = guild_id.into();
        }
        (if data.get("id").is_some() { "MESSAGE_CREATE" } else { "TYPING_START" }, data)
    }
}

impl ClusterWorld {
    pub(super) fn plan_traffic(&mut self) {
        let at = self.engine.now() + self.traffic.wait();
        self.engine.plan(at, Event::Traffic(self.traffic.pace));
    }

    /// More happens, or as little as usual.
    pub(super) fn set_rush(&mut self, is_on: bool) {
        if is_on == self.traffic.rush.is_some() {
            return;
        }
        // From many a second down to one in several seconds.
        let mean = 0.05 * 100_f64.powf(self.traffic.rng.f64());
        self.traffic.rush = is_on.then_some(mean);
        self.traffic.rush_ends = self.engine.now() + RUSH;
        self.traffic.pace += 1;
        self.plan_traffic();
    }

    pub(super) fn traffic(&mut self, pace: u64) {
        if pace != self.traffic.pace {
            return;
        }
        if self.traffic.rush.is_some() && self.engine.now() >= self.traffic.rush_ends {
            self.traffic.rush = None;
        }
        let guild = self.traffic.place();
        self.happens(guild);
        self.plan_traffic();
    }

    /// Something happens in a guild, or without one.
    pub(super) fn happens(&mut self, guild: Option<u32>) {
        let (name, data) = self.traffic.event(guild);
        // What has no guild goes to shard 0 of every generation.
        let target = guild.map_or(Target::Shard(0), |guild| Target::Guild(guild_id(guild)));
        effect::control(&mut self.engine, target, Control::Event { name: name.to_owned(), data });
        self.show_happened(guild);
    }

    /// Shows the newest event of the gateway to the rules.
    pub(super) fn show_happened(&mut self, guild: Option<u32>) {
        self.counts.events += 1;
        let event = self.engine.gateway().ledger().newest_event();
        let guild = guild.map_or(0, guild_id);
        let owed_by = self.owed_by(guild, event);
        self.show(&ClusterObservation::Happened { event, guild, owed_by: &owed_by });
    }

    /// Whether the old generation has no shard for a guild any more, while guilds are switched.
    fn has_no_old(&self, guild: u64) -> bool {
        let plan = self.plan();
        let shard = ShardId::of_guild(Snowflake(guild), plan.shards);
        let key = ShardKey { generation: plan.generation, shard };
        self.process.as_ref().is_some_and(|process| !process.slots.contains_key(&key))
    }

    /// Sessions that the gateway has ended are lost, although their shards may not know it yet.
    pub(super) fn show_lost_sessions(&mut self) {
        let Some(process) = &self.process else { return };
        let gateway = self.engine.gateway();
        let ended = process.slots.iter().filter(|(_, slot)| {
            !slot.is_shut_down
                && slot.session_id.as_ref().is_some_and(|id| gateway.session_number(id).is_none())
        });
        let lost: Vec<u64> = ended.filter_map(|(key, _)| self.sessions.get(key).copied()).collect();
        lost.into_iter().for_each(|session| self.show(&ClusterObservation::SessionLost { session }));
    }

    /// The sessions that the cluster has to have an event from: of those in charge, those that it was dispatched to.
    fn owed_by(&self, guild: u64, event: u64) -> Vec<u64> {
        let plan = self.plan();
        let ledger = self.engine.gateway().ledger();
        let home = |generation, shards| {
            let shard = ShardId::of_guild(Snowflake(guild), shards);
            let session = *self.sessions.get(&ShardKey { generation, shard })?;
            Some((session, ledger.event(session, ledger.newest(session)) == Some(event)))
        };
        let old = home(plan.generation, plan.shards);
        let cutting_over = plan.reshard.filter(|reshard| reshard.phase == ReshardPhase::CuttingOver);
        match (cutting_over, old) {
            (None, Some((session, true))) => vec![session],
            (None, _) => vec![],
            (Some(reshard), old) => match (old, home(plan.generation.next(), reshard.shards)) {
                (Some((old, true)), Some((new, true))) => vec![old, new],
                (None, Some((new, true))) if self.has_no_old(guild) => vec![new],
                // While one of them is down, the guild may be switched to it.
                _ => vec![],
            },
        }
    }
}
