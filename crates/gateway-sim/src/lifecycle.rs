//! How connections and sessions end: closes from both sides, resets, expiry, and the actions of rules.

use crate::connection::Stage;
use crate::gateway::{Gateway, Timer};
use crate::io::{ConnectionId, Output};
use crate::message::About;
use crate::rules::{Action, Point};
use crate::trace::Direction;
use crate::wire::Payload;

/// What stands for a close frame without a code in counters.
pub(crate) const WITHOUT_CODE: u16 = 1005;

impl Gateway {
    /// Closes a connection with a code of the protocol. The session stays resumable, but for 4009.
    pub(crate) fn close(&mut self, id: ConnectionId, code: u16) {
        if code == 4009
            && let Some(session) = self.session_of(id)
        {
            self.end_session(session);
        }
        self.close_with(id, Some(code));
    }

    pub(crate) fn close_with(&mut self, id: ConnectionId, code: Option<u16>) {
        if !self.is_open(id) {
            return;
        }
        self.detach(id);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        // From a black hole comes no close frame either.
        if connection.silent {
            return;
        }
        connection.stage = Stage::Closing;
        *self.counters.server_closes.entry(code.unwrap_or(WITHOUT_CODE)).or_default() += 1;
        let reason = code.map_or("", reason).to_owned();
        self.record(id, Direction::Out, "close", About::default(), code, None);
        self.outputs.push_back((id, Output::Close(code, reason)));
        self.wait_for_echo(id);
    }

