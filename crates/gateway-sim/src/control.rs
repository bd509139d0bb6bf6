//! The commands that make things happen, from Rust or over HTTP.

use std::time::Duration;

use serde_json::Value;

use crate::bytes_fault::ByteFault;
use crate::framing::{FrameMode, KeyOrder};
use crate::io::ConnectionId;
use crate::rules::{Point, Rule};

/// What a [`Control`] concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Target {
    /// Every live session and every open connection.
    #[default]
    All,
    /// One connection, and the session that is on it.
    Connection(ConnectionId),
    /// The session with this number (1 for the first READY), and the connection it is on.
    Session(u64),
    /// The sessions of the shard with this id, whatever the count, and their connections.
    Shard(u32),
    /// Every session that serves the guild with this id, of all shard counts, and their connections. An event for it is one and the
    /// same in all of them.
    Guild(u64),
}

/// A command to the simulated gateway.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Control {
    /// Changes nothing; the answer is the state of the gateway.
    State,
    /// Dispatches `count` MESSAGE_CREATE to each session, whatever its intents, each with `padding` more bytes of content. Each
    /// session has its own; with [`Target::Guild`] all sessions that serve the guild have the same.
    Emit {
        /// How many.
        count: u32,
        /// Bytes to add to the content.
        padding: usize,
    },
    /// The same spread over time.
    Pump {
        /// How many a second, for each session.
        rate: f64,
        /// For how long.
        duration: Duration,
        /// Bytes to add to the content.
        padding: usize,
    },
    /// Background events a second over all guilds from now on; 0 for none.
    Rate(f64),
    /// Dispatches one event to each session.
    Event {
        /// The event name, known or not.
        name: String,
        /// Its `d`.
        data: Value,
    },
    /// The bot joins the voice channel of a guild, or leaves it: a VOICE_STATE_UPDATE to each session that serves the guild, and from
    /// then on its GUILD_CREATE has the state. Only with [`Target::Guild`].
    Voice {
        /// Whether it joins.
        joins: bool,
    },
    /// As `Emit`, but the events do not arrive: they have their numbers, and come with a replay.
    Lose {
        /// How many.
        count: u32,
    },
    /// Leaves out numbers that no event has: no replay brings them.
    Skip {
        /// How many.
        count: u32,
    },
    /// Sends a text as it is: no sequence, no replay, no check.
    Raw(String),
    /// Sends this object as it is, in the encoding and compression of each connection: no sequence, no replay, no check.
    Payload(Value),
    /// Sends a ping, whose pong is recorded.
    Ping,
    /// Sends a text message as it is, past encoding and compression.
    RawText(String),
    /// Sends a binary message as it is, past encoding and compression.
    RawBytes(Vec<u8>),
    /// op 7, and then `then_emit` events at once.
    Reconnect {
        /// Events right behind it.
        then_emit: u32,
    },
    /// op 9. `false` ends the session, `true` only takes it off its connection.
    Invalid {
        /// Its `d`.
        resumable: bool,
    },
    /// A close frame. The session stays resumable.
    Close {
        /// The code; `None` for a close frame without one.
        code: Option<u16>,
    },
    /// TCP reset.
    Abort,
    /// End of the TCP stream without a close frame.
    Drop,
    /// Half of a message, then TCP reset.
    Cut,
    /// No ACKs on these connections, or ACKs again.
    Mute(bool),
    /// Nothing on these connections any more, not even a pong; they stay open.
    Silence,
    /// op 1: asks for a heartbeat.
    Beat,
    /// `heartbeat_interval` of every Hello from now on.
    HeartbeatInterval(Duration),
    /// How long after a heartbeat its ACK is sent, from now on.
    AckDelay(Duration),
    /// Hello again, on a running connection.
    Hello,
    /// Ends the sessions silently; the next Resume gets op 9 `false`.
    Expire,
    /// Adds a rule.
    Rule(Rule),
    /// Clears the rules of a point, or all.
    ClearRules(Option<Point>),
    /// How messages are cut, on these connections and on all to come.
    FrameMode(FrameMode),
    /// The order of keys, on these connections and on all to come.
    KeyOrder(KeyOrder),
    /// A fault in the bytes of these connections.
    Bytes(ByteFault),
    /// An outage: all connections are cut, none can be opened for `duration`, and each session misses `emit` events meanwhile.
    Down {
        /// For how long.
        duration: Duration,
        /// Events that are missed.
        emit: u32,
    },
}
