//! Carries out control commands.

use serde_json::{Value, json};

use crate::control::{Control, Target};
use crate::control_error::ControlError;
use crate::gateway::{Gateway, Timer};
use crate::io::{ConnectionId, Output};
use crate::lifecycle::WITHOUT_CODE;
use crate::message::{About, Message};
use crate::rules::{Action, Point, Rule};
use crate::script::When;
use crate::trace::Direction;
use crate::wire::Payload;

impl Gateway {
    /// Does what a command says to everything that `target` covers. The answer is JSON: the state for [`Control::State`],
    /// else how many connections or sessions it concerned.
    ///
    /// # Errors
    /// A value that makes no sense, or a connection or session that is not there; nothing was changed.
    pub fn control(
        &mut self,
        target: Target,
        control: Control,
        now: std::time::Instant,
    ) -> Result<Value, ControlError> {
        self.handle_timeout(now);
        self.carry_out(target, control)
    }

    fn carry_out(&mut self, target: Target, control: Control) -> Result<Value, ControlError> {
        check(&control)?;
        self.check_target(target)?;
        let sessions = self.sessions_of(target);
        let connections = self.connections_of(target);
        let concerned = match &control {
            Control::State => return Ok(self.state()),
            Control::Emit { .. }
            | Control::Pump { .. }
            | Control::Event { .. }
            | Control::Lose { .. }
            | Control::Skip { .. }
            | Control::Expire => sessions.len(),
            _ => connections.len(),
        };
        match control {
            Control::State => {}
            Control::Emit { count, padding } => self.emit(target, count, padding),
            Control::Lose { count } => self.lose(target, count),
            Control::Skip { count } => sessions.into_iter().for_each(|session| self.skip(session, count)),
            Control::Pump { rate, duration, padding } => self.flood(target, rate, duration, padding),
            Control::Rate(rate) => self.set_background(rate),
            Control::Event { name, data } => {
                let data: std::sync::Arc<str> = data.to_string().into();
                for session in sessions {
                    self.dispatch(session, name.clone(), data.clone());
                }
            }
            Control::Expire => sessions.into_iter().for_each(|session| self.end_session(session)),
            Control::HeartbeatInterval(interval) => self.config.heartbeat_interval = interval,
            Control::AckDelay(delay) => self.config.ack_delay = delay,
            Control::Rule(rule) => self.rules.add(rule),
            Control::ClearRules(point) => self.rules.clear(point),
            Control::FrameMode(mode) => {
                self.config.frame_mode = mode;
                self.each_encoder(&connections, |encoder| encoder.frame_mode = mode);
            }
            Control::KeyOrder(order) => {
                self.config.key_order = order;
                self.each_encoder(&connections, |encoder| encoder.key_order = order);
            }
            Control::Down { duration, emit } => {
                let until = self.now + duration;
                self.down_until = Some(until);
                self.timers.set(until, Timer::Up);
                connections.into_iter().for_each(|id| self.abort(id));
                self.emit(target, emit, 0);
            }
            control => connections.into_iter().for_each(|id| self.control_connection(id, &control)),
        }
        Ok(json!({"ok": true, "concerned": concerned}))
    }

    /// A connection reached a point: steps of the script that wait for it are set, and the rule for it is taken.
    pub(crate) fn reached(&mut self, id: ConnectionId, point: Point) -> Option<Rule> {
        let count = self.reached.entry(point).or_default();
        *count += 1;
        for (index, step) in self.config.script.iter().enumerate() {
            match step.when {
                When::Reached { point: wanted, number, after } if (wanted, number) == (point, *count) => {
                    self.timers.set(self.now + after, Timer::Step(index, Some(id)));
                }
                _ => {}
            }
        }
        let shard = self.connections.get(&id).and_then(|connection| connection.shard);
        self.rules.take(point, shard)
    }

    /// Takes a step of the script.
    pub(crate) fn step(&mut self, index: usize, id: Option<ConnectionId>) {
        let Some(step) = self.config.script.get(index).cloned() else {
            return;
        };
        let target = step.target.or(id.map(Target::Connection)).unwrap_or_default();
        // A value that makes no sense changes nothing, and there is nobody to tell.
        let _ = self.carry_out(target, step.control);
    }

    /// The live sessions of a target, in order.
    pub(crate) fn sessions_of(&self, target: Target) -> Vec<u64> {
        match target {
            Target::All => self.sessions.keys().copied().collect(),
            Target::Connection(id) => self.session_of(id).into_iter().collect(),
            Target::Session(number) => {
                self.sessions.get(&number).map(|session| session.number).into_iter().collect()
            }
            Target::Shard(shard) => {
                let of_shard = self.sessions.values().filter(|session| session.shard.0 == shard);
                of_shard.map(|session| session.number).collect()
            }
        }
    }

