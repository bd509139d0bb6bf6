//! Lets the planned faults happen.

use std::time::Duration;

use gateway_proto::codec::Raw;
use gateway_proto::command::{
    Activity, ActivityKind, ChannelInfoField, MemberSelection, Presence, RequestGuildMembers, Status,
    VoiceStateUpdate,
};
use gateway_proto::{Command, Encoding, Input, Reconnect, Shutdown, Snowflake};
use gateway_sim::{Action, Control, Point, Rule, Target, guild_id};

use crate::client::Restart;
use crate::fault::{Fault, Nonsense, Planned};
use crate::invariants::UNKNOWN_OPCODE;
use crate::link::LinkId;
use crate::machine::Machine;
use crate::observation::Observation;
use crate::plan::{Setting, User};
use crate::world::{Event, HEARTBEAT_INTERVAL, World};

impl<M: Machine> World<M> {
    /// Something goes wrong, or the user does something.
    pub(super) fn happen(&mut self, planned: Planned) {
        let Planned { shard, fault, .. } = planned;
        self.watch.note(self.now, || format!("fault {fault:?} for {}", who(shard)));
        if self.happens_to_the_world(&fault, shard) {
            return;
        }
        let everybody = 0..self.clients.len();
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
            Fault::WallClock { seconds } => self.wall_clock_ahead += i64::from(*seconds),
            _ => return false,
        }
        true
    }

    fn happens_to(&mut self, shard: usize, fault: &Fault) {
        let now = self.now;
        let link = self.clients[shard].link;
        match fault {
            Fault::Reset => link.into_iter().for_each(|link| self.break_link(link)),
            Fault::ResetAfter { messages, direction } => {
                self.on_link(link, |link| link.break_after(*messages, *direction));
            }
            Fault::HalfOpen { direction } => self.on_link(link, |link| link.lose(*direction)),
            Fault::Stall { lasting } => self.on_link(link, |link| link.stall(now + *lasting)),
            Fault::Slow { by, lasting } => self.on_link(link, |link| link.slow_down(*by, now + *lasting)),
            Fault::Unreachable { how, lasting } => {
                self.clients[shard].unreachable = Some((*how, now + *lasting));
            }
            Fault::Expire => {
                let id = self.clients[shard].session_id.as_ref();
                if let Some(session) = id.and_then(|id| self.gateway.session_number(id)) {
                    self.control(Target::Session(session), Control::Expire);
                }
            }
            Fault::Flood { events } => self.emit(shard, *events),
            Fault::Commands { .. }
            | Fault::SlowHandler { .. }
            | Fault::Crash { .. }
            | Fault::Redeploy { .. }
            | Fault::UserReconnect { .. } => self.user_does(shard, fault),
            _ => self.gateway_does(link, fault),
        }
    }

    fn on_link(&mut self, link: Option<LinkId>, change: impl FnOnce(&mut crate::link::Link)) {
        if let Some(link) = link.and_then(|link| self.links.get_mut(&link)) {
            change(link);
        }
    }

    /// What the gateway does on one connection.
    fn gateway_does(&mut self, link: Option<LinkId>, fault: &Fault) {
        let link = link.and_then(|link| self.links.get(&link));
        let open = link.filter(|link| link.server_holds);
        let Some(connection) = open.and_then(|link| link.connection) else { return };
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
        let client = &mut self.clients[shard];
        let process = client.process;
        let Some(machine) = &mut client.machine else { return };
        // Whoever sleeps does nothing; a process that is going down does nothing new.
        if self.suspended_until.is_some() || client.shutting_down.is_some() {
            return;
        }
        match fault {
            Fault::Commands { count } => {
                let Setting { user, shards, .. } = self.setting;
                for _ in 0..*count {
                    let command = match user {
                        User::Quick => command(&mut client.rng),
                        User::Thorough => any_command(&mut client.rng, shards, client.encoding),
                    };
                    // A full queue is an answer too.
                    let _ = machine.send(command);
                }
                let commands = machine.queued_commands();
                self.watch.observe(self.now, shard, &Observation::Queued { commands });
                self.drain(shard);
            }
            Fault::SlowHandler { lasting } if client.busy_until.is_none() => {
                let until = self.now + *lasting;
                client.busy_until = Some(until);
                self.queue.push(until, Event::HandlerDone(shard, process));
                self.give(shard, Input::ReadingPaused, None);
            }
            Fault::Crash { lasting } if !client.refused => {
                client.machine = None;
                client.inbox.clear();
                self.watch.observe(self.now, shard, &Observation::Died);
                self.leave(shard);
                self.cancel_permit(shard);
                self.crash_gate();
                self.queue.push(self.now + *lasting, Event::Start(shard, process));
            }
            Fault::Redeploy { lasting, log_off } if !client.refused => {
                let how = if *log_off { Shutdown::LogOff } else { Shutdown::Resumable };
                client.shutting_down = Some(Restart { at: self.now + *lasting, log_off: *log_off });
                machine.shutdown(how);
                let asked = Observation::UserAsked { gives_up_session: *log_off };
                self.watch.observe(self.now, shard, &asked);
                self.drain(shard);
            }
            Fault::UserReconnect { fresh } => {
                machine.reconnect(if *fresh { Reconnect::Fresh } else { Reconnect::Resume });
                let asked = Observation::UserAsked { gives_up_session: *fresh };
                self.watch.observe(self.now, shard, &asked);
                self.drain(shard);
            }
            _ => {}
        }
    }

    pub(super) fn handler_done(&mut self, shard: usize, process: u32) {
        let client = &mut self.clients[shard];
        if client.process != process || client.busy_until.is_none() {
            return;
        }
        if let Some(until) = self.suspended_until {
            client.busy_until = Some(until);
            return self.queue.push(until, Event::HandlerDone(shard, process));
        }
        client.busy_until = None;
        self.give(shard, Input::ReadingResumed, None);
        self.read_inbox(shard);
    }

    // ---- The machine that the shards run on -------------------------------------------------------------------

    fn suspend(&mut self, lasting: Duration, clock_stops: bool) {
        if self.suspended_until.is_none() {
            let until = self.now + lasting;
            self.suspended_until = Some(until);
            self.queue.push(until, Event::Wake(if clock_stops { lasting } else { Duration::ZERO }));
            for shard in 0..self.clients.len() {
                self.watch.observe(self.now, shard, &Observation::Suspended);
            }
        }
    }

    /// What the sockets hold is read before anybody looks at the clock.
    pub(super) fn wake(&mut self, clock_stood_still: Duration) {
        self.suspended_until = None;
        self.client_clock.stop(clock_stood_still);
        self.permit_at = None;
        for shard in 0..self.clients.len() {
            self.watch.observe(self.now, shard, &Observation::Woke);
            self.read_inbox(shard);
            self.give(shard, Input::Timeout, None);
        }
    }

    /// The faults are over: whatever has no end of its own ends now.
    pub(super) fn calm_down(&mut self) {
        self.watch.note(self.now, || "the faults are over".to_owned());
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

pub(crate) fn rule(at: Point, action: Action, times: u32, shard: Option<u32>) -> Rule {
    // Which shard it is shows only in Identify or Resume.
    let shard = shard.filter(|_| !matches!(at, Point::Upgrade | Point::Connect | Point::Hello));
    Rule { shard, count: (times != u32::MAX).then_some(times), ..Rule::once(at, action) }
}
