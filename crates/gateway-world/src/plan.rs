//! The faults of a world: drawn from the seed in cycles, each of which ends with a period without faults.

use std::time::Duration;

use fastrand::Rng;
use gateway_proto::{Compression, Encoding};
use gateway_sim::{Action, Point};
use serde::{Deserialize, Serialize};

use crate::fault::{Direction, Fault, Nonsense, Phase, Planned, Unreachable, rule};
use crate::profile::{CLUSTER, Kind, Profile};
use crate::time::Time;

/// The length of a cycle in hours.
pub(crate) const CYCLE_HOURS: f64 = 24.0;
/// The period without faults at the end of a cycle, in hours, in which the shards recover.
pub(crate) const CALM_HOURS: f64 = 1.0;

/// The time after the last fault within which every shard must be READY.
///
/// A shard may back off for up to ten minutes, once before a Resume and once before an Identify. It detects a dead
/// connection within two minutes, and may queue behind all other shards. It waits ten minutes for READY if its Identify
/// was lost.
pub const RECOVERY: Duration = Duration::from_secs(30 * 60);
/// [`Timeouts::ready_at_most`](gateway_proto::config::Timeouts::ready_at_most) in the world.
pub(crate) const READY_AT_MOST: Duration = Duration::from_secs(600);
/// [`RECOVERY`] for shards with the default timeouts: 80 minutes. Such a shard waits for READY through an outage of an
/// hour in which heartbeats are acknowledged and no Identify is answered.
pub const RECOVERY_BY_DEFAULT: Duration = Duration::from_secs(30 * 60 + 3600 - 600);
/// What every connection has an interval of, unless a fault changes it.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(41_250);
/// The token of all shards.
pub(crate) const TOKEN: &str = "the-token-of-the-world";

/// The settings of a world. They determine everything that happens in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// The seed of all random numbers.
    pub seed: u64,
    /// The duration in hours. The last hour is without faults.
    pub hours: f64,
    /// How many shards live in it; with [`User::Cluster`] the most that the bot is resharded to.
    pub shards: u32,
    /// The kinds and rates of faults.
    pub profile: Profile,
    /// The behaviour of the user.
    #[serde(default)]
    pub user: User,
}

/// The behaviour of the users of the shards, in addition to the planned faults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum User {
    /// Every dispatch is handled at once. Commands are presences and small requests.
    #[default]
    Quick,
    /// Half of the shards use [`Delivery::Acknowledged`](gateway_proto::config::Delivery), and handle dispatches slowly.
    /// Commands are of all kinds: requests for all members of existing guilds, voice, raw ones.
    Thorough,
    /// All shards are one bot's, in a cluster that is restarted and resharded. They acknowledge what the application has handled.
    Cluster,
}

/// Every encoding and compression has its shards.
pub(crate) fn format_of(shard: u32) -> (Encoding, Compression) {
    const FORMATS: [(Encoding, Compression); 8] = [
        (Encoding::Json, Compression::None),
        (Encoding::Json, Compression::ZstdStream),
        (Encoding::Json, Compression::None),
        (Encoding::Etf, Compression::None),
        (Encoding::Json, Compression::ZlibStream),
        (Encoding::Json, Compression::Payload),
        (Encoding::Etf, Compression::ZstdStream),
        (Encoding::Etf, Compression::ZlibStream),
    ];
    FORMATS[shard as usize % FORMATS.len()]
}

/// A period with faults and the calm period after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    /// The end of the faults.
    pub calm_from: Time,
    /// The end of the cycle.
    pub end: Time,
    /// The faults in order of time.
    pub faults: Vec<Planned>,
}

