//! Control commands, from Rust or over HTTP.

use std::time::Duration;

use serde_json::Value;

use crate::bytes_fault::ByteFault;
use crate::framing::{FrameMode, KeyOrder};
use crate::io::ConnectionId;
use crate::rules::{Point, Rule};

/// The connections and sessions that a [`Control`] affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Target {
    /// Every live session and every open connection.
    #[default]
    All,
    /// One connection, and the session that is on it.
    Connection(ConnectionId),
    /// The session with this number (1 for the first READY), and its connection.
    Session(u64),
    /// The sessions of the shard with this id, for any shard count, and their connections.
    Shard(u32),
    /// Every session that serves the guild with this id, for all shard counts, and their connections. An event for the
    /// guild is the same event in all of them.
    Guild(u64),
}

/// A command to the simulated gateway.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Control {
    /// Changes nothing; returns the state of the gateway.
    State,
    /// Dispatches `count` MESSAGE_CREATE to each session, regardless of its intents, each with `padding` more bytes of
    /// content. Each session receives its own; with [`Target::Guild`] all sessions that serve the guild receive the same.
    Emit {
        /// The number of events.
        count: u32,
        /// Bytes to add to the content.
        padding: usize,
    },
    /// The same, spread over time.
    Pump {
        /// Events per second, for each session.
        rate: f64,
        /// The duration.
        duration: Duration,
        /// Bytes to add to the content.
        padding: usize,
    },
    /// Background events per second over all guilds from now on; 0 for none.
    Rate(f64),
    /// Dispatches one event to each session.
    Event {
        /// The event name; need not be one of Discord's.
        name: String,
        /// Its `d`.
        data: Value,
    },
    /// The bot joins the voice channel of a guild, or leaves it. Each session that serves the guild receives
    /// VOICE_STATE_UPDATE, and later GUILD_CREATEs contain the state. Only with [`Target::Guild`].
    Voice {
        /// Whether the bot joins.
        joins: bool,
    },
    /// As `Emit`, but the events are not sent. They have sequence numbers, and a replay contains them.
    Lose {
        /// The number of events.
        count: u32,
    },
    /// Skips sequence numbers. No event has them, and no replay contains them.
    Skip {
        /// How many numbers.
        count: u32,
    },
    /// Sends a text unchanged: no sequence, no replay, no check.
    Raw(String),
    /// Sends this object unchanged, in the encoding and compression of each connection: no sequence, no replay, no check.
    Payload(Value),
    /// Sends a ping. Its pong is recorded.
    Ping,
    /// Sends a text message without encoding and compression.
    RawText(String),
    /// Sends a binary message without encoding and compression.
    RawBytes(Vec<u8>),
    /// Sends opcode 7, followed immediately by `then_emit` events.
    Reconnect {
        /// The number of events that follow.
        then_emit: u32,
    },
    /// Sends opcode 9. `false` ends the session, `true` only detaches it from its connection.
    Invalid {
        /// Its `d`.
        resumable: bool,
    },
    /// Sends a close frame. The session stays resumable.
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
    /// Suppresses ACKs on these connections, or sends them again.
    Mute(bool),
    /// Sends nothing more on these connections, not even a pong; they stay open.
    Silence,
    /// Sends opcode 1, which requests a heartbeat.
    Beat,
    /// Sets the `heartbeat_interval` of every later Hello.
    HeartbeatInterval(Duration),
    /// Sets the delay of later ACKs.
    AckDelay(Duration),
    /// Sends Hello again on an open connection.
    Hello,
    /// Ends the sessions silently; the next Resume is answered with opcode 9 `false`.
    Expire,
    /// Adds a rule.
    Rule(Rule),
    /// Removes the rules of a point, or all.
    ClearRules(Option<Point>),
    /// Sets how messages are split, on these and on all later connections.
    FrameMode(FrameMode),
    /// Sets the order of keys, on these and on all later connections.
    KeyOrder(KeyOrder),
    /// Adds a fault in the bytes of these connections.
    Bytes(ByteFault),
    /// Simulates an outage: all connections are reset, none can be opened for `duration`, and each session misses `emit`
    /// events.
    Down {
        /// The duration.
        duration: Duration,
        /// The number of missed events.
        emit: u32,
    },
}
