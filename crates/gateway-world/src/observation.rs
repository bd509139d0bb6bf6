//! The observations that the invariants check, each from the side that sees it best.

use std::fmt;

use gateway_proto::health::{Phase, Stats};
use gateway_proto::session::AckError;
use gateway_proto::{Input, Output};
use gateway_sim::About;

use crate::time::Time;

/// One thing that happened to one shard.
#[derive(Debug)]
pub enum Observation<'a> {
    /// A process began, with a stored session or without.
    Started {
        /// Where the application was when the session was stored.
        resumes_from: Option<u64>,
    },
    /// The process died. Its connection may live on at the server.
    Died,
    /// The user asked for a new connection, or for the end.
    UserAsked {
        /// The session is to be given up.
        gives_up_session: bool,
    },
    /// Something is about to be handed in. A message comes with what the gateway put into it.
    Input(&'a Input, Option<&'a About>),
    /// Everything that followed from the input has come out.
    Settled,
    /// The user has sent commands.
    Queued {
        /// How many wait now.
        commands: usize,
    },
    /// Something came out; neither a message to send nor a deadline.
    Output(&'a Output),
    /// A message came out to be sent.
    Sent {
        /// Its opcode. None: it is no payload.
        op: Option<u64>,
        /// Its size.
        bytes: usize,
        /// Whether the session that the application was on could still be resumed at the gateway. Known for Identify.
        session_lives: bool,
    },
    /// The deadline that came out last.
    Deadline(Time),
    /// After READY or RESUMED.
    Standing {
        /// The shard's counters.
        stats: &'a Stats,
        /// The sequence number of its session. None with [`Delivery::Acknowledged`](gateway_proto::config::Delivery): see
        /// [`Observation::Stored`].
        sequence: Option<u64>,
    },
    /// With [`Delivery::Acknowledged`](gateway_proto::config::Delivery): a snapshot was stored.
    Stored {
        /// Where it would resume from.
        sequence: u64,
        /// The newest dispatch of this session that the application has dealt with; 0 for none.
        handled: u64,
        /// The application is done with all earlier sessions.
        exact: bool,
    },
    /// The shard knows nothing of a dispatch that the application has dealt with.
    AcknowledgementRefused {
        /// What it said.
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
    /// The machine that all shards run on falls asleep.
    Suspended,
    /// It has just woken.
    Woke,
    /// The faults have stopped for as long as recovery may take.
    Calm {
        /// Where the shard is. None: its process is not running.
        phase: Option<Phase>,
        /// The gateway has refused the bot for good.
        refused: bool,
        /// There are more session starts left to give out than shards wait for.
        starts_left: bool,
    },
    /// A measurement of the whole world, once an hour.
    Heap {
        /// Bytes in use.
        bytes: usize,
        /// How many shards there are.
        shards: u32,
    },
}

/// A rule was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Time,
    /// By which shard.
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