impl Setting {
    /// The cycle with this number. `None` if the world ends before it.
    pub fn cycle(&self, number: u32) -> Option<Cycle> {
        let start_hours = f64::from(number) * CYCLE_HOURS;
        if start_hours >= self.hours {
            return None;
        }
        let end_hours = (start_hours + CYCLE_HOURS).min(self.hours);
        let (start, end) = (Time::from_hours(start_hours), Time::from_hours(end_hours));
        let calm_from = Time::from_hours((end_hours - CALM_HOURS).max(start_hours));
        let rng = Rng::with_seed(self.seed ^ u64::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut draw = Draw { rng, shards: self.shards };
        let mut faults = Vec::new();
        let of_a_cluster = if self.user == User::Cluster { CLUSTER } else { &[] };
        let rates = self.profile.rates().iter().chain(of_a_cluster);
        for (kind, rate) in rates.filter(|(kind, _)| self.user != User::Cluster || !kind.is_of_a_process()) {
            let times = if kind.is_of_the_world() { 1 } else { self.shards };
            let an_hour = f64::from(*rate) * f64::from(times) / 1000.0;
            let mut at = start;
            loop {
                at = at + Duration::from_secs_f64(-draw.rng.f64().max(1e-12).ln() / an_hour * 3600.0);
                if at >= calm_from {
                    break;
                }
                draw.draw(*kind, at, calm_from, &mut faults);
            }
        }
        faults.sort_by_key(|planned| planned.at);
        Some(Cycle { calm_from, end, faults })
    }
}

/// Draws the parameters of faults.
struct Draw {
    rng: Rng,
    shards: u32,
}

impl Draw {
    fn draw(&mut self, kind: Kind, at: Time, calm_from: Time, faults: &mut Vec<Planned>) {
        let shard = (!kind.is_of_the_world()).then(|| self.rng.u32(0..self.shards));
        let longest = calm_from.since(at);
        let mut plan = |fault: Fault| faults.push(Planned { at, shard, fault: fault.within(longest) });
        match kind {
            Kind::Reset => plan(Fault::Reset),
            // A connection that is opened now breaks in its handshake or its replay.
            Kind::ResetAfter => {
                let messages = self.rng.u32(0..12);
                let direction = if self.rng.bool() { Direction::Up } else { Direction::Down };
                plan(Fault::Reset);
                let fault = Fault::ResetAfter { messages, direction };
                faults.push(Planned { at: at + self.milliseconds(0, 4000), shard, fault });
            }
            Kind::HalfOpen => {
                let direction = self.pick(&[Direction::Up, Direction::Down, Direction::Both]);
                plan(Fault::HalfOpen { direction });
            }
            Kind::Stall => plan(Fault::Stall { lasting: self.seconds(1, 200) }),
            Kind::Slow => {
                plan(Fault::Slow { by: self.milliseconds(100, 5000), lasting: self.seconds(10, 600) });
            }
            Kind::Unreachable => {
                plan(Fault::Reset);
                let fault = Fault::Unreachable { how: self.unreachable(), lasting: self.seconds(1, 1800) };
                faults.push(Planned { at, shard, fault: fault.within(longest) });
            }
            Kind::Reconnect => plan(Fault::Reconnect { then_emit: self.rng.u32(0..20) }),
            Kind::Invalid => plan(Fault::Invalid { resumable: self.rng.bool() }),
            Kind::Close => plan(Fault::Close { code: self.close_code() }),
            Kind::FatalClose => {
                let code = self.pick(&[4004, 4010, 4011, 4012, 4013, 4014]);
                plan(Fault::Close { code: Some(code) });
            }
            Kind::Expire => plan(Fault::Expire),
            Kind::Beat => plan(Fault::Beat { times: self.pick(&[1, 1, 1, 3, 200]) }),
            Kind::Hello => plan(Fault::Hello),
            Kind::Mute => plan(Fault::Mute),
            Kind::Rule => {
                let (at, action) = self.rule();
                plan(Fault::Reset);
                let fault = Fault::Rule { at, action, times: self.rng.u32(1..7) };
                faults.push(Planned { at: at_of(faults), shard, fault });
            }
            Kind::Nonsense => {
                let what = self.pick(&[
                    Nonsense::Text,
                    Nonsense::Bytes,
                    Nonsense::Opcode,
                    Nonsense::Dispatch,
                    Nonsense::Hello,
                ]);
                plan(Fault::Nonsense { what });
            }
            Kind::Flood => plan(Fault::Flood { events: self.rng.u32(1..400) }),
            Kind::Commands => plan(Fault::Commands { count: self.pick(&[1, 1, 1, 2, 5, 300]) }),
            Kind::SlowHandler => plan(Fault::SlowHandler { lasting: self.seconds(1, 300) }),
            Kind::Crash => plan(Fault::Crash { lasting: self.seconds(1, 600) }),
            Kind::Redeploy => {
                plan(Fault::Redeploy { lasting: self.seconds(1, 120), log_off: self.rng.u8(0..8) == 0 });
            }
            Kind::UserReconnect => plan(Fault::UserReconnect { fresh: self.rng.u8(0..4) == 0 }),
            Kind::Blackout => {
                plan(Fault::Unreachable { how: self.unreachable(), lasting: self.seconds(600, 6 * 3600) });
                faults.push(Planned { at, shard, fault: Fault::Reset });
            }
            Kind::Restart => {
                plan(Fault::Restart { lasting: self.seconds(1, 900), forgets: self.rng.u8(0..4) == 0 });
            }
            Kind::Brownout => self.brownout(at, calm_from, faults),
            Kind::HeartbeatInterval => {
                plan(Fault::HeartbeatInterval { interval: self.milliseconds(1000, 60_000) });
            }
            Kind::AckDelay => plan(Fault::AckDelay { by: self.seconds(1, 60) }),
            Kind::Suspend => {
                plan(Fault::Suspend { lasting: self.seconds(5, 4 * 3600), clock_stops: self.rng.bool() });
            }
            Kind::WallClock => plan(Fault::WallClock { seconds: self.rng.i32(-4000..4000) }),
            Kind::Reshard => self.reshard(at, calm_from, faults),
            Kind::RollingRestart => plan(Fault::RollingRestart),
            Kind::Recommend => plan(Fault::Recommend { shards: self.rng.u32(1..=self.shards) }),
            Kind::Handover => {
                let fault = Fault::Handover { lasting: self.seconds(1, 120) };
                let shard = Some(self.rng.u32(0..self.shards));
                faults.push(Planned { at, shard, fault: fault.within(longest) });
            }
            Kind::StorageFails => plan(Fault::StorageFails { lasting: self.seconds(1, 300) }),
            Kind::Voice => plan(Fault::Voice { guild: self.rng.u32(..), joins: self.rng.bool() }),
            Kind::ShardingRequired => {
                let shard = Some(self.rng.u32(0..self.shards));
                faults.push(Planned { at, shard, fault: Fault::Close { code: Some(4011) } });
            }
            Kind::CrashOfAll => plan(Fault::Crash { lasting: self.seconds(1, 600) }),
            Kind::RedeployOfAll => {
                plan(Fault::Redeploy { lasting: self.seconds(1, 120), log_off: self.rng.u8(0..8) == 0 });
            }
        }
    }