    /// A close frame of the client: the first, or the answer to ours.
    pub(crate) fn client_closed(&mut self, id: ConnectionId, code: Option<u16>) {
        self.record(id, Direction::In, "close", About::default(), code, None);
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if connection.stage == Stage::Closing {
            return self.drop_connection(id);
        }
        *self.counters.client_closes.entry(code.unwrap_or(WITHOUT_CODE)).or_default() += 1;
        let session = connection.session;
        self.detach(id);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = Stage::Closed;
        }
        // "Discord Docs, Gateway > Initiating a Disconnect": these two end the session.
        if matches!(code, Some(1000 | 1001))
            && let Some(session) = session
        {
            self.end_session(session);
        }
        match self.instead(id, Point::Close) {
            None => self.echo(id, code),
            Some(Action::Ignore) => {}
            Some(Action::Close(code)) => self.echo(id, code),
            Some(Action::Delay(delay)) => self.timers.set(self.now + delay, Timer::Echo(id, code)),
            Some(action) => self.act(id, action),
        }
    }

    pub(crate) fn echo(&mut self, id: ConnectionId, code: Option<u16>) {
        let silent = |connection: &crate::connection::Connection| connection.silent;
        if self.connections.get(&id).is_none_or(silent) {
            return;
        }
        self.record(id, Direction::Out, "close", About::default(), code, None);
        self.outputs.push_back((id, Output::Close(code, String::new())));
        self.drop_connection(id);
    }

    /// The connection ended without a close frame.
    pub(crate) fn gone(&mut self, id: ConnectionId) {
        self.record(id, Direction::In, "gone", About::default(), None, None);
        self.detach(id);
        self.forget(id);
        self.outputs.push_back((id, Output::Drop));
    }

    /// Ends the TCP stream in an orderly way.
    pub(crate) fn drop_connection(&mut self, id: ConnectionId) {
        self.detach(id);
        self.record(id, Direction::Out, "drop", About::default(), None, None);
        self.forget(id);
        self.outputs.push_back((id, Output::Drop));
    }

    /// Resets the TCP stream.
    pub(crate) fn abort(&mut self, id: ConnectionId) {
        self.detach(id);
        self.record(id, Direction::Out, "abort", About::default(), None, None);
        self.forget(id);
        self.outputs.push_back((id, Output::Abort));
    }

    /// What a rule says to do at a point instead of the usual. A fault in the bytes is set here: the usual follows it.
    pub(crate) fn instead(&mut self, id: ConnectionId, point: Point) -> Option<Action> {
        match self.reached(id, point)?.action {
            Action::Bytes(fault) => {
                self.act(id, Action::Bytes(fault));
                None
            }
            action => Some(action),
        }
    }

    /// Does what a rule says. `Ignore`, `Delay` and `Http` are the business of the one who asked the rule.
    pub(crate) fn act(&mut self, id: ConnectionId, action: Action) {
        match action {
            Action::Close(code) => self.close_with(id, code),
            Action::Drop => self.drop_connection(id),
            Action::Abort => self.abort(id),
            Action::Invalid(resumable) => self.invalid(id, resumable),
            Action::Reconnect => self.send(id, &Payload::control(7, "null")),
            Action::Silence => self.silence(id),
            Action::Bytes(fault) => self.outputs.push_back((id, Output::Bytes(fault))),
            Action::Ignore | Action::Delay(_) | Action::Http(_) => {}
        }
    }

    /// op 9 ("Discord Docs, Gateway Events > Invalid Session"). The connection stays open.
    pub(crate) fn invalid(&mut self, id: ConnectionId, resumable: bool) {
        let session = self.session_of(id);
        self.detach(id);
        if !resumable && let Some(session) = session {
            self.end_session(session);
        }
        self.counters.invalid_sessions += 1;
        self.send(id, &Payload::control(9, if resumable { "true" } else { "false" }));
    }

    pub(crate) fn silence(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.silent = true;
            self.note(id, "silence");
            self.outputs.push_back((id, Output::Silence));
        }
    }

    /// Takes the session off its connection; from now on it can expire.
    pub(crate) fn detach(&mut self, id: ConnectionId) {
        let Some(number) = self.connections.get_mut(&id).and_then(|connection| connection.session.take())
        else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&number) {
            session.connection = None;
            session.detached_at = self.now;
            // One timer for each session, however often it loses its connection.
            if !session.expiry_is_set {
                session.expiry_is_set = true;
                self.timers.set(self.now + self.config.session_expiry, Timer::Expire(number));
            }
        }
    }

    pub(crate) fn expire(&mut self, number: u64) {
        let Some(session) = self.sessions.get_mut(&number) else {
            return;
        };
        session.expiry_is_set = false;
        if session.connection.is_some() {
            return;
        }
        let due = session.detached_at + self.config.session_expiry;
        if due <= self.now {
            return self.end_session(number);
        }
        session.expiry_is_set = true;
        self.timers.set(due, Timer::Expire(number));
    }

    /// Forgets a session; a Resume of it gets op 9 `false`.
    pub(crate) fn end_session(&mut self, number: u64) {
        let Some(session) = self.sessions.remove(&number) else {
            return;
        };
        self.session_ids.remove(&session.id);
        self.routes.remove(session.shard, number);
        if let Some(connection) = session.connection.and_then(|id| self.connections.get_mut(&id)) {
            connection.session = None;
        }
    }

    pub(crate) fn forget(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    pub(crate) fn note(&mut self, id: ConnectionId, note: &'static str) {
        self.record(id, Direction::Note, note, About::default(), None, None);
    }
}

/// The reasons that Discord gives, where they are known.
fn reason(code: u16) -> &'static str {
    match code {
        4000 => "Unknown error.",
        4001 => "Unknown opcode.",
        4002 => "Error while decoding payload.",
        4003 => "Not authenticated.",
        4004 => "Authentication failed.",
        4005 => "Already authenticated.",
        4007 => "Invalid seq.",
        4008 => "Rate limited.",
        4009 => "Session timed out.",
        4010 => "Invalid shard.",
        4011 => "Sharding required.",
        4012 => "Invalid API version.",
        4013 => "Invalid intent(s).",
        4014 => "Disallowed intent(s).",
        _ => "",
    }
}
