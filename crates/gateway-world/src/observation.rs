//! The observations that the invariants check.

use std::fmt;

use gateway_proto::health::{Phase, Stats};
use gateway_proto::session::AckError;
use gateway_proto::{Input, Output};
use gateway_sim::About;

use crate::time::Time;

/// An observation of one shard.
#[derive(Debug)]
pub enum Observation<'a> {
    /// A process has started, with or without a stored session.
    Started {
        /// The position of the application when the session was stored.
        resumes_from: Option<u64>,
    },
    /// The process has crashed. The server may still consider its connection open.
    Died,
    /// The user has requested a reconnect or a shutdown.
    UserAsked {
        /// Whether the session is given up.
        gives_up_session: bool,
    },
    /// An input that the shard is about to handle. A message comes with its description by the gateway.
    Input(&'a Input, Option<&'a About>),
    /// All outputs that follow from the input have been polled.
    Settled,
    /// The user has sent commands.
    Queued {
        /// The number of queued commands.
        commands: usize,
    },
    /// An output that is neither a message to send nor a deadline.
    Output(&'a Output),
    /// A message that the shard sends.
    Sent {
        /// Its opcode. `None` if it is not a payload.
        op: Option<u64>,
        /// Its size in bytes.
        bytes: usize,
        /// For an Identify: whether the gateway could still resume the application's session.
        session_lives: bool,
    },
    /// The deadline that was polled last.
    Deadline(Time),
    /// The state after READY or RESUMED.
    Standing {
        /// The shard's counters.
        stats: &'a Stats,
        /// The sequence number of its session. `None` with [`Delivery::Acknowledged`](gateway_proto::config::Delivery):
        /// see [`Observation::Stored`].
        sequence: Option<u64>,
    },
    /// With [`Delivery::Acknowledged`](gateway_proto::config::Delivery): a snapshot was stored.
    Stored {
        /// The sequence number from which it would resume.
        sequence: u64,
        /// The newest dispatch of this session that the application has handled; 0 for none.
        handled: u64,
        /// Whether the application has handled all earlier sessions.
        exact: bool,
    },
    /// The shard rejected the acknowledgement of a dispatch that the application has handled.
    AcknowledgementRefused {
        /// The error.
        error: &'a AckError,
    },
    /// The gateway sent a message, which may not arrive.
    FromServer(&'a About),
    /// A message reached the gateway.
    AtServer {
        /// The number of the connection.
        connection: u64,
        /// When it was sent.
        sent: Time,
    },
    /// The machine of all shards is about to be suspended.
    Suspended,
    /// The machine has just resumed.
    Woke,
    /// The time for recovery since the last fault is over.
    Calm {
        /// The phase of the shard. `None` if its process is not running.
        phase: Option<Phase>,
        /// Whether the gateway has rejected the bot permanently.
        refused: bool,
        /// Whether more session starts are left than shards wait for.
        starts_left: bool,
    },
    /// A measurement of the whole world, once an hour.
    Heap {
        /// Bytes in use.
        bytes: usize,
        /// The number of shards.
        shards: u32,
    },
}

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The time.
    pub at: Time,
    /// The shard.
    pub shard: u32,
    /// The name of the invariant.
    pub invariant: &'static str,
    /// What happened.
    pub sentence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, shard, invariant, sentence } = self;
        write!(formatter, "{invariant}: shard {shard} at {at}: {sentence}")
    }
}