    /// Another number of shards. Now and then it is aborted, and another is asked for at once, or the process dies on the way.
    fn reshard(&mut self, at: Time, calm_from: Time, faults: &mut Vec<Planned>) {
        let longest = calm_from.since(at);
        let mut plan = |at, fault: Fault| {
            faults.push(Planned { at, shard: None, fault: fault.within(longest) });
        };
        if self.rng.u8(0..4) == 0 {
            let phase = self.pick(&[
                Phase::Preparing,
                Phase::Overlapping,
                Phase::CuttingOver,
                Phase::CuttingOver,
                Phase::Retiring,
            ]);
            let after = self.milliseconds(1, 20_000);
            plan(at, Fault::CrashIn { phase, after, lasting: self.seconds(1, 400) });
        }
        plan(at, Fault::Reshard { shards: self.rng.u32(1..=self.shards) });
        if self.rng.u8(0..8) == 0 {
            let aborted_at = at + self.milliseconds(10, 200_000);
            plan(aborted_at, Fault::AbortReshard);
            if self.rng.bool() {
                let again_at = aborted_at + self.milliseconds(1, 3000);
                plan(again_at, Fault::Reshard { shards: self.rng.u32(1..=self.shards) });
            }
        }
    }

    /// A period of up to some hours in which every connection fails at one point.
    fn brownout(&mut self, at: Time, calm_from: Time, faults: &mut Vec<Planned>) {
        let end = (at + self.seconds(300, 4 * 3600)).min(calm_from);
        let (point, action) = self.rule();
        faults.push(Planned { at, shard: None, fault: Fault::Reset });
        faults.push(Planned { at, shard: None, fault: Fault::Rule { at: point, action, times: u32::MAX } });
        faults.push(Planned { at: end, shard: None, fault: Fault::EndRules });
    }

