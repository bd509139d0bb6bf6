//! What the driver of a shard does: hands in what arrives, carries out what is asked, keeps the deadlines.

use std::time::Duration;

use gateway_proto::codec::Envelope;
use gateway_proto::config::Delivery;
use gateway_proto::disconnect::Refused;
use gateway_proto::{
    Closed, ConnectError, Event as Said, GatewayUrl, Input, Intents, Message, Output, ShardConfig, StopReason,
};
use gateway_sim::About;

use crate::fault::{Direction, Unreachable};
use crate::link::{Down, Link, LinkId, Up};
use crate::machine::Machine;
use crate::observation::Observation;
use crate::plan::User;
use crate::time::Time;
use crate::world::application::session_id;
use crate::world::{Event, READY_AT_MOST, TOKEN, World};

const IDENTIFY: u64 = 2;
/// How long it takes somebody to look after a bot that was refused for good.
const OPERATOR: Duration = Duration::from_secs(3600);
/// The wall clock is told no more often than this.
const CLOCK_EVERY: Duration = Duration::from_secs(1);
/// What the wall clock shows when the world begins, in seconds since 1970.
const AT_THE_BEGINNING: i128 = 1_700_000_000;
/// Until then, this is how often it is looked at whether it really stays away.
const LOOK_EVERY: Duration = Duration::from_secs(600);

impl<M: Machine> World<M> {
    /// A process begins.
    pub(super) fn start(&mut self, shard: usize, process: u32) {
        if let Some(until) = self.suspended_until {
            return self.queue.push(until, Event::Start(shard, process));
        }
        let client = &mut self.clients[shard];
        if client.process != process || (client.machine.is_some() && !client.refused) {
            return;
        }
        client.process += 1;
        client.refused = false;
        client.busy_until = None;
        let mut config = ShardConfig::new(TOKEN, Intents::UNPRIVILEGED);
        // So that a lost Identify is made good within the time that the world grants for it.
        config.timeouts.ready_at_most = READY_AT_MOST;
        config.shard = client.id;
        config.url = "wss://gateway.world".to_owned();
        config.encoding = client.encoding;
        config.compression = client.compression;
        config.seed = Some(client.rng.u64(..));
        if let Some(backlog) = &mut client.backlog {
            config.delivery = Delivery::Acknowledged;
            backlog.waiting.clear();
        }
        if self.setting.user == User::Thorough {
            config.intents |= Intents::GUILD_MEMBERS;
        }
        let stored = client.stored.clone();
        config.session = stored.as_ref().map(|stored| stored.snapshot.clone());
        let resumes_from = stored.as_ref().map(|stored| stored.handled);
        (client.session_id, client.handled) =
            stored.map_or((None, 0), |stored| (stored.session_id, stored.handled));
        let machine = M::start(config, self.client_clock.instant(self.now));
        client.machine = Some(machine.expect("the world's configuration can be used"));
        self.watch.observe(self.now, shard, &Observation::Started { resumes_from });
        self.drain(shard);
    }

    /// Hands something in, and does what follows.
    pub(super) fn give(&mut self, shard: usize, input: Input, about: Option<&About>) {
        self.tell_clock(shard);
        self.hand_in(shard, input, about);
    }

    /// The wall clock is told before anything else: what is read next may be of a connection that has gone stale.
    fn tell_clock(&mut self, shard: usize) {
        let client = &mut self.clients[shard];
        if self.now.since(client.clock_told) >= CLOCK_EVERY {
            client.clock_told = self.now;
            let since_1970 = AT_THE_BEGINNING + i128::from(self.wall_clock_ahead) + self.now.seconds();
            let since_1970 = u64::try_from(since_1970).unwrap_or_default();
            self.hand_in(shard, Input::WallClock(Duration::from_secs(since_1970)), None);
        }
    }

    fn hand_in(&mut self, shard: usize, input: Input, about: Option<&About>) {
        let Some(machine) = &mut self.clients[shard].machine else { return };
        self.watch.observe(self.now, shard, &Observation::Input(&input, about));
        machine.handle_input(input, self.client_clock.instant(self.now));
        self.drain(shard);
    }

    /// Takes everything out. Used alone after a request that takes effect at once.
    pub(super) fn drain(&mut self, shard: usize) {
        let mut standing = false;
        loop {
            let Some(machine) = &mut self.clients[shard].machine else { return };
            match machine.poll_output() {
                Output::Timeout(at) => {
                    let deadline = self.client_clock.time(at);
                    return self.settle(shard, deadline, standing);
                }
                Output::Stopped(reason) => return self.stopped(shard, reason),
                Output::Send(message) => self.send(shard, message),
                output => {
                    standing |= matches!(output, Output::Event(Said::Ready | Said::Resumed { .. }));
                    self.watch.observe(self.now, shard, &Observation::Output(&output));
                    self.carry_out(shard, output);
                }
            }
        }
    }

