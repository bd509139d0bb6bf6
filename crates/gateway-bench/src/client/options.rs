//! The options of a contender.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use gateway_codec::{Compression, Encoding};

use crate::mode::Mode;

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// gateway-tokio, on a runtime of the current thread.
    Tokio,
    /// gateway-smol, on an executor of the current thread.
    Smol,
    /// gateway-async-std, likewise.
    AsyncStd,
    /// gateway-proto over blocking sockets, as in the example `blocking_bot`.
    Blocking,
    /// twilight-gateway, on a tokio runtime of the current thread.
    Twilight,
    /// serenity, likewise.
    Serenity,
    /// Lower bound: read and inflate, or copy.
    Bound,
}

/// The work of a client for its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// Takes the payload of each, undecoded.
    Raw,
    /// Of every MESSAGE_CREATE the channel's id, the author's id and the content; nothing of others.
    SmallBot,
    /// The whole event, as the types of twilight-model or serenity.
    Typed,
    /// None: many shards are connected, and then idle.
    Idle,
    /// As [`Job::Raw`], on many shards.
    Growth,
}

/// The options of a contender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// The client.
    pub who: Who,
    /// The work for its events.
    pub job: Job,
    /// The URL of the server: `ws://127.0.0.1:PORT` or `wss://localhost:PORT`.
    pub url: String,
    /// The server's root certificate, as a file of PEM.
    pub ca: Option<PathBuf>,
    /// The mode to request.
    pub mode: Mode,
    /// The number of GUILD_CREATEs between READY and the small events.
    pub guilds: u64,
    /// The number of small events over all shards, of which each receives the same number.
    pub events: u64,
    /// The number of shards.
    pub shards: u32,
    /// The idle time of [`Job::Idle`], in seconds.
    pub seconds: u64,
    /// Whether to read everything by which contenders can be compared, including names and sequence numbers. It costs time.
    pub check: bool,
}

impl ClientOptions {
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.shards == 0 {
            return Err("at least one shard".to_owned());
        }
        if !self.events.is_multiple_of(u64::from(self.shards)) {
            return Err("every shard must see as many events as the others".to_owned());
        }
        if self.job != Job::Idle && self.events == 0 {
            return Err("at least one event for each shard".to_owned());
        }
        if self.shards > 1 && matches!(self.who, Who::Blocking | Who::Bound | Who::Serenity) {
            return Err(match self.who {
                Who::Blocking | Who::Bound => format!("the {} client has one shard in a process", self.who),
                _ => "serenity waits for 5 s between shards: one is all it is asked for".to_owned(),
            });
        }
        match self.supports() {
            true => Ok(()),
            false => Err(format!("{} does not do {} in {}", self.who, self.job, self.mode)),
        }
    }

    /// Whether the contender can do this, as it is compiled.
    pub fn supports(&self) -> bool {
        let job = match (self.who, self.job) {
            // It decodes every event before the application receives it.
            (Who::Serenity, job) => !matches!(job, Job::Raw | Job::Growth),
            (Who::Bound, job) => job == Job::Raw && !self.check,
            (_, Job::Typed) => cfg!(feature = "twilight"),
            _ => true,
        };
        let tls = !self.is_tls() || !matches!(self.who, Who::Serenity | Who::Bound);
        let mode = match (self.who, self.mode.encoding, self.mode.compression) {
            // It requests the newest compression that is compiled in.
            (Who::Twilight, Encoding::Json, compression) => {
                compression
                    == if cfg!(feature = "twilight-zstd") {
                        Compression::ZstdStream
                    } else if cfg!(feature = "twilight-zlib") {
                        Compression::ZlibStream
                    } else {
                        Compression::None
                    }
            }
            (Who::Serenity, Encoding::Json, compression) => {
                matches!(compression, Compression::None | Compression::Payload)
            }
            (Who::Bound, encoding, compression) => {
                encoding == Encoding::Json && compression != Compression::Payload
            }
            (Who::Twilight | Who::Serenity, Encoding::Etf, _) => false,
            _ => true,
        };
        job && mode && tls
    }

    /// Whether the URL asks for TLS.
    pub fn is_tls(&self) -> bool {
        self.url.starts_with("wss:")
    }
}

impl Who {
    /// All clients.
    pub const ALL: [Self; 7] = [
        Self::Tokio,
        Self::Smol,
        Self::AsyncStd,
        Self::Blocking,
        Self::Twilight,
        Self::Serenity,
        Self::Bound,
    ];
}

impl Job {
    /// All jobs.
    pub const ALL: [Self; 5] = [Self::Raw, Self::SmallBot, Self::Typed, Self::Idle, Self::Growth];
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokio => "tokio",
            Self::Smol => "smol",
            Self::AsyncStd => "async-std",
            Self::Blocking => "blocking",
            Self::Twilight => "twilight",
            Self::Serenity => "serenity",
            Self::Bound => "bound",
        })
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::SmallBot => "small-bot",
            Self::Typed => "typed",
            Self::Idle => "idle",
            Self::Growth => "growth",
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

impl FromStr for Job {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let job = Self::ALL.into_iter().find(|job| job.to_string() == text);
        job.ok_or_else(|| format!("there is no job {text}"))
    }
}
