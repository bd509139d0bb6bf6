//! Decoding alone: from WebSocket messages to the values that a bot uses, without a socket.

mod bounds;
#[cfg(feature = "peers")]
mod erltf;
mod machine;
mod ours;
#[cfg(feature = "peers")]
mod serenity;
mod settings;
#[cfg(feature = "peers")]
mod twilight;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::frames::Frames;
use crate::mode::Mode;

pub(crate) use bounds::Bound;
pub use settings::Settings;

/// The work for every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// The opcode, the sequence number, the name, and a payload that can be kept.
    Envelope,
    /// Of every MESSAGE_CREATE the channel's id, the author's id and the content; nothing of others.
    SmallBot,
    /// The whole event, as the types of twilight-model or serenity.
    Typed,
    /// The work of a shard for a message, without a socket. Only ours runs like that.
    Machine,
}

/// A contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// gateway-codec.
    Ours,
    /// The work of twilight-gateway for a message; for the small bot with MESSAGE_CREATE only.
    Twilight,
    /// The same, with every event decoded.
    TwilightAll,
    /// The work of serenity's shard for a message.
    Serenity,
    /// erltf, borrowed.
    Erltf,
    /// Lower bound: the inflate alone into allocated memory, or a copy.
    Bound,
}

/// The result, which is the same for contenders that did the same work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of messages.
    pub messages: u64,
    /// A checksum of the values found in them.
    pub found: u64,
}

/// A contender, which takes one message after the other.
pub trait Contender {
    /// Takes a message.
    ///
    /// # Errors
    ///
    /// If it could not be read.
    fn take(&mut self, frame: Bytes, tally: &mut Tally) -> Result<(), String>;
}

/// A contender at a job, before the first message. `None` if it does not support the job.
pub fn contender(job: Job, who: Who, mode: Mode) -> Option<Box<dyn Contender>> {
    match who {
        Who::Ours => ours::contender(job, mode),
        Who::Bound => bounds::contender(job, mode),
        #[cfg(feature = "peers")]
        Who::Twilight | Who::TwilightAll => twilight::contender(job, who == Who::TwilightAll, mode),
        #[cfg(feature = "peers")]
        Who::Serenity => serenity::contender(job, mode),
        #[cfg(feature = "peers")]
        Who::Erltf => erltf::contender(job, mode),
        #[cfg(not(feature = "peers"))]
        _ => None,
    }
}

/// Passes all messages to each contender, and returns how long it took. Several contenders take turns, like the shards of a
/// process.
///
/// Messages are copied a few at a time before a contender gets them, as a socket does, so that they are in the processor's
/// cache. The time does not include the copy.
///
/// # Errors
///
/// A message that a contender could not read.
pub fn run(contenders: &mut [Box<dyn Contender>], frames: &Frames) -> Result<(Tally, Duration), String> {
    let (mut tally, mut time) = (Tally::default(), Duration::ZERO);
    let size = if contenders.len() == 1 { BATCH } else { TURN };
    let mut batches: Vec<_> = contenders.iter().map(|_| frames.batches(size)).collect();
    loop {
        let mut is_over = true;
        for (contender, batches) in contenders.iter_mut().zip(&mut batches) {
            let Some(batch) = batches.next() else { continue };
            is_over = false;
            let start = Instant::now();
            for frame in batch {
                contender.take(frame, &mut tally)?;
            }
            time += start.elapsed();
        }
        if is_over {
            return Ok((tally, time));
        }
    }
}

/// Bytes of messages that arrive together.
const BATCH: usize = 32 << 10;
/// Bytes of messages that arrive together at one of several contenders: some dozens of compressed messages.
const TURN: usize = 8 << 10;

impl Tally {
    /// Counts a message whose envelope was read.
    fn envelope(&mut self, op: u64, sequence: Option<u64>, name: &str) {
        self.messages += 1;
        self.add(op + sequence.unwrap_or(0));
        self.add(name.len() as u64 + u64::from(name.bytes().next().unwrap_or(0)));
    }

    /// Counts the fields that the small bot reads.
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
    pub const ALL: [Self; 4] = [Self::Envelope, Self::SmallBot, Self::Typed, Self::Machine];
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
            Self::Machine => "machine",
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
