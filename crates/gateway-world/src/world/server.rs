//! The gateway's end of every connection, and what is on its way there.

use std::time::Duration;

use bytes::Bytes;
use gateway_proto::disconnect::Refused;
use gateway_proto::{Closed, ConnectError, Message};
use gateway_sim::{ClientMessage, Control, Output, Response, Target};

use crate::fault::Direction;
use crate::link::{Down, Fate, LinkId, Up};
use crate::machine::Machine;
use crate::observation::Observation;
use crate::time::Time;
use crate::world::{Event, World};

/// When an operating system gives up on a peer that does not answer.
const KEEP_ALIVE: Duration = Duration::from_secs(15 * 60);

impl<M: Machine> World<M> {
    /// Sends something from the shard's end.
    pub(super) fn post_up(&mut self, id: LinkId, what: Up) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.broken) else { return };
        match link.send(Direction::Up, now) {
            Fate::Arrives(at) => {
                link.in_flight += 1;
                self.queue.push(at, Event::Up(id, what, now));
            }
            Fate::Lost if matches!(what, Up::Gone) => self.queue.push(now + KEEP_ALIVE, Event::GivenUp(id)),
            Fate::Lost => {}
            Fate::Breaks => self.break_link(id),
        }
    }

    /// Sends something from the gateway's end.
    pub(super) fn send_down(&mut self, id: LinkId, what: Down) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.broken && link.client_holds) else {
            return;
        };
        match link.send(Direction::Down, now) {
            Fate::Arrives(at) => {
                link.in_flight += 1;
                self.queue.push(at, Event::Down(id, what));
            }
            Fate::Lost => {}
            Fate::Breaks => self.break_link(id),
        }
    }

    /// Something has arrived at the gateway.
    pub(super) fn arrive_up(&mut self, id: LinkId, what: Up, sent: Time) {
        let now = self.clock.instant(self.now);
        let Some(link) = self.links.get_mut(&id) else { return };
        link.in_flight -= 1;
        if link.broken {
            return self.release(id);
        }
        let (shard, connection) = (link.shard, link.connection);
        if let Up::Upgrade(target) = &what {
            let connection = self.gateway.open(target, now);
            (link.connection, link.server_holds) = (Some(connection), true);
            self.by_connection.insert(connection, id);
            return;
        }
        let Some(connection) = connection.filter(|_| link.server_holds) else { return self.release(id) };
        let message = match &what {
            Up::Text(text) => ClientMessage::Text(std::str::from_utf8(text).unwrap_or_default()),
            Up::Binary(bytes) => ClientMessage::Binary(bytes),
            Up::Close(1005) => ClientMessage::Close(None),
            Up::Close(code) => ClientMessage::Close(Some(*code)),
            Up::Gone | Up::Upgrade(_) => ClientMessage::Gone,
        };
        if let Up::Text(_) | Up::Binary(_) = what {
            let number = connection.0;
            self.watch.observe(self.now, shard, &Observation::AtServer { connection: number, sent });
        }
        self.gateway.receive(connection, message, now);
    }

    /// Does what the gateway has to say.
    pub(super) fn flush_gateway(&mut self) {
        while let Some((connection, output)) = self.gateway.poll_output() {
            let Some(id) = self.by_connection.get(&connection).copied() else { continue };
            match output {
                Output::Accept => self.send_down(id, Down::Opened),
                Output::Refuse(response) => {
                    self.send_down(id, Down::Failed(refused(&response)));
                    self.server_leaves(id);
                }
                Output::Send(message) => {
                    let shard = self.links.get(&id).map_or(0, |link| link.shard);
                    self.watch.observe(self.now, shard, &Observation::FromServer(&message.about));
                    let payload = Bytes::from(message.payload);
                    let kind = if message.binary { Message::Binary } else { Message::Text };
                    self.send_down(id, Down::Message(kind(payload), message.about));
                }
                Output::Close(code, reason) => {
                    self.send_down(id, Down::Closed(Closed::Frame { code, reason }));
                }
                Output::Drop => self.server_ends(id, Closed::Eof),
                Output::Abort | Output::Cut(_) => {
                    self.server_ends(id, Closed::Failed("connection reset".to_owned()));
                }
                _ => {}
            }
        }
    }

    /// The connection is lost: both ends are about to learn it, and nothing on its way arrives.
    pub(super) fn break_link(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.broken) else { return };
        link.broken = true;
        link.in_flight += 1;
        self.queue.push(self.now + self.setting.profile.latency().0, Event::Lost(id));
    }

    pub(super) fn lost(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.in_flight -= 1;
        // The last word of a connection passes.
        link.broken = false;
        let shard = link.shard;
        if link.client_holds {
            link.in_flight += 1;
            self.arrive_down(id, Down::Closed(Closed::Failed("connection reset".to_owned())));
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.broken = true;
        }
        self.watch.note(self.now, || format!("shard {shard}: connection {id} is lost"));
        self.given_up(id);
    }

    /// The gateway's end learns that the other is gone.
    pub(super) fn given_up(&mut self, id: LinkId) {
        if let Some(link) = self.links.get(&id)
            && let Some(connection) = link.connection.filter(|_| link.server_holds)
        {
            self.gateway.receive(connection, ClientMessage::Gone, self.clock.instant(self.now));
        }
        self.server_leaves(id);
    }

    fn server_ends(&mut self, id: LinkId, closed: Closed) {
        self.send_down(id, Down::Closed(closed));
        self.server_leaves(id);
    }

    fn server_leaves(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.server_holds = false;
        }
        self.release(id);
    }

    /// Forgets a connection that nobody holds and on which nothing is on its way.
    pub(super) fn release(&mut self, id: LinkId) {
        if let Some(link) = self.links.get(&id)
            && !link.client_holds
            && !link.server_holds
            && link.in_flight == 0
        {
            if let Some(connection) = link.connection {
                self.by_connection.remove(&connection);
            }
            self.links.remove(&id);
        }
    }

    /// The gateway dispatches events to the session that the application is on, connected or not.
    pub(super) fn emit(&mut self, shard: usize, count: u32) {
        let Some(id) = &self.clients[shard].session_id else { return };
        let Some(session) = self.gateway.session_number(id) else { return };
        for _ in 0..count {
            self.emitted += 1;
            let name = if self.emitted.is_multiple_of(3) { "TYPING_START" } else { "MESSAGE_CREATE" };
            let data = serde_json::json!({"number": self.emitted, "content": "something that somebody said"});
            self.control(Target::Session(session), Control::Event { name: name.to_owned(), data });
        }
    }

    /// Makes the gateway do something.
    pub(super) fn control(&mut self, target: Target, control: Control) {
        let now = self.clock.instant(self.now);
        self.gateway.control(target, control, now).expect("the world asks for nothing impossible");
    }
}

fn refused(response: &Response) -> ConnectError {
    ConnectError::Refused(Refused::new(response.status))
}
