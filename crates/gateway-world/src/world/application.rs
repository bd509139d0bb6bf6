//! What the application of a shard does: it deals with dispatches, at once or in its own time, and stores its session.

use std::collections::VecDeque;

use gateway_proto::Dispatch;
use gateway_proto::session::SessionSnapshot;

use super::bot::{Bot, Stored, Waiting};
use super::process::index;
use super::{Event, World};
use crate::engine::ClientId;
use crate::observation::Observation;

impl World {
    /// A dispatch has reached the application.
    pub(super) fn handle(&mut self, shard: usize, id: ClientId, dispatch: &Dispatch) {
        self.counts.dispatches += 1;
        let bot = &mut self.bots[shard];
        let Some(sequence) = dispatch.sequence() else { return };
        let begins = dispatch.name() == "READY" && is_another(bot, dispatch);
        let Some(backlog) = &mut bot.backlog else {
            bot.handled = sequence;
            return;
        };
        if begins {
            backlog.sessions += 1;
            bot.handled = 0;
        }
        let idle = backlog.waiting.is_empty();
        backlog.waiting.push_back(Waiting { session: backlog.sessions, sequence });
        if idle {
            let at = self.engine.now() + backlog.work();
            self.engine.plan(at, Event::Acknowledge(id));
        }
    }

    /// The application has dealt with some of what waits for it.
    pub(super) fn acknowledge(&mut self, id: ClientId) {
        let shard = index(id);
        if self.running(shard) != Some(id) {
            return;
        }
        let bot = &mut self.bots[shard];
        if let Some(until) = self.suspended_until.max(bot.busy_until) {
            return self.engine.plan(until, Event::Acknowledge(id));
        }
        let (Some(backlog), Some(client)) = (&mut bot.backlog, self.engine.client_mut(id)) else { return };
        let mut refused = Vec::new();
        let finished: VecDeque<Waiting> = backlog.finish().into();
        for (place, Waiting { session, sequence }) in finished.iter().enumerate() {
            // The last of each session stands for those before it.
            if finished.get(place + 1).is_some_and(|next| next.session == *session) {
                continue;
            }
            if *session == backlog.sessions {
                bot.handled = *sequence;
            }
            refused.extend(client.ack(*sequence).err());
        }
        if !backlog.waiting.is_empty() {
            let at = self.engine.now() + backlog.work();
            self.engine.plan(at, Event::Acknowledge(id));
        }
        for error in &refused {
            self.observe(shard, &Observation::AcknowledgementRefused { error });
        }
    }

    /// The application stores its session, as it would from time to time.
    pub(super) fn store(&mut self, shard: usize) {
        let Some(id) = self.running(shard).filter(|_| self.suspended_until.is_none()) else { return };
        let Some(client) = self.engine.client(id) else { return };
        let Some(snapshot) = client.session() else { return };
        let bot = &self.bots[shard];
        let (session_id, handled) = (bot.session_id.clone(), bot.handled);
        if let Some(backlog) = &bot.backlog {
            let (sequence, exact) = (snapshot.sequence(), !backlog.reaches_back());
            self.observe(shard, &Observation::Stored { sequence, handled, exact });
        }
        self.bots[shard].stored = Some(Stored { snapshot, session_id, handled });
    }
}

/// Whether READY begins another session than the one that the application is on.
fn is_another(bot: &Bot, ready: &Dispatch) -> bool {
    let id = ready
        .decode::<serde_json::Value>()
        .ok()
        .and_then(|ready| Some(ready["session_id"].as_str()?.to_owned()));
    bot.session_id != id
}

/// The `session_id` within a snapshot.
pub(super) fn session_id(snapshot: &SessionSnapshot) -> Option<String> {
    let stored = serde_json::to_value(snapshot).ok()?;
    Some(stored["session_id"].as_str()?.to_owned())
}
