//! Lets the planned faults happen.

use std::time::Duration;

use gateway_proto::codec::Raw;
use gateway_proto::command::{
    Activity, ActivityKind, ChannelInfoField, MemberSelection, Presence, RequestGuildMembers, Status,
    VoiceStateUpdate,
};
use gateway_proto::{Command, Encoding, Reconnect, Shutdown, Snowflake};
use gateway_sim::{Control, Target, guild_id};

use super::bot::Restart;
use super::process::index;
use super::{Event, HEARTBEAT_INTERVAL, World, gate};
use crate::engine::{ClientId, Link};
use crate::fault::{Fault, Nonsense, Planned, rule};
use crate::invariants::UNKNOWN_OPCODE;
use crate::observation::Observation;
use crate::plan::{Setting, User};

impl World {
    /// Something goes wrong, or the user does something.
    pub(super) fn happen(&mut self, planned: Planned) {
        let Planned { shard, fault, .. } = planned;
        self.note(|| format!("fault {fault:?} for {}", who(shard)));
        if self.happens_to_the_world(&fault, shard) {
            return;
        }
        let everybody = 0..self.bots.len();
        match shard {
            Some(shard) if everybody.contains(&(shard as usize)) => self.happens_to(shard as usize, &fault),
            Some(_) => {}
            None => everybody.for_each(|shard| self.happens_to(shard, &fault)),
        }
    }

    /// What is not of one shard. False: it is not of that kind.
    fn happens_to_the_world(&mut self, fault: &Fault, shard: Option<u32>) -> bool {
        match fault {
            Fault::Restart { lasting, forgets } => {
                self.control(Target::All, Control::Down { duration: *lasting, emit: 0 });
                if *forgets {
                    self.control(Target::All, Control::Expire);
                }
            }
            Fault::HeartbeatInterval { interval } => {
                self.control(Target::All, Control::HeartbeatInterval(*interval));
            }
            Fault::AckDelay { by } => self.control(Target::All, Control::AckDelay(*by)),
            Fault::Rule { at, action, times } => {
                let rule = rule(*at, action.clone(), *times, shard);
                if rule.check().is_ok() {
                    self.control(Target::All, Control::Rule(rule));
                }
            }
            Fault::EndRules => self.control(Target::All, Control::ClearRules(None)),
            Fault::Suspend { lasting, clock_stops } => self.suspend(*lasting, *clock_stops),
            Fault::WallClock { seconds } => {
                self.wall_clock_ahead += i64::from(*seconds);
                self.set_wall_clock();
            }
            _ => return false,
        }
        true
    }

    fn happens_to(&mut self, shard: usize, fault: &Fault) {
        let now = self.engine.now();
        let process = self.running(shard);
        let mut on_link = |change: &dyn Fn(&mut Link)| {
            if let Some(link) = process.and_then(|id| self.engine.link_mut(id)) {
                change(link);
            }
        };
        match fault {
            Fault::Reset => process.into_iter().for_each(|id| self.engine.break_link(id)),
            Fault::ResetAfter { messages, direction } => {
                on_link(&|link| link.break_after(*messages, *direction));
            }
            Fault::HalfOpen { direction } => on_link(&|link| link.lose(*direction)),
            Fault::Stall { lasting } => on_link(&|link| link.stall(now + *lasting)),
            Fault::Slow { by, lasting } => on_link(&|link| link.slow_down(*by, now + *lasting)),
            Fault::Unreachable { how, lasting } => {
                self.bots[shard].unreachable = Some((*how, now + *lasting));
            }
            Fault::Expire => {
                let id = self.bots[shard].session_id.as_ref();
                if let Some(session) = id.and_then(|id| self.engine.gateway().session_number(id)) {
                    self.control(Target::Session(session), Control::Expire);
                }
            }
            Fault::Flood { events } => self.emit(shard, *events),
            Fault::Commands { .. }
            | Fault::SlowHandler { .. }
            | Fault::Crash { .. }
            | Fault::Redeploy { .. }
            | Fault::UserReconnect { .. } => self.user_does(shard, fault),
            _ => self.gateway_does(process, fault),
        }
    }

