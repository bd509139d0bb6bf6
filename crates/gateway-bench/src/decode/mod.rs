//! Decoding alone: from WebSocket messages to what a bot uses, without a socket.

mod bounds;
#[cfg(feature = "peers")]
mod erltf;
mod ours;
#[cfg(feature = "peers")]
mod serenity;
mod settings;
#[cfg(feature = "peers")]
mod twilight;

use std::fmt;
use std::str::FromStr;

use crate::frames::{Frames, Mode};

pub use settings::Settings;

/// What is done with every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// The opcode, the sequence number, the name, and a payload that can be kept.
    Envelope,
    /// Of every MESSAGE_CREATE the channel's id, the author's id and the content; nothing of others.
    SmallBot,
    /// The whole event, as the types of twilight-model or serenity.
    Typed,
}

/// Who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// gateway-codec.
    Ours,
    /// What twilight-gateway does with a message; for the small bot it is asked for MESSAGE_CREATE alone.
    Twilight,
    /// The same, with every event decoded whether the bot wants it or not.
    TwilightAll,
    /// What serenity's shard does with a message.
    Serenity,
    /// erltf, borrowed.
    Erltf,
    /// Nobody can be quicker: the inflate alone into memory that is there, or a copy.
    Bound,
}

/// What came of it: contenders that did the same work have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many messages were taken.
    pub messages: u64,
    /// A sum over what was found in them.
    pub found: u64,
}

/// Does a job once over all messages. `None` where a contender does not do that.
///
/// # Errors
///
/// A message that the contender could not read.
pub fn run(job: Job, who: Who, mode: Mode, frames: &Frames) -> Option<Result<Tally, String>> {
    match who {
        Who::Ours => ours::run(job, mode, frames),
        Who::Bound => bounds::run(job, mode, frames),
        #[cfg(feature = "peers")]
        Who::Twilight | Who::TwilightAll => twilight::run(job, who == Who::TwilightAll, mode, frames),
        #[cfg(feature = "peers")]
        Who::Serenity => serenity::run(job, mode, frames),
        #[cfg(feature = "peers")]
        Who::Erltf => erltf::run(job, mode, frames),
        #[cfg(not(feature = "peers"))]
        _ => None,
    }
}

impl Tally {
    /// A message whose envelope was read.
    fn envelope(&mut self, op: u64, sequence: Option<u64>, name: &str) {
        self.messages += 1;
        self.add(op + sequence.unwrap_or(0));
        self.add(name.len() as u64 + u64::from(name.bytes().next().unwrap_or(0)));
    }

    /// What the small bot reads.
    fn message(&mut self, channel: u64, author: u64, content: &str) {
        self.add(channel);
        self.add(author);
        self.add(content.len() as u64);
    }

    fn add(&mut self, number: u64) {
        self.found = self.found.wrapping_mul(31).wrapping_add(number);
    }
}

impl Job {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Envelope, Self::SmallBot, Self::Typed];
}

impl Who {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ours, Self::Twilight, Self::TwilightAll, Self::Serenity, Self::Erltf, Self::Bound];
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Envelope => "envelope",
            Self::SmallBot => "small-bot",
            Self::Typed => "typed",
        })
    }
}

impl FromStr for Job {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let job = Self::ALL.into_iter().find(|job| job.to_string() == text);
        job.ok_or_else(|| format!("there is no job {text}"))
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Twilight => "twilight",
            Self::TwilightAll => "twilight-all",
            Self::Serenity => "serenity",
            Self::Erltf => "erltf",
            Self::Bound => "bound",
        })
    }
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let who = Self::ALL.into_iter().find(|who| who.to_string() == text);
        who.ok_or_else(|| format!("there is no contender {text}"))
    }
}
