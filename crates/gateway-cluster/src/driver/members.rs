//! Requests for members, which survive new sessions and reshards.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use event_listener::Event as Signal;
use gateway_driver::proto::Dispatch;
use gateway_driver::proto::command::{
    MemberRequestError, MemberRequestId, MemberRequests, RequestGuildMembers, SendError,
};

use super::hub::Hub;
use crate::ShardKey;
use crate::time::later;

/// How long a chunk may take. A request for all members of a guild may wait for 30 s before it is sent ("limited to 1 request per guild
/// per bot every 30 seconds": Discord Docs, Gateway Events > Request Guild Members).
const PATIENCE: Duration = Duration::from_secs(45);
/// How long a request is tried.
const LONGEST: Duration = Duration::from_secs(180);
/// When a shard that could not take the request is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// Why a request for members has no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum MembersError {
    /// The request can never be sent.
    Send(SendError),
    /// There was no whole answer within three minutes, over all sessions. Without the intent GUILD_MEMBERS some requests are never
    /// answered.
    TimedOut,
    /// The shard of the guild is another process's.
    NotHere,
    /// The cluster has ended.
    Ended,
}

/// All requests of a cluster.
pub(crate) struct Members {
    state: Mutex<State>,
    /// A request waits, so dispatches are looked at.
    waiting: AtomicBool,
    answered: Signal,
}

struct State {
    requests: MemberRequests,
    open: BTreeMap<u64, Open>,
    made: u64,
}

struct Open {
    request: RequestGuildMembers,
    until: Instant,
    /// What was sent, and to which shard. None: it is to be sent.
    sent: Option<(MemberRequestId, ShardKey)>,
    /// When it is to be sent.
    send_at: Instant,
    answer: Option<Result<Vec<Dispatch>, MembersError>>,
}

/// A request that is waited for. Dropping it cancels the request.
pub(crate) struct Ticket {
    hub: Arc<Hub>,
    number: u64,
}