    fn settle(&mut self, shard: usize, deadline: Time, standing: bool) {
        if standing {
            self.stand(shard);
        }
        self.watch.observe(self.now, shard, &Observation::Settled);
        self.watch.observe(self.now, shard, &Observation::Deadline(deadline));
        self.set_deadline(shard, deadline);
    }

    /// READY or RESUMED: the application notes which session it is on.
    fn stand(&mut self, shard: usize) {
        let client = &mut self.clients[shard];
        let Some(machine) = &client.machine else { return };
        let session = machine.session();
        client.session_id = session.as_ref().and_then(session_id);
        // What a snapshot says of acknowledged dispatches is looked at when it is stored.
        let received = session.filter(|_| client.backlog.is_none());
        let sequence = received.map(|snapshot| snapshot.sequence());
        let standing = Observation::Standing { stats: machine.stats(), sequence };
        self.watch.observe(self.now, shard, &standing);
        self.store(shard);
    }

    fn carry_out(&mut self, shard: usize, output: Output) {
        match output {
            Output::Connect(url) => self.dial(shard, &url),
            Output::AcquireIdentify => {
                let ticket = self.gate.request(self.clients[shard].id);
                self.tickets.insert(ticket, shard);
                self.permit_at = None;
                self.clients[shard].ticket = Some(ticket);
            }
            Output::CancelIdentify => self.cancel_permit(shard),
            Output::Close(frame) => self.send_up(shard, Up::Close(frame.code)),
            Output::Disconnect => self.leave(shard),
            Output::Event(Said::Dispatch(dispatch)) => self.handle(shard, &dispatch),
            Output::Event(Said::Resumed { .. }) => self.counts.resumed += 1,
            Output::Event(_) | Output::Send(_) | Output::Timeout(_) | Output::Stopped(_) => {}
        }
    }

    fn send(&mut self, shard: usize, message: Message) {
        let client = &self.clients[shard];
        let op = Envelope::parse(message.as_bytes(), client.encoding).ok().map(|envelope| envelope.op);
        let identifies = op == Some(IDENTIFY);
        self.counts.identifies += u64::from(identifies);
        let session_lives = identifies
            && client.session_id.as_ref().is_some_and(|id| self.gateway.session_number(id).is_some());
        let bytes = message.as_bytes().len();
        self.watch.observe(self.now, shard, &Observation::Sent { op, bytes, session_lives });
        self.send_up(
            shard,
            match message {
                Message::Text(text) => Up::Text(text),
                Message::Binary(bytes) => Up::Binary(bytes),
            },
        );
    }

    fn stopped(&mut self, shard: usize, reason: StopReason) {
        let rejected = matches!(reason, StopReason::Rejected(_));
        self.watch.observe(self.now, shard, &Observation::Output(&Output::Stopped(reason)));
        self.leave(shard);
        self.cancel_permit(shard);
        let client = &mut self.clients[shard];
        let process = client.process;
        if rejected {
            // It is driven on, to see that it stays away.
            if !client.refused {
                client.refused = true;
                client.stored = None;
                self.queue.push(self.now + OPERATOR, Event::Start(shard, process));
            }
            return self.set_deadline(shard, self.now + LOOK_EVERY);
        }
        let Some(restart) = client.shutting_down.take() else { return };
        if restart.log_off {
            client.stored = None;
        } else {
            self.store(shard);
        }
        self.clients[shard].machine = None;
        self.queue.push(restart.at.max(self.now), Event::Start(shard, process));
    }

    // ---- Deadlines --------------------------------------------------------------------------------------------

    pub(super) fn set_deadline(&mut self, shard: usize, deadline: Time) {
        let client = &mut self.clients[shard];
        client.deadline = deadline.max(self.now);
        if client.wakes_at.is_none_or(|at| client.deadline < at) {
            client.wakes_at = Some(client.deadline);
            self.queue.push(client.deadline, Event::Timer(shard));
        }
    }