    fn connections_of(&self, target: Target) -> Vec<ConnectionId> {
        match target {
            Target::All => self.connections().collect(),
            Target::Connection(id) => self.connections.contains_key(&id).then_some(id).into_iter().collect(),
            Target::Session(_) | Target::Shard(_) => {
                let sessions = self.sessions_of(target);
                sessions.iter().filter_map(|session| self.sessions.get(session)?.connection).collect()
            }
        }
    }

    /// A connection or a session that is not there cannot be meant. A shard may be away just now.
    fn check_target(&self, target: Target) -> Result<(), ControlError> {
        match target {
            Target::Connection(id) if !self.connections.contains_key(&id) => {
                Err(ControlError::new(format!("there is no connection {id}")))
            }
            Target::Session(number) if !self.sessions.contains_key(&number) => {
                Err(ControlError::new(format!("there is no session {number}")))
            }
            _ => Ok(()),
        }
    }

    fn control_connection(&mut self, id: ConnectionId, control: &Control) {
        match control {
            Control::Raw(text) => self.send_raw(id, text.clone().into_bytes()),
            Control::RawText(text) => self.send_past_encoder(id, false, text.clone().into_bytes()),
            Control::RawBytes(bytes) => self.send_past_encoder(id, true, bytes.clone()),
            Control::Payload(payload) => self.send_payload(id, payload),
            Control::Ping if self.is_open(id) => {
                self.record(id, Direction::Out, "ping", About::default(), None, None);
                self.outputs.push_back((id, Output::Ping));
            }
            Control::Reconnect { then_emit } => {
                self.act(id, Action::Reconnect);
                self.emit(Target::Connection(id), *then_emit, 0);
            }
            Control::Invalid { resumable } => self.invalid(id, *resumable),
            Control::Close { code } => self.close_with(id, *code),
            Control::Abort => self.abort(id),
            Control::Drop => self.drop_connection(id),
            Control::Cut => self.cut(id),
            Control::Mute(muted) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.muted = *muted;
                    self.note(id, if *muted { "mute" } else { "unmute" });
                }
            }
            Control::Silence => self.silence(id),
            Control::Beat => self.send(id, &Payload::control(1, "null")),
            Control::Hello => self.hello(id),
            Control::Bytes(fault) => self.outputs.push_back((id, Output::Bytes(*fault))),
            _ => {}
        }
    }

    /// Half of an event, then a reset. The event is not lost: a Resume replays it.
    fn cut(&mut self, id: ConnectionId) {
        if let Some(session) = self.session_of(id) {
            let before = self.outputs.len();
            self.emit(Target::Session(session), 1, 0);
            let sent = self.outputs.drain(before..).find_map(|(_, output)| match output {
                Output::Send(message) => Some(message),
                _ => None,
            });
            if let Some(message) = sent {
                return self.end_with(id, Output::Cut(message));
            }
        }
        self.abort(id);
    }

    fn end_with(&mut self, id: ConnectionId, output: Output) {
        self.detach(id);
        self.record(id, Direction::Out, "abort", About::default(), None, None);
        self.forget(id);
        self.outputs.push_back((id, output));
    }

    fn send_raw(&mut self, id: ConnectionId, payload: Vec<u8>) {
        if !self.is_open(id) {
            return;
        }
        if let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.silent) {
            let messages = connection.encoder.raw(payload, About::default());
            self.send_messages(id, messages);
        }
    }

    fn send_past_encoder(&mut self, id: ConnectionId, binary: bool, payload: Vec<u8>) {
        let silent = |connection: &crate::connection::Connection| connection.silent;
        if self.is_open(id) && !self.connections.get(&id).is_none_or(silent) {
            let message = Message { binary, payload, fragments: 1, about: About::default() };
            self.send_messages(id, vec![message]);
        }
    }

    fn send_payload(&mut self, id: ConnectionId, payload: &Value) {
        if !self.is_open(id) {
            return;
        }
        if let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.silent) {
            let messages = connection.encoder.whole(payload);
            self.send_messages(id, messages);
        }
    }

    fn each_encoder(&mut self, connections: &[ConnectionId], change: impl Fn(&mut crate::wire::Encoder)) {
        for id in connections {
            if let Some(connection) = self.connections.get_mut(id) {
                change(&mut connection.encoder);
            }
        }
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

/// Codes that may stand in a close frame (RFC 6455, section 7.4).
fn sendable(code: u16) -> Result<(), ControlError> {
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(()),
        WITHOUT_CODE => {
            Err(ControlError::new("1005 cannot be sent; leave the code out for a close frame without one"))
        }
        code => Err(ControlError::new(format!("{code} is not a code that a close frame may carry"))),
    }
}