    /// What the gateway does on one connection.
    fn gateway_does(&mut self, process: Option<ClientId>, fault: &Fault) {
        let Some(connection) = process.and_then(|id| self.engine.connection(id)) else { return };
        let mut control = |control| self.control(Target::Connection(connection), control);
        match fault {
            Fault::Reconnect { then_emit } => control(Control::Reconnect { then_emit: *then_emit }),
            Fault::Invalid { resumable } => control(Control::Invalid { resumable: *resumable }),
            Fault::Close { code } => control(Control::Close { code: *code }),
            Fault::Beat { times } => (0..*times).for_each(|_| control(Control::Beat)),
            Fault::Hello => control(Control::Hello),
            Fault::Mute => control(Control::Mute(true)),
            Fault::Nonsense { what } => control(nonsense(*what)),
            _ => {}
        }
    }

    // ---- The user ---------------------------------------------------------------------------------------------

    fn user_does(&mut self, shard: usize, fault: &Fault) {
        let now = self.engine.now();
        let Some(id) = self.running(shard) else { return };
        let bot = &mut self.bots[shard];
        // While it sleeps it does nothing; a process that is going down does nothing new.
        if self.suspended_until.is_some() || bot.shutting_down.is_some() {
            return;
        }
        match fault {
            Fault::Commands { count } => {
                let Setting { user, shards, .. } = self.setting;
                let Some(client) = self.engine.client_mut(id) else { return };
                for _ in 0..*count {
                    let command = match user {
                        User::Quick => command(&mut bot.rng),
                        User::Thorough => any_command(&mut bot.rng, shards, bot.encoding),
                    };
                    // A full queue is an answer too.
                    let _ = client.send(command);
                }
                let commands = client.health().queued_commands;
                self.observe(shard, &Observation::Queued { commands });
            }
            Fault::SlowHandler { lasting } if bot.busy_until.is_none() => {
                bot.busy_until = Some(now + *lasting);
                self.engine.plan(now + *lasting, Event::HandlerDone(id));
                self.engine.set_reading(id, false);
            }
            Fault::Crash { lasting } if !bot.refused => {
                self.observe(shard, &Observation::Died);
                self.engine.remove(id);
                // The gate dies with it.
                let client_now = self.engine.client_now();
                let gate = gate::restored(self.setting.shards, self.kept.as_ref(), now, client_now);
                self.engine.replace_gate(gate);
                self.engine.plan(now + *lasting, Event::Start(shard, Some(id)));
            }
            Fault::Redeploy { lasting, log_off } if !bot.refused => {
                let how = if *log_off { Shutdown::LogOff } else { Shutdown::Resumable };
                bot.shutting_down = Some(Restart { at: now + *lasting, log_off: *log_off });
                self.engine.client_mut(id).into_iter().for_each(|client| client.shutdown(how));
                self.observe(shard, &Observation::UserAsked { gives_up_session: *log_off });
            }
            Fault::UserReconnect { fresh } => {
                let how = if *fresh { Reconnect::Fresh } else { Reconnect::Resume };
                self.engine.client_mut(id).into_iter().for_each(|client| client.reconnect(how));
                self.observe(shard, &Observation::UserAsked { gives_up_session: *fresh });
            }
            _ => {}
        }
    }

    pub(super) fn handler_done(&mut self, id: ClientId) {
        let bot = &mut self.bots[index(id)];
        if bot.process != Some(id) || bot.busy_until.is_none() {
            return;
        }
        if let Some(until) = self.suspended_until {
            bot.busy_until = Some(until);
            return self.engine.plan(until, Event::HandlerDone(id));
        }
        bot.busy_until = None;
        self.engine.set_reading(id, true);
    }

    // ---- The machine that the shards run on -------------------------------------------------------------------

