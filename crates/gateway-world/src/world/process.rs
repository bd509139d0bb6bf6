//! A shard from the beginning of a process to its end: how it is configured, what follows from what it says, who restarts it.

use std::time::Duration;

use gateway_proto::codec::Envelope;
use gateway_proto::config::Delivery;
use gateway_proto::{Event as Said, GatewayUrl, Intents, Message, Output, ShardConfig, StopReason};

use super::application::session_id;
use super::{Event, World};
use crate::effect;
use crate::engine::{ClientId, Line};
use crate::observation::Observation;
use crate::plan::{READY_AT_MOST, TOKEN, User};

const IDENTIFY: u64 = 2;
/// When an operator looks after a bot that was refused for good.
const OPERATOR: Duration = Duration::from_secs(3600);
/// Until then, this is how often the shard is driven, to see that it stays away.
const LOOK_EVERY: Duration = Duration::from_secs(600);

impl World {
    /// A process begins, if none has begun since this one.
    pub(super) fn start(&mut self, shard: usize, before: Option<ClientId>) {
        if let Some(until) = self.suspended_until {
            return self.engine.plan(until, Event::Start(shard, before));
        }
        let running = self.running(shard);
        let bot = &mut self.bots[shard];
        if bot.process != before || (running.is_some() && !bot.refused) {
            return;
        }
        (bot.refused, bot.standing, bot.busy_until) = (false, false, None);
        let mut config = ShardConfig::new(TOKEN, Intents::UNPRIVILEGED);
        // So that a lost Identify is made good within the time that the world grants for it.
        config.timeouts.ready_at_most = READY_AT_MOST;
        config.shard = bot.id;
        config.url = "wss://gateway.world".to_owned();
        config.encoding = bot.encoding;
        config.compression = bot.compression;
        config.seed = Some(bot.rng.u64(..));
        if let Some(backlog) = &mut bot.backlog {
            config.delivery = Delivery::Acknowledged;
            backlog.waiting.clear();
        }
        if self.setting.user == User::Thorough {
            config.intents |= Intents::GUILD_MEMBERS;
        }
        let stored = bot.stored.clone();
        config.session = stored.as_ref().map(|stored| stored.snapshot.clone());
        let resumes_from = stored.as_ref().map(|stored| stored.handled);
        (bot.session_id, bot.handled) =
            stored.map_or((None, 0), |stored| (stored.session_id, stored.handled));
        let client = (self.make)(config, self.engine.client_now());
        if let Some(refused) = running {
            self.engine.remove(refused);
        }
        self.observe(shard, &Observation::Started { resumes_from });
        self.bots[shard].process =
            Some(self.engine.add(client.expect("the world's configuration can be used")));
    }

    /// What follows from what a shard said.
    pub(super) fn said(&mut self, id: ClientId, output: Output) {
        let shard = index(id);
        match output {
            Output::Send(message) => self.sent(shard, &message),
            Output::Connect(url) => self.dial(shard, id, &url),
            Output::Stopped(reason) => self.stopped(shard, id, &reason),
            Output::Event(Said::Dispatch(dispatch)) => self.handle(shard, id, &dispatch),
            Output::Event(Said::Ready) => self.bots[shard].standing = true,
            Output::Event(Said::Resumed { .. }) => {
                self.bots[shard].standing = true;
                self.counts.resumed += 1;
            }
            _ => {}
        }
    }

    /// READY or RESUMED has come: the application notes which session it is on.
    pub(super) fn settled(&mut self, id: ClientId) {
        let shard = index(id);
        let bot = &mut self.bots[shard];
        if !std::mem::take(&mut bot.standing) {
            return;
        }
        let Some(client) = self.engine.client(id) else { return };
        let session = client.session();
        bot.session_id = session.as_ref().and_then(session_id);
        // What a snapshot says of acknowledged dispatches is looked at when it is stored.
        let received = session.filter(|_| bot.backlog.is_none());
        let stats = client.stats().clone();
        let sequence = received.map(|snapshot| snapshot.sequence());
        self.observe(shard, &Observation::Standing { stats: &stats, sequence });
        self.store(shard);
    }

    fn sent(&mut self, shard: usize, message: &Message) {
        let bot = &self.bots[shard];
        let op = Envelope::parse(message.as_bytes(), bot.encoding).ok().map(|envelope| envelope.op);
        let identifies = op == Some(IDENTIFY);
        self.counts.identifies += u64::from(identifies);
        let session_lives = identifies
            && bot.session_id.as_ref().is_some_and(|id| self.engine.gateway().session_number(id).is_some());
        let bytes = message.as_bytes().len();
        self.observe(shard, &Observation::Sent { op, bytes, session_lives });
    }

    fn dial(&mut self, shard: usize, id: ClientId, url: &GatewayUrl) {
        self.counts.connects += 1;
        let (latency, jitter) = self.setting.profile.latency();
        let bot = &mut self.bots[shard];
        let line = Line { latency, jitter, seed: bot.rng.u64(..) };
        let dial = effect::dial(bot.unreachable(self.engine.now()));
        self.engine.dial(id, url, line, dial);
    }

    fn stopped(&mut self, shard: usize, id: ClientId, reason: &StopReason) {
        let now = self.engine.now();
        let bot = &mut self.bots[shard];
        if let StopReason::Rejected(_) = reason {
            if !bot.refused {
                (bot.refused, bot.stored) = (true, None);
                self.engine.plan(now + OPERATOR, Event::Start(shard, Some(id)));
            }
            return self.engine.wake_at(id, now + LOOK_EVERY);
        }
        let Some(restart) = bot.shutting_down.take() else { return };
        if restart.log_off {
            bot.stored = None;
        } else {
            self.store(shard);
        }
        self.engine.remove(id);
        self.engine.plan(restart.at.max(now), Event::Start(shard, Some(id)));
    }

    /// The process of a shard, if it runs.
    pub(super) fn running(&self, shard: usize) -> Option<ClientId> {
        self.bots[shard].process.filter(|id| self.engine.client(*id).is_some())
    }
}

/// The place of a shard in the world.
pub(super) fn index(id: ClientId) -> usize {
    id.shard().id() as usize
}
