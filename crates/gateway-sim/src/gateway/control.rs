//! Performs control commands.

use std::time::Instant;

use serde_json::{Value, json};

use super::Gateway;
use super::events::Delivery;
use crate::control::{Control, Target};
use crate::control_error::ControlError;
use crate::io::{ConnectionId, Output};
use crate::message::{About, Message};
use crate::rules::Action;
use crate::switchboard::WITHOUT_CODE;
use crate::timers::Timer;
use crate::traffic::Kind;
use crate::wire::Payload;

impl Gateway {
    /// Performs a command on everything that `target` covers. Returns JSON: the state for [`Control::State`], otherwise
    /// the number of connections or sessions affected.
    ///
    /// # Errors
    /// If a value is invalid, or a connection or session does not exist; nothing was changed.
    pub fn control(&mut self, target: Target, control: Control, now: Instant) -> Result<Value, ControlError> {
        self.handle_timeout(now);
        self.carry_out(target, control)
    }

    fn carry_out(&mut self, target: Target, control: Control) -> Result<Value, ControlError> {
        check(&control)?;
        self.check_target(target)?;
        if let (Control::Voice { .. }, false) = (&control, matches!(target, Target::Guild(_))) {
            return Err(ControlError::new("voice needs guild"));
        }
        let sessions = self.sessions_of(target);
        let connections = self.connections_of(target);
        let concerned = match &control {
            Control::State => return Ok(self.state()),
            Control::Emit { .. }
            | Control::Pump { .. }
            | Control::Event { .. }
            | Control::Lose { .. }
            | Control::Skip { .. }
            | Control::Voice { .. }
            | Control::Expire => sessions.len(),
            _ => connections.len(),
        };
        match control {
            Control::State => {}
            Control::Emit { count, padding } => self.emit(target, count, padding),
            Control::Lose { count } => self.lose(target, count),
            Control::Skip { count } => {
                sessions.into_iter().for_each(|session| self.board.sessions.skip(session, count));
            }
            Control::Pump { rate, duration, padding } => {
                let (kind, now) = (Kind::Emit { target, padding }, self.board.now);
                self.traffic.flood(kind, rate, now + duration, &mut self.board.timers, now);
            }
            Control::Rate(rate) => {
                self.traffic.set_background_rate(rate);
                if !self.board.sessions.is_empty() {
                    self.traffic.start_background(&mut self.board.timers, self.board.now);
                }
            }
            Control::Event { name, data } => {
                let guild = match target {
                    Target::Guild(guild) => Some(guild),
                    _ => self.guild_of(&data),
                };
                self.happens(guild, &sessions, name, &data.to_string().into(), Delivery::Sent);
            }
            Control::Voice { joins } => {
                if let Target::Guild(id) = target
                    && let Some(guild) = self.world.guild_number(id)
                {
                    self.move_bot(guild, joins);
                }
            }
            Control::Expire => sessions.into_iter().for_each(|session| self.board.end_session(session)),
            Control::HeartbeatInterval(interval) => self.config.heartbeat_interval = interval,
            Control::AckDelay(delay) => self.config.ack_delay = delay,
            Control::Rule(rule) => self.faults.rules.add(rule),
            Control::ClearRules(point) => self.faults.rules.clear(point),
            Control::FrameMode(mode) => {
                self.config.frame_mode = mode;
                self.board.each_encoder(&connections, |encoder| encoder.frame_mode = mode);
            }
            Control::KeyOrder(order) => {
                self.config.key_order = order;
                self.board.each_encoder(&connections, |encoder| encoder.key_order = order);
            }
            Control::Down { duration, emit } => {
                let until = self.board.now + duration;
                self.faults.go_down(until);
                self.board.timers.set(until, Timer::Up);
                connections.into_iter().for_each(|id| self.board.abort(id));
                self.emit(target, emit, 0);
            }
            control => connections.into_iter().for_each(|id| self.control_connection(id, &control)),
        }
        Ok(json!({"ok": true, "concerned": concerned}))
    }

    /// Performs a step of the script.
    pub(super) fn step(&mut self, index: usize, id: Option<ConnectionId>) {
        let Some(step) = self.config.script.get(index).cloned() else {
            return;
        };
        let target = step.target.or(id.map(Target::Connection)).unwrap_or_default();
        // An invalid value changes nothing. A script cannot report it.
        let _ = self.carry_out(target, step.control);
    }

    /// The live sessions of a target, in order.
    pub(super) fn sessions_of(&self, target: Target) -> Vec<u64> {
        match target {
            Target::All => self.board.sessions.iter().map(|session| session.number).collect(),
            Target::Connection(id) => self.board.session_of(id).into_iter().collect(),
            Target::Session(number) => {
                self.board.sessions.get(number).map(|session| session.number).into_iter().collect()
            }
            Target::Guild(id) => self.board.sessions.of_guild(id).map(|session| session.number).collect(),
            Target::Shard(shard) => {
                let of_shard = self.board.sessions.iter().filter(|session| session.shard.0 == shard);
                of_shard.map(|session| session.number).collect()
            }
        }
    }

