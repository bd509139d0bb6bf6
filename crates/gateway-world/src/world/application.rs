//! What the application of a shard does: it deals with dispatches, at once or in its own time, and stores its session.

use std::collections::VecDeque;

use gateway_proto::Dispatch;
use gateway_proto::session::SessionSnapshot;

use crate::client::{Client, Stored, Waiting};
use crate::machine::Machine;
use crate::observation::Observation;
use crate::world::{Event, World};

impl<M: Machine> World<M> {
    /// A dispatch has reached the application.
    pub(super) fn handle(&mut self, shard: usize, dispatch: &Dispatch) {
        self.counts.dispatches += 1;
        let client = &mut self.clients[shard];
        let Some(sequence) = dispatch.sequence() else { return };
        let begins = dispatch.name() == "READY" && is_another(client, dispatch);
        let process = client.process;
        let Some(backlog) = &mut client.backlog else {
            client.handled = sequence;
            return;
        };
        if begins {
            backlog.sessions += 1;
            client.handled = 0;
        }
        let idle = backlog.waiting.is_empty();
        backlog.waiting.push_back(Waiting { session: backlog.sessions, sequence });
        if idle {
            let at = self.now + backlog.work();
            self.queue.push(at, Event::Acknowledge(shard, process));
        }
    }

    /// The application has dealt with some of what waits for it.
    pub(super) fn acknowledge(&mut self, shard: usize, process: u32) {
        let client = &mut self.clients[shard];
        if client.process != process || client.machine.is_none() {
            return;
        }
        if let Some(until) = self.suspended_until.max(client.busy_until) {
            return self.queue.push(until, Event::Acknowledge(shard, process));
        }
        let (Some(backlog), Some(machine)) = (&mut client.backlog, &mut client.machine) else { return };
        let finished: VecDeque<Waiting> = backlog.finish().into();
        for (place, Waiting { session, sequence }) in finished.iter().enumerate() {
            // The last of each session stands for those before it.
            if finished.get(place + 1).is_some_and(|next| next.session == *session) {
                continue;
            }
            if *session == backlog.sessions {
                client.handled = *sequence;
            }
            if let Err(error) = machine.ack(*sequence) {
                let refused = Observation::AcknowledgementRefused { error: &error };
                self.watch.observe(self.now, shard, &refused);
            }
        }
        if !backlog.waiting.is_empty() {
            let at = self.now + backlog.work();
            self.queue.push(at, Event::Acknowledge(shard, process));
        }
        self.drain(shard);
    }

    /// The application stores its session, as it would from time to time.
    pub(super) fn store(&mut self, shard: usize) {
        let client = &mut self.clients[shard];
        let Some(machine) = client.machine.as_ref().filter(|_| self.suspended_until.is_none()) else {
            return;
        };
        let Some(snapshot) = machine.session() else { return };
        if let Some(backlog) = &client.backlog {
            let (stored, exact) = (snapshot.sequence(), !backlog.reaches_back());
            let observed = Observation::Stored { sequence: stored, handled: client.handled, exact };
            self.watch.observe(self.now, shard, &observed);
        }
        let (session_id, handled) = (client.session_id.clone(), client.handled);
        client.stored = Some(Stored { snapshot, session_id, handled });
    }
}

/// Whether READY begins another session than the one that the application is on.
fn is_another<M>(client: &Client<M>, ready: &Dispatch) -> bool {
    let id = ready
        .decode::<serde_json::Value>()
        .ok()
        .and_then(|ready| Some(ready["session_id"].as_str()?.to_owned()));
    client.session_id != id
}

/// The `session_id` within a snapshot.
pub(super) fn session_id(snapshot: &SessionSnapshot) -> Option<String> {
    let stored = serde_json::to_value(snapshot).ok()?;
    Some(stored["session_id"].as_str()?.to_owned())
}