    /// A valid rule.
    fn rule(&mut self) -> (Point, Action) {
        loop {
            let (at, action) = self.any_rule();
            if rule(at, action.clone(), 1, None).check().is_ok() {
                return (at, action);
            }
        }
    }

    fn any_rule(&mut self) -> (Point, Action) {
        let at = self.pick(&[
            Point::Upgrade,
            Point::Connect,
            Point::Hello,
            Point::Identify,
            Point::Ready,
            Point::Resume,
            Point::Replay,
            Point::Resumed,
            Point::Heartbeat,
            Point::Close,
        ]);
        let action = match self.rng.u8(0..9) {
            0 | 1 => Action::Close(self.close_code()),
            2 => Action::Abort,
            3 => Action::Drop,
            4 => Action::Invalid(true),
            5 => Action::Invalid(false),
            6 => Action::Reconnect,
            // A gateway that skips the replay and continues has lost the events itself.
            7 if at != Point::Replay => Action::Ignore,
            _ => Action::Delay(self.milliseconds(100, 100_000)),
        };
        (at, action)
    }

    fn unreachable(&mut self) -> Unreachable {
        match self.rng.u8(0..6) {
            0 => Unreachable::Dns,
            1 => Unreachable::Tcp,
            2 => Unreachable::Tls,
            3 => Unreachable::Nothing,
            4 => Unreachable::Handshake,
            _ => Unreachable::Refused {
                status: self.pick(&[401, 403, 404, 429, 500, 502, 503, 520]),
                retry_after: self.rng.bool().then(|| self.rng.u32(1..300)),
            },
        }
    }

    /// A close code after which a client reconnects, or none.
    fn close_code(&mut self) -> Option<u16> {
        self.pick(&[
            None,
            Some(1000),
            Some(1001),
            Some(1011),
            Some(4000),
            Some(4001),
            Some(4002),
            Some(4003),
            Some(4005),
            Some(4007),
            Some(4008),
            Some(4009),
            Some(4099),
        ])
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.usize(0..choices.len())]
    }

    fn seconds(&mut self, least: u64, most: u64) -> Duration {
        self.milliseconds(least * 1000, most * 1000)
    }

    /// Uniform in the exponent, so that short times are as likely as long ones.
    fn milliseconds(&mut self, least: u64, most: u64) -> Duration {
        let (least, most) = (least.max(1) as f64, most as f64);
        Duration::from_millis((least * (most / least).powf(self.rng.f64())) as u64)
    }
}

/// The time of the newest fault of the list.
fn at_of(faults: &[Planned]) -> Time {
    faults.last().map_or(Time::ZERO, |planned| planned.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(profile: Profile) -> Setting {
        Setting { seed: 1, hours: 50.0, shards: 5, profile, user: User::Quick }
    }

    #[test]
    fn the_same_seed_plans_the_same_and_another_does_not() {
        let hostile = setting(Profile::Hostile);
        assert_eq!(hostile.cycle(1), hostile.cycle(1));
        assert_ne!(hostile.cycle(0).unwrap().faults, hostile.cycle(1).unwrap().faults);
        assert_ne!(hostile.cycle(0), Setting { seed: 2, ..hostile }.cycle(0));
    }

    #[test]
    fn cycles_cover_the_world_and_every_fault_ends_before_the_calm() {
        for profile in Profile::ALL {
            let setting = setting(profile);
            let cycles: Vec<Cycle> = (0..).map_while(|number| setting.cycle(number)).collect();
            assert_eq!(cycles.len(), 3);
            assert_eq!(cycles[2].end, Time::from_hours(50.0));
            for cycle in cycles {
                assert!(cycle.faults.is_sorted_by_key(|planned| planned.at));
                for Planned { at, fault, .. } in &cycle.faults {
                    let end = *at + fault.lasting().unwrap_or_default();
                    assert!(end <= cycle.calm_from + Duration::from_secs(4), "{at} {fault:?}");
                }
            }
        }
    }
}
