//! Payloads in both directions: what clients send is checked and handed on, what sessions are owed is numbered and sent.

use std::borrow::Cow;
use std::sync::Arc;

use gateway_codec::Encoding;
use serde_json::Value;

use crate::etf;
use crate::gateway::{Gateway, Timer};
use crate::io::{ConnectionId, Output};
use crate::message::{About, Message};
use crate::rules::{Action, Point};
use crate::session::Event;
use crate::trace::Direction;
use crate::wire::Payload;

/// The opcodes that a bot may send.
const KNOWN_OPCODES: [u64; 8] = [1, 2, 3, 4, 6, 8, 31, 43];

impl Gateway {
    /// A message of a client: counted, measured, decoded, handed on ("Discord Docs, Gateway > Rate Limiting").
    pub(crate) fn client_payload(&mut self, id: ConnectionId, bytes: &[u8], binary: bool) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let encoding = connection.parameters.encoding;
        let within = connection.count_send(self.config.send_limit, self.config.send_window, self.now);
        let decoded = decode(bytes, binary, encoding);
        let about = About { op: decoded.as_ref().map(|(op, _)| *op), ..About::default() };
        self.record(id, Direction::In, "message", about, None, Some(bytes));
        if !within {
            return self.close(id, 4008);
        }
        let Some((op, data)) = decoded.filter(|_| bytes.len() <= self.config.payload_limit) else {
            return self.close(id, 4002);
        };
        match op {
            1 => self.heartbeat(id),
            2 => self.identify_received(id, data),
            6 => self.resume_received(id, data),
            op if !KNOWN_OPCODES.contains(&op) => self.close(id, 4001),
            op => match self.session_of(id) {
                Some(session) => self.command(id, session, op, &data),
                None => self.close(id, 4003),
            },
        }
    }

    /// Numbers an event of a session, keeps it, and sends it if there is a connection.
    pub(crate) fn dispatch(
        &mut self,
        session: u64,
        name: impl Into<Cow<'static, str>>,
        data: impl Into<Arc<str>>,
    ) {
        let Some(event) = self.keep(session, name.into(), data.into()) else {
            return;
        };
        let connection = self.sessions.get(&session).and_then(|session| session.connection);
        // In a replay that is delayed its turn comes later.
        if let Some(id) = connection
            && !self.connections.get(&id).is_some_and(|connection| connection.replaying)
        {
            self.send_event(id, &event);
        }
    }

    /// Numbers an event of a session, and keeps it for a replay.
    pub(crate) fn keep(&mut self, session: u64, name: Cow<'static, str>, data: Arc<str>) -> Option<Event> {
        let event = self.sessions.get_mut(&session)?.push(name, data);
        self.counters.dispatches += 1;
        if self.config.ledger {
            self.ledger.record(session, event.name.clone());
        }
        Some(event)
    }

    /// Leaves numbers out that no event has.
    pub(crate) fn skip(&mut self, session: u64, count: u32) {
        let Some(found) = self.sessions.get_mut(&session) else {
            return;
        };
        found.sequence += u64::from(count);
        if self.config.ledger {
            // Like a RESUMED that is lost, nothing with this number is replayed.
            (0..count).for_each(|_| self.ledger.record(session, Cow::Borrowed("RESUMED")));
        }
    }

    pub(crate) fn send_event(&mut self, id: ConnectionId, event: &Event) {
        self.send(
            id,
            &Payload { op: 0, sequence: Some(event.sequence), name: Some(&event.name), data: &event.data },
        );
    }

    pub(crate) fn send(&mut self, id: ConnectionId, payload: &Payload<'_>) {
        if !self.is_open(id) {
            return;
        }
        if let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.silent) {
            let messages = connection.encoder.encode(payload);
            self.send_messages(id, messages);
        }
    }

    pub(crate) fn send_messages(&mut self, id: ConnectionId, messages: Vec<Message>) {
        for message in messages {
            if self.config.trace {
                let about = message.about.clone();
                self.record(id, Direction::Out, "message", about, None, Some(&message.payload));
            }
            self.outputs.push_back((id, Output::Send(message)));
        }
    }

    fn heartbeat(&mut self, id: ConnectionId) {
        self.counters.heartbeats += 1;
        let now = self.now;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.last_heartbeat = now;
        }
        let delay = match self.instead(id, Point::Heartbeat) {
            None => self.config.ack_delay,
            Some(Action::Ignore) => return,
            Some(Action::Delay(delay)) => delay,
            Some(action) => return self.act(id, action),
        };
        if delay.is_zero() {
            self.ack(id);
        } else {
            self.timers.set(now + delay, Timer::Ack(id));
        }
    }

    pub(crate) fn ack(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(|connection| !connection.muted) {
            self.send(id, &Payload::control(11, "null"));
        }
    }

    /// Sets the time by which a heartbeat must have come.
    pub(crate) fn watch_heartbeat(&mut self, id: ConnectionId) {
        if let (Some(missed), Some(connection)) = (self.config.missed_heartbeats, self.connections.get(&id)) {
            let deadline = connection.last_heartbeat + connection.heartbeat_interval * missed;
            self.timers.set(deadline, Timer::Heartbeat(id));
        }
    }

    pub(crate) fn check_heartbeat(&mut self, id: ConnectionId) {
        let (Some(missed), Some(connection)) = (self.config.missed_heartbeats, self.connections.get(&id))
        else {
            return;
        };
        if !self.is_open(id) || connection.silent {
            return;
        }
        if connection.last_heartbeat + connection.heartbeat_interval * missed <= self.now {
            self.close(id, 4009);
        } else {
            self.watch_heartbeat(id);
        }
    }
}

/// `op` and `d` of a client's message, if it is one.
fn decode(bytes: &[u8], binary: bool, encoding: Encoding) -> Option<(u64, Value)> {
    let mut value: Value = match encoding {
        Encoding::Json => serde_json::from_slice(bytes).ok()?,
        Encoding::Etf if binary => etf::decode(bytes)?,
        _ => return None,
    };
    let op = value.get("op")?.as_u64()?;
    Some((op, value["d"].take()))
}
