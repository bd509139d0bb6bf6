//! Client payloads: checks and dispatches them, and answers close frames.

use gateway_codec::Encoding;
use serde_json::Value;

use super::Gateway;
use crate::commands::{Answer, Circumstances};
use crate::connection::Stage;
use crate::etf;
use crate::io::ConnectionId;
use crate::message::About;
use crate::rules::{Action, Point};
use crate::switchboard::WITHOUT_CODE;
use crate::timers::Timer;
use crate::trace::Direction;

/// The opcodes that a bot may send.
const KNOWN_OPCODES: [u64; 8] = [1, 2, 3, 4, 6, 8, 31, 43];

impl Gateway {
    /// Handles a message of a client: counts, measures, decodes and dispatches it. See
    /// [Discord Docs, Gateway > Rate Limiting](https://discord.com/developers/docs/events/gateway#rate-limiting).
    pub(super) fn client_payload(&mut self, id: ConnectionId, bytes: &[u8], binary: bool) {
        let now = self.board.now;
        let Some(connection) = self.board.connection_mut(id) else {
            return;
        };
        let encoding = connection.parameters.encoding;
        let within = connection.count_send(self.config.send_limit, self.config.send_window, now);
        let decoded = decode(bytes, binary, encoding);
        let about = About { op: decoded.as_ref().map(|(op, _)| *op), ..About::default() };
        self.board.record(id, Direction::In, "message", about, None, Some(bytes));
        if !within {
            return self.board.close(id, 4008);
        }
        let Some((op, data)) = decoded.filter(|_| bytes.len() <= self.config.payload_limit) else {
            return self.board.close(id, 4002);
        };
        match op {
            1 => self.heartbeat(id),
            2 => self.identify_received(id, data),
            6 => self.resume_received(id, data),
            op if !KNOWN_OPCODES.contains(&op) => self.board.close(id, 4001),
            op => match self.board.session_of(id) {
                Some(session) => self.command(id, session, op, &data),
                None => self.board.close(id, 4003),
            },
        }
    }

    fn heartbeat(&mut self, id: ConnectionId) {
        self.board.counters.heartbeats += 1;
        let now = self.board.now;
        if let Some(connection) = self.board.connection_mut(id) {
            connection.last_heartbeat = now;
        }
        let delay = match self.instead(id, Point::Heartbeat) {
            None => self.config.ack_delay,
            Some(Action::Ignore) => return,
            Some(Action::Delay(delay)) => delay,
            Some(action) => return self.act(id, action),
        };
        if delay.is_zero() {
            self.board.ack(id);
        } else {
            self.board.timers.set(now + delay, Timer::Ack(id));
        }
    }

    fn command(&mut self, id: ConnectionId, session: u64, op: u64, data: &Value) {
        self.board.counters.commands += 1;
        let intents = self.board.sessions.get(session).map_or(0, |session| session.intents);
        let circumstances =
            Circumstances { world: &self.world, random: &mut self.random, intents, now: self.board.now };
        match self.commands.answer(op, data, circumstances) {
            Answer::Events(events) => {
                for (name, data) in events {
                    self.board.dispatch(session, name, data);
                }
            }
            Answer::Voice { guild, state, server } => {
                self.bot_voice(guild, state, Some(session));
                if let Some(server) = server {
                    self.board.dispatch(session, "VOICE_SERVER_UPDATE", server);
                }
            }
            Answer::InvalidSession => self.board.invalid(id, false),
            Answer::Malformed => self.board.close(id, 4001),
        }
    }

    /// Handles a close frame of the client: the first, or the answer to ours.
    pub(super) fn client_closed(&mut self, id: ConnectionId, code: Option<u16>) {
        self.board.record(id, Direction::In, "close", About::default(), code, None);
        let Some(connection) = self.board.connection(id) else {
            return;
        };
        if connection.stage == Stage::Closing {
            return self.board.drop_connection(id);
        }
        let session = connection.session;
        *self.board.counters.client_closes.entry(code.unwrap_or(WITHOUT_CODE)).or_default() += 1;
        self.board.detach(id);
        if let Some(connection) = self.board.connection_mut(id) {
            connection.stage = Stage::Closed;
        }
        // Only these two codes end the session:
        // https://discord.com/developers/docs/events/gateway#initiating-a-disconnect
        if matches!(code, Some(1000 | 1001))
            && let Some(session) = session
        {
            self.board.end_session(session);
        }
        match self.instead(id, Point::Close) {
            None => self.board.echo(id, code),
            Some(Action::Ignore) => {}
            Some(Action::Close(code)) => self.board.echo(id, code),
            Some(Action::Delay(delay)) => {
                self.board.timers.set(self.board.now + delay, Timer::Echo(id, code));
            }
            Some(action) => self.act(id, action),
        }
    }
}

/// `op` and `d` of a client's message. `None` if it is invalid.
fn decode(bytes: &[u8], binary: bool, encoding: Encoding) -> Option<(u64, Value)> {
    let mut value: Value = match encoding {
        Encoding::Json => serde_json::from_slice(bytes).ok()?,
        Encoding::Etf if binary => etf::decode(bytes)?,
        _ => return None,
    };
    let op = value.get("op")?.as_u64()?;
    Some((op, value["d"].take()))
}
