//! Which dispatches the application has dealt with, where it says so.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::session::Session;
use crate::{DispatchKey, Shard};

/// From where a session is resumed: what counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// A dispatch counts as done once the shard has given it out. A crash before it is handled loses it.
    #[default]
    Received,
    /// A dispatch counts as done once the application says so with [`Shard::ack`]: **at least once**.
    ///
    /// Snapshots and every Resume carry the newest acknowledged number. What the application has not acknowledged is
    /// replayed to the process that resumes; within one process nothing is given out twice. The gateway keeps a bounded
    /// number of dispatches for a replay, so acknowledge soon: a session whose application is too far behind cannot be
    /// resumed.
    Acknowledged,
}

impl Shard {
    /// Acknowledges **all** dispatches up to this sequence number ([`Dispatch::sequence`](crate::Dispatch::sequence)), not
    /// this one alone: acknowledgements are cumulative. Only with [`Delivery::Acknowledged`].
    ///
    /// So a number is to be acknowledged only when everything before it has been dealt with too. Where dispatches are dealt
    /// with in any order, as by a pool of workers, an [`AckTracker`](crate::AckTracker) says how far that is, and
    /// [`ack_up_to`](Self::ack_up_to) takes it.
    ///
    /// Acknowledge in the order of delivery; some may be left out. A number below one that was acknowledged before
    /// changes nothing.
    ///
    /// Numbers begin anew with each session. Where dispatches of an earlier session are still outstanding, a number that
    /// both sessions have is taken for the earlier one's. So a late acknowledgement never passes for one of events that
    /// nobody has dealt with; at worst some events are replayed that need not be.
    ///
    /// # Errors
    ///
    /// Where this session has given out no dispatch with this number, or the delivery is [`Delivery::Received`]. Nothing has changed
    /// then.
    pub fn ack(&mut self, sequence: u64) -> Result<(), AckError> {
        self.acknowledge(sequence)?;
        self.record(|recorder, shard| recorder.acknowledged(sequence, shard.now));
        Ok(())
    }

    /// Acknowledges all dispatches of a session up to the one with this key, and none of another session: what
    /// [`AckTracker::done`](crate::AckTracker::done) gives may come at any time. Only with [`Delivery::Acknowledged`].
    ///
    /// The key of a session that is over changes nothing: there is nothing left to resume.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn ack_up_to(&mut self, key: DispatchKey) -> Result<(), AckError> {
        if self.config.delivery == Delivery::Received {
            return Err(AckError::NotAwaited);
        }
        match &self.session {
            Some(session) if session.key == key.session() => self.acknowledge_current(key.sequence()),
            _ => Ok(()),
        }
    }

    /// Acknowledges dispatches that are known to be of the current session.
    pub(crate) fn acknowledge_current(&mut self, sequence: u64) -> Result<(), AckError> {
        let Some(session) = &mut self.session else { return Ok(()) };
        if sequence > session.sequence {
            return Err(AckError::NotDelivered { sequence, delivered: session.sequence });
        }
        session.acknowledged = session.acknowledged.max(sequence);
        self.record(|recorder, shard| recorder.acknowledged_current(sequence, shard.now));
        Ok(())
    }

    fn acknowledge(&mut self, sequence: u64) -> Result<(), AckError> {
        if self.config.delivery == Delivery::Received {
            return Err(AckError::NotAwaited);
        }
        if self.earlier_sessions.acknowledge(sequence) {
            return Ok(());
        }
        match &mut self.session {
            Some(session) if sequence > session.sequence => {
                Err(AckError::NotDelivered { sequence, delivered: session.sequence })
            }
            Some(session) => {
                session.acknowledged = session.acknowledged.max(sequence);
                self.earlier_sessions.0.clear();
                Ok(())
            }
            // It has ended: there is nothing left to resume.
            None => Ok(()),
        }
    }

    /// The session is over. What is left of it to acknowledge is remembered, so that it is not taken for the next one's.
    pub(crate) fn end_session(&mut self) {
        let Some(session) = self.session.take() else { return };
        if self.config.delivery == Delivery::Acknowledged && session.acknowledged < session.sequence {
            self.earlier_sessions.0.push_back(Outstanding::of(&session));
        }
        self.former_session = Some(session);
    }
}

/// Sessions that are over, some of whose dispatches the application may still be dealing with. Oldest first.
#[derive(Default)]
pub(crate) struct EarlierSessions(VecDeque<Outstanding>);

/// What is outstanding of a session: the numbers above `acknowledged`, up to `delivered`.
struct Outstanding {
    acknowledged: u64,
    delivered: u64,
}

impl Outstanding {
    fn of(session: &Session) -> Self {
        Self { acknowledged: session.acknowledged, delivered: session.sequence }
    }
}

impl EarlierSessions {
    /// Takes an acknowledgement for the oldest session that it can belong to; those before it are done with. False: it
    /// belongs to none of them.
    ///
    /// Acknowledgements keep the order of delivery: a number below the newest one acknowledged is of a later session.
    fn acknowledge(&mut self, sequence: u64) -> bool {
        let fits = |session: &Outstanding| session.acknowledged < sequence && sequence <= session.delivered;
        let Some(position) = self.0.iter().position(fits) else { return false };
        self.0.drain(..position);
        match self.0.front_mut() {
            Some(session) if sequence < session.delivered => session.acknowledged = sequence,
            _ => drop(self.0.pop_front()),
        }
        true
    }
}

/// An acknowledgement that makes no sense. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckError {
    /// The shard was not set up for acknowledgements.
    NotAwaited,
    /// The session has given out no dispatch with this number.
    NotDelivered {
        /// The number.
        sequence: u64,
        /// The newest number that was given out.
        delivered: u64,
    },
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAwaited => f.write_str(
                "this shard awaits no acknowledgements: set `ShardConfig::delivery` to `Delivery::Acknowledged`",
            ),
            Self::NotDelivered { sequence, delivered } => write!(
                f,
                "dispatch {sequence} was not delivered, the newest is {delivered}: acknowledge what `Dispatch::sequence` said"
            ),
        }
    }
}

impl std::error::Error for AckError {}