    fn connections_of(&self, target: Target) -> Vec<ConnectionId> {
        match target {
            Target::All => self.connections().collect(),
            Target::Connection(id) => self.board.connection(id).map(|_| id).into_iter().collect(),
            Target::Session(_) | Target::Shard(_) | Target::Guild(_) => {
                let sessions = self.sessions_of(target);
                sessions.iter().filter_map(|session| self.board.sessions.get(*session)?.connection).collect()
            }
        }
    }

    /// A connection or a session must exist. A shard may be absent at the moment.
    fn check_target(&self, target: Target) -> Result<(), ControlError> {
        match target {
            Target::Connection(id) if self.board.connection(id).is_none() => {
                Err(ControlError::new(format!("there is no connection {id}")))
            }
            Target::Session(number) if self.board.sessions.get(number).is_none() => {
                Err(ControlError::new(format!("there is no session {number}")))
            }
            Target::Guild(id) if self.world.guild_number(id).is_none() => {
                Err(ControlError::new(format!("there is no guild {id}")))
            }
            _ => Ok(()),
        }
    }

    /// The guild named in the `d` of an event.
    fn guild_of(&self, data: &Value) -> Option<u64> {
        let id = data["guild_id"].as_str()?.parse().ok()?;
        self.world.guild_number(id).map(|_| id)
    }

    fn control_connection(&mut self, id: ConnectionId, control: &Control) {
        match control {
            Control::Raw(text) => {
                let document = text.clone().into_bytes();
                self.board.send_by(id, |encoder| encoder.raw(document, About::default()));
            }
            Control::RawText(text) => self.send_past_encoder(id, false, text.clone().into_bytes()),
            Control::RawBytes(bytes) => self.send_past_encoder(id, true, bytes.clone()),
            Control::Payload(payload) => self.board.send_by(id, |encoder| encoder.whole(payload)),
            Control::Ping => self.board.ping(id),
            Control::Reconnect { then_emit } => {
                self.act(id, Action::Reconnect);
                self.emit(Target::Connection(id), *then_emit, 0);
            }
            Control::Invalid { resumable } => self.board.invalid(id, *resumable),
            Control::Close { code } => self.board.close_with(id, *code),
            Control::Abort => self.board.abort(id),
            Control::Drop => self.board.drop_connection(id),
            Control::Cut => {
                let waiting = self.board.waiting_outputs();
                if let Some(session) = self.board.session_of(id) {
                    self.emit(Target::Session(session), 1, 0);
                }
                self.board.cut(id, waiting);
            }
            Control::Mute(muted) => self.board.mute(id, *muted),
            Control::Silence => self.board.silence(id),
            Control::Beat => self.board.send(id, &Payload::control(1, "null")),
            Control::Hello => self.hello(id),
            Control::Bytes(fault) => self.board.put(id, Output::Bytes(*fault)),
            _ => {}
        }
    }

    fn send_past_encoder(&mut self, id: ConnectionId, binary: bool, payload: Vec<u8>) {
        let message = Message { binary, payload, fragments: 1, about: About::default() };
        self.board.send_by(id, |_| vec![message]);
    }
}

fn check(control: &Control) -> Result<(), ControlError> {
    match control {
        Control::Pump { rate, .. } if !(rate.is_finite() && *rate > 0.0) => {
            Err(ControlError::new("rate must be a number above 0"))
        }
        Control::Rate(rate) if !(rate.is_finite() && *rate >= 0.0) => {
            Err(ControlError::new("rate must be a number, 0 or above"))
        }
        Control::Payload(payload) if !payload.is_object() => Err(ControlError::new("a payload is an object")),
        Control::Close { code: Some(code) } => sendable(*code),
        Control::Rule(rule) => {
            rule.check()?;
            match rule.action {
                Action::Close(Some(code)) => sendable(code),
                _ => Ok(()),
            }
        }
        Control::HeartbeatInterval(interval) if interval.is_zero() => {
            Err(ControlError::new("the heartbeat interval must be above 0"))
        }
        _ => Ok(()),
    }
}

/// Rejects codes that must not appear in a close frame (RFC 6455, section 7.4).
fn sendable(code: u16) -> Result<(), ControlError> {
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(()),
        WITHOUT_CODE => {
            Err(ControlError::new("1005 cannot be sent; leave the code out for a close frame without one"))
        }
        code => Err(ControlError::new(format!("{code} is not a code that a close frame may carry"))),
    }
}