impl Members {
    pub(crate) fn new(seed: u64) -> Self {
        let state = State { requests: MemberRequests::new(PATIENCE, seed), open: BTreeMap::new(), made: 0 };
        Self { state: Mutex::new(state), waiting: AtomicBool::new(false), answered: Signal::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A dispatch of any shard.
    pub(crate) fn handle_dispatch(&self, dispatch: &Dispatch, hub: &Arc<Hub>) {
        if !self.waiting.load(Ordering::Relaxed)
            || !matches!(dispatch.name(), "GUILD_MEMBERS_CHUNK" | "RATE_LIMITED")
        {
            return;
        }
        let now = hub.host.now();
        let mut state = self.lock();
        state.requests.handle_dispatch(dispatch, now);
        self.go_on(&mut state, hub, now);
    }

    /// A shard has a new session, or none any more: what the one before was asked is not answered.
    pub(crate) fn handle_new_session(&self, key: ShardKey, hub: &Arc<Hub>) {
        if !self.waiting.load(Ordering::Relaxed) {
            return;
        }
        let now = hub.host.now();
        let mut state = self.lock();
        let State { requests, open, .. } = &mut *state;
        for open in open.values_mut() {
            if let Some((id, _)) = open.sent.take_if(|(_, shard)| *shard == key) {
                requests.cancel(id);
                open.send_at = now;
            }
        }
        self.go_on(&mut state, hub, now);
    }

    /// The time has come that [`next_deadline`](Self::next_deadline) has named.
    pub(crate) fn handle_timeout_if_due(&self, hub: &Arc<Hub>, now: Instant) {
        if self.next_deadline().is_some_and(|deadline| now >= deadline) {
            self.go_on(&mut self.lock(), hub, now);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let state = self.lock();
        let waiting = state.open.values().filter(|open| open.answer.is_none());
        let own =
            waiting.map(|open| if open.sent.is_none() { open.until.min(open.send_at) } else { open.until });
        own.chain(state.requests.next_deadline()).min()
    }

    fn go_on(&self, state: &mut State, hub: &Arc<Hub>, now: Instant) {
        while let Some(answer) = state.requests.poll(now) {
            let of_it = |open: &&mut Open| open.sent.is_some_and(|(id, _)| id == answer.id);
            let Some(open) = state.open.values_mut().find(of_it) else { continue };
            match answer.result {
                Ok(chunks) => open.answer = Some(Ok(chunks)),
                Err(MemberRequestError::RateLimited { retry_after }) => {
                    (open.sent, open.send_at) = (None, later(now, retry_after));
                }
                Err(_) => (open.sent, open.send_at) = (None, now),
            }
        }
        for open in state.open.values_mut().filter(|open| open.answer.is_none()) {
            if now >= open.until {
                if let Some((id, _)) = open.sent.take() {
                    state.requests.cancel(id);
                }
                open.answer = Some(Err(MembersError::TimedOut));
            } else if open.sent.is_none() && now >= open.send_at {
                open.send(&mut state.requests, hub, now);
            }
        }
        self.answered.notify(usize::MAX);
        hub.signals.keeper.notify(usize::MAX);
    }

    fn take(&self, number: u64) -> Option<Result<Vec<Dispatch>, MembersError>> {
        self.lock().open.get_mut(&number)?.answer.take()
    }
}

impl Open {
    fn send(&mut self, requests: &mut MemberRequests, hub: &Hub, now: Instant) {
        self.send_at = now + RETRY;
        if !hub.has_guild(self.request.guild_id) {
            self.answer = Some(Err(MembersError::NotHere));
            return;
        }
        let Some(slot) = hub.slot_of_guild(self.request.guild_id) else { return };
        let (id, command) = requests.request(self.request.clone(), now);
        match slot.sender.send(command) {
            Ok(()) => self.sent = Some((id, slot.key)),
            Err(error) => {
                requests.cancel(id);
                if !matches!(error, SendError::Stopped | SendError::QueueFull { .. }) {
                    self.answer = Some(Err(MembersError::Send(error)));
                }
            }
        }
    }
}

impl Ticket {
    /// Sends a request as soon as the shard of its guild takes it.
    pub(crate) fn new(request: RequestGuildMembers, hub: &Arc<Hub>) -> Self {
        let members = &hub.members;
        let now = hub.host.now();
        let mut state = members.lock();
        let number = state.made;
        state.made += 1;
        let open = Open { request, until: now + LONGEST, sent: None, send_at: now, answer: None };
        state.open.insert(number, open);
        members.waiting.store(true, Ordering::Relaxed);
        members.go_on(&mut state, hub, now);
        drop(state);
        Self { hub: hub.clone(), number }
    }

    /// The chunks, in their order.
    pub(crate) async fn answer(self) -> Result<Vec<Dispatch>, MembersError> {
        loop {
            let (answered, changed) = (self.hub.members.answered.listen(), self.hub.changed.listen());
            if let Some(answer) = self.hub.members.take(self.number) {
                return answer;
            }
            if self.hub.lock().ended || self.hub.is_abandoned() {
                return Err(MembersError::Ended);
            }
            super::either(answered, changed).await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.hub.members.lock();
        if let Some(open) = state.open.remove(&self.number)
            && let Some((id, _)) = open.sent
        {
            state.requests.cancel(id);
        }
        self.hub.members.waiting.store(!state.open.is_empty(), Ordering::Relaxed);
    }
}

impl fmt::Display for MembersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(error) => error.fmt(f),
            Self::TimedOut => {
                f.write_str("no members were received in time: does the bot use the intent GUILD_MEMBERS?")
            }
            Self::NotHere => f.write_str("the shard of the guild is another process's"),
            Self::Ended => f.write_str("the cluster has ended"),
        }
    }
}

/// Its text is that of the error within, so it has no `source`.
impl std::error::Error for MembersError {}
