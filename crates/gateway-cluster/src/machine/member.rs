//! A shard of a cluster, as the cluster sees it.

use std::time::Instant;

use gateway_proto::StopReason;
use gateway_proto::session::SessionSnapshot;

/// A shard of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Member {
    pub(crate) state: MemberState,
    /// The session to start with.
    pub(crate) session: Option<SessionSnapshot>,
    /// It was started without a session, and has not sent Identify so far.
    pub(crate) awaits_permit: bool,
    /// It was ready once.
    pub(crate) was_live: bool,
    /// Since when its session goes on on its connection. A heartbeat that was sent before proves nothing of the session. None: it does
    /// not.
    pub(crate) live_since: Option<Instant>,
    /// How many guilds READY named. None: not known.
    pub(crate) guilds: Option<u64>,
    /// What is to happen when it has stopped.
    pub(crate) leaving: Option<Leaving>,
    /// It is shut down because another shard was rejected for this reason, which is the whole bot's.
    pub(crate) rejected: Option<StopReason>,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) enum MemberState {
    /// Not started yet.
    #[default]
    Waiting,
    /// Started, and neither ready nor cut off so far.
    Starting,
    /// Ready or resumed.
    Live,
    /// Cut off. It reconnects by itself.
    Reconnecting,
    /// Stopped for good.
    Stopped(StopReason),
}

/// Why a shard is shut down while the cluster goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Its generation is no longer needed.
    Retired,
    /// It goes to another process.
    Released,
}

impl Member {
    pub(crate) fn with_session(session: Option<SessionSnapshot>) -> Self {
        Self { session, ..Self::default() }
    }

    /// Whether a shard runs that can be shut down.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, MemberState::Starting | MemberState::Live | MemberState::Reconnecting)
    }

    /// Whether shards of later buckets have to wait for its Identify. Once cut off it holds up none.
    pub(crate) fn is_to_identify(&self) -> bool {
        match self.state {
            MemberState::Waiting => self.session.is_none(),
            MemberState::Starting => self.awaits_permit,
            _ => false,
        }
    }

    /// Whether it is what it will be for now: it is no longer waited for.
    pub(crate) fn has_settled(&self) -> bool {
        matches!(self.state, MemberState::Live | MemberState::Stopped(_))
    }
}