    pub(super) fn timer(&mut self, shard: usize) {
        let client = &mut self.clients[shard];
        if client.wakes_at != Some(self.now) {
            // An earlier one was set since.
            return;
        }
        client.wakes_at = None;
        if self.suspended_until.is_some() || client.machine.is_none() {
            return;
        }
        let deadline = client.deadline;
        if deadline <= self.now {
            self.give(shard, Input::Timeout, None);
        } else {
            self.set_deadline(shard, deadline);
        }
    }

    // ---- The connection ---------------------------------------------------------------------------------------

    fn dial(&mut self, shard: usize, url: &GatewayUrl) {
        self.counts.connects += 1;
        let (latency, jitter) = self.setting.profile.latency();
        let client = &mut self.clients[shard];
        client.connections += 1;
        let seed = client.rng.u64(..);
        self.link_count += 1;
        let id = self.link_count;
        let link = self.links.entry(id).or_insert(Link::new(shard, latency, jitter, seed));
        client.link = Some(id);
        match client.unreachable(self.now) {
            None => self.send_up(shard, Up::Upgrade(url.path_and_query().to_owned())),
            Some(Unreachable::Nothing) => link.lose(Direction::Both),
            Some(how) => self.send_down(id, Down::Failed(failure(how))),
        }
    }

    /// Sends something on the shard's connection, if it has one.
    fn send_up(&mut self, shard: usize, what: Up) {
        if let Some(link) = self.clients[shard].link {
            self.post_up(link, what);
        }
    }

    /// The shard's end lets go of its connection.
    pub(super) fn leave(&mut self, shard: usize) {
        if let Some(id) = self.clients[shard].link.take() {
            self.post_up(id, Up::Gone);
            if let Some(link) = self.links.get_mut(&id) {
                link.client_holds = false;
            }
            self.release(id);
        }
    }

    pub(super) fn cancel_permit(&mut self, shard: usize) {
        if let Some(ticket) = self.clients[shard].ticket.take() {
            self.gate.cancel(ticket);
            self.permit_at = None;
            self.tickets.remove(&ticket);
        }
    }

    /// Something has arrived at the shard's end. It is read unless nobody reads.
    pub(super) fn arrive_down(&mut self, id: LinkId, what: Down) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.in_flight -= 1;
        let (shard, broken) = (link.shard, link.broken);
        self.release(id);
        let client = &mut self.clients[shard];
        if broken || client.link != Some(id) {
            return;
        }
        let of_the_dial = matches!(what, Down::Opened | Down::Failed(_));
        if self.suspended_until.is_some() || (client.busy_until.is_some() && !of_the_dial) {
            client.inbox.push_back((id, what));
        } else {
            self.read(shard, id, what);
        }
    }

    pub(super) fn read_inbox(&mut self, shard: usize) {
        while self.clients[shard].busy_until.is_none()
            && let Some((id, what)) = self.clients[shard].inbox.pop_front()
        {
            self.read(shard, id, what);
        }
    }

    fn read(&mut self, shard: usize, id: LinkId, what: Down) {
        self.tell_clock(shard);
        if self.clients[shard].link != Some(id) {
            return;
        }
        match what {
            Down::Opened => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.opened = true;
                }
                self.give(shard, Input::Opened, None);
            }
            Down::Failed(error) => {
                self.leave(shard);
                self.give(shard, Input::ConnectFailed(error), None);
            }
            Down::Message(message, about) => self.give(shard, Input::Message(message), Some(&about)),
            Down::Closed(closed) if self.links.get(&id).is_some_and(|link| !link.opened) => {
                self.leave(shard);
                let error = ConnectError::Tcp(closed.to_string());
                self.give(shard, Input::ConnectFailed(error), None);
            }
            Down::Closed(closed) => {
                // The WebSocket layer answers a close frame by itself.
                if let Closed::Frame { code, .. } = &closed {
                    self.send_up(shard, Up::Close(code.unwrap_or(1005)));
                }
                self.leave(shard);
                self.give(shard, Input::Closed(closed), None);
            }
        }
    }
}

fn failure(how: Unreachable) -> ConnectError {
    match how {
        Unreachable::Dns => ConnectError::Dns("no such host".to_owned()),
        Unreachable::Tcp | Unreachable::Nothing => ConnectError::Tcp("connection refused".to_owned()),
        Unreachable::Tls => ConnectError::Tls("bad certificate".to_owned()),
        Unreachable::Handshake => ConnectError::Handshake("no WebSocket".to_owned()),
        Unreachable::Refused { status, retry_after } => {
            let mut refused = Refused::new(status);
            refused.retry_after = retry_after.map(|seconds| Duration::from_secs(seconds.into()));
            ConnectError::Refused(refused)
        }
    }
}