    fn suspend(&mut self, lasting: Duration, clock_stops: bool) {
        if self.suspended_until.is_none() {
            let until = self.engine.now() + lasting;
            self.suspended_until = Some(until);
            self.engine.suspend();
            self.engine.plan(until, Event::Wake(if clock_stops { lasting } else { Duration::ZERO }));
            (0..self.bots.len()).for_each(|shard| self.observe(shard, &Observation::Suspended));
        }
    }

    pub(super) fn wake(&mut self, clock_stood_still: Duration) {
        self.suspended_until = None;
        (0..self.bots.len()).for_each(|shard| self.observe(shard, &Observation::Woke));
        self.engine.resume(clock_stood_still);
    }

    /// The faults are over: whatever has no end of its own ends now.
    pub(super) fn calm_down(&mut self) {
        self.note(|| "the faults are over".to_owned());
        self.control(Target::All, Control::ClearRules(None));
        self.control(Target::All, Control::HeartbeatInterval(HEARTBEAT_INTERVAL));
        self.control(Target::All, Control::AckDelay(Duration::ZERO));
    }
}

fn who(shard: Option<u32>) -> String {
    shard.map_or("all".to_owned(), |shard| format!("shard {shard}"))
}

fn command(rng: &mut fastrand::Rng) -> Command {
    let guild_id = Snowflake(rng.u64(1..1 << 60));
    match rng.u8(0..4) {
        0 => {
            let game = Activity::new(ActivityKind::Playing, format!("game {}", rng.u8(..)));
            Command::UpdatePresence(Presence::new(Status::Online, [game]))
        }
        1 => Command::RequestSoundboardSounds { guild_ids: vec![guild_id] },
        _ => {
            let members = MemberSelection::Prefix { query: "a".to_owned(), limit: 10 };
            let mut request = RequestGuildMembers::new(guild_id, members);
            request.nonce = Some(rng.u64(..).to_string());
            Command::RequestGuildMembers(request)
        }
    }
}

/// Of all kinds, about guilds that there are. Two requests for all members of a guild within 30 s, of two shards or of two
/// processes, get RATE_LIMITED.
fn any_command(rng: &mut fastrand::Rng, guilds: u32, encoding: Encoding) -> Command {
    let guild_id = Snowflake(guild_id(rng.u32(0..guilds)));
    match rng.u8(0..8) {
        0 | 1 => {
            let mut request = RequestGuildMembers::new(guild_id, MemberSelection::Everyone);
            request.nonce = Some(rng.u32(..).to_string());
            Command::RequestGuildMembers(request)
        }
        2 => {
            let mut update = VoiceStateUpdate::new(guild_id, rng.bool().then_some(guild_id));
            update.self_mute = rng.bool();
            Command::UpdateVoiceState(update)
        }
        3 => Command::RequestSoundboardSounds { guild_ids: vec![guild_id] },
        4 => Command::RequestChannelInfo { guild_id, fields: vec![ChannelInfoField::Status] },
        5 => {
            let data = serde_json::json!({"guild_ids": [guild_id.0.to_string()]});
            let data = Raw::encode(&data, encoding).expect("JSON values can be written");
            // The gateway closes with 4001.
            Command::Raw { op: if rng.u8(0..50) == 0 { UNKNOWN_OPCODE } else { 31 }, data }
        }
        _ => command(rng),
    }
}

fn nonsense(what: Nonsense) -> Control {
    match what {
        Nonsense::Text => Control::Raw("this is no JSON".to_owned()),
        Nonsense::Bytes => Control::RawBytes(vec![0xff, 0, 0xff, 0, 0xff]),
        Nonsense::Opcode => Control::Raw(r#"{"t":null,"s":null,"op":77,"d":{"a":[1]}}"#.to_owned()),
        Nonsense::Dispatch => Control::Raw(r#"{"t":"NOBODY_KNOWS","s":null,"op":0,"d":null}"#.to_owned()),
        Nonsense::Hello => {
            Control::Raw(r#"{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":0}}"#.to_owned())
        }
    }
}
