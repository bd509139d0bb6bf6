//! Requests for members, each turned into one result.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::command::{MemberSelection, RequestGuildMembers};
use crate::number::Number;
use crate::{Command, Dispatch, Snowflake};

/// Matches `GUILD_MEMBERS_CHUNK` and `RATE_LIMITED` to the requests that they answer.
///
/// A state machine like the shard itself: requests, dispatches and the time go in, answers and a deadline come out. Use one for
/// each shard, or one for all of them.
///
/// ```
/// use std::time::{Duration, Instant};
/// use gateway_proto::command::{MemberRequests, MemberSelection, RequestGuildMembers, SendError};
/// use gateway_proto::{Dispatch, Shard, Snowflake};
///
/// fn ask(shard: &mut Shard, requests: &mut MemberRequests, now: Instant) -> Result<(), SendError> {
///     let request = RequestGuildMembers::new(Snowflake(81384788765712384), MemberSelection::Everyone);
///     let (_id, command) = requests.request(request, now);
///     shard.send(command)
/// }
///
/// fn dispatched(requests: &mut MemberRequests, dispatch: &Dispatch, now: Instant) {
///     requests.handle_dispatch(dispatch, now);
///     while let Some(answer) = requests.poll(now) {
///         match answer.result {
///             Ok(chunks) => println!("{} chunks", chunks.len()),
///             Err(error) => println!("{error}"),
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct MemberRequests {
    /// Distinguishes the requests of this process from those of an earlier one, whose answers a Resume may replay.
    seed: u32,
    timeout: Duration,
    made: u64,
    waiting: BTreeMap<MemberRequestId, Waiting>,
    answered: VecDeque<MemberAnswer>,
}

/// Names one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberRequestId(u64);

/// The answer to a request.
#[derive(Debug)]
#[non_exhaustive]
pub struct MemberAnswer {
    /// Which request.
    pub id: MemberRequestId,
    /// The `GUILD_MEMBERS_CHUNK` dispatches in the order of their `chunk_index`, or why there are none.
    pub result: Result<Vec<Dispatch>, MemberRequestError>,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberRequestError {
    /// The gateway has refused it temporarily (`RATE_LIMITED`).
    RateLimited {
        /// How long to wait before the next try.
        retry_after: Duration,
    },
    /// No chunk was received within the timeout. Without the intent GUILD_MEMBERS some requests are never answered.
    TimedOut {
        /// The number of chunks received.
        received: u64,
        /// The number of chunks expected. `None` if none was received.
        expected: Option<u64>,
    },
}

#[derive(Debug)]
struct Waiting {
    guild: Snowflake,
    everyone: bool,
    deadline: Instant,
    expected: Option<u64>,
    chunks: BTreeMap<u64, Dispatch>,
}

/// The fields of `GUILD_MEMBERS_CHUNK` that identify its request (Discord Docs, Gateway Events > Guild Members Chunk).
#[derive(Deserialize)]
struct Chunk {
    chunk_index: u64,
    chunk_count: u64,
    nonce: Option<String>,
}

impl MemberRequests {
    /// `timeout` is how long to wait for the first chunk, and after each chunk for the next. A request may wait about 30 s before
    /// it is sent, if all members of the same guild were requested just before. `seed` is any number, different for each process.
    pub fn new(timeout: Duration, seed: u64) -> Self {
        let seed = (seed ^ seed >> 32) as u32;
        Self { seed, timeout, made: 0, waiting: BTreeMap::new(), answered: VecDeque::new() }
    }

    /// Registers a request, and returns the command to send. The nonce is replaced by a unique one.
    ///
    /// If the command cannot be sent, [`cancel`](Self::cancel) the request.
    pub fn request(&mut self, mut request: RequestGuildMembers, now: Instant) -> (MemberRequestId, Command) {
        let id = MemberRequestId(self.made);
        self.made += 1;
        request.nonce = Some(self.nonce(id));
        let waiting = Waiting {
            guild: request.guild_id,
            everyone: request.members == MemberSelection::Everyone,
            deadline: now + self.timeout,
            expected: None,
            chunks: BTreeMap::new(),
        };
        self.waiting.insert(id, waiting);
        (id, Command::RequestGuildMembers(request))
    }

    /// Cancels a request. Later chunks for it are ignored.
    pub fn cancel(&mut self, id: MemberRequestId) {
        self.waiting.remove(&id);
    }

    /// Takes a dispatch. One that belongs to no request changes nothing.
    pub fn handle_dispatch(&mut self, dispatch: &Dispatch, now: Instant) {
        match dispatch.name() {
            "GUILD_MEMBERS_CHUNK" => self.chunk(dispatch, now),
            "RATE_LIMITED" => self.rate_limited(dispatch),
            _ => {}
        }
    }

    /// The next answer.
    pub fn poll(&mut self, now: Instant) -> Option<MemberAnswer> {
        if self.answered.is_empty()
            && let Some((id, _)) = self.waiting.iter().find(|(_, waiting)| waiting.deadline <= now)
        {
            let id = *id;
            let waiting = self.waiting.remove(&id)?;
            let received = waiting.chunks.len() as u64;
            self.answer(id, Err(MemberRequestError::TimedOut { received, expected: waiting.expected }));
        }
        self.answered.pop_front()
    }

    /// When [`poll`](Self::poll) should be called again, if no dispatch comes before. None: no request waits.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.deadline).min()
    }

    fn chunk(&mut self, dispatch: &Dispatch, now: Instant) {
        let Ok(Chunk { chunk_index, chunk_count, nonce: Some(nonce) }) = dispatch.decode() else { return };
        let Some(id) = self.find(&nonce) else { return };
        let Some(waiting) = self.waiting.get_mut(&id) else { return };
        if chunk_index >= chunk_count || waiting.expected.is_some_and(|expected| expected != chunk_count) {
            return;
        }
        waiting.expected = Some(chunk_count);
        waiting.deadline = now + self.timeout;
        waiting.chunks.insert(chunk_index, dispatch.clone());
        if waiting.chunks.len() as u64 == chunk_count
            && let Some(waiting) = self.waiting.remove(&id)
        {
            self.answer(id, Ok(waiting.chunks.into_values().collect()));
        }
    }

    fn rate_limited(&mut self, dispatch: &Dispatch) {
        let Some(limited) = RateLimited::of_member_request(dispatch) else { return };
        let id = match &limited.nonce {
            Some(nonce) => self.find(nonce),
            // Without a nonce it can only belong to the oldest request for the guild without a chunk.
            None => self.waiting.iter().find_map(|(id, waiting)| {
                let hit = waiting.everyone && waiting.guild == limited.guild && waiting.expected.is_none();
                hit.then_some(*id)
            }),
        };
        if let Some(id) = id.filter(|id| self.waiting.remove(id).is_some()) {
            self.answer(id, Err(MemberRequestError::RateLimited { retry_after: limited.retry_after }));
        }
    }

    fn answer(&mut self, id: MemberRequestId, result: Result<Vec<Dispatch>, MemberRequestError>) {
        self.answered.push_back(MemberAnswer { id, result });
    }

    fn nonce(&self, id: MemberRequestId) -> String {
        format!("{:08x}-{:x}", self.seed, id.0)
    }

    fn find(&self, nonce: &str) -> Option<MemberRequestId> {
        let (seed, number) = nonce.split_once('-')?;
        let id = MemberRequestId(u64::from_str_radix(number, 16).ok()?);
        (u32::from_str_radix(seed, 16) == Ok(self.seed)).then_some(id)
    }
}

/// `RATE_LIMITED` for opcode 8 (Discord Docs, Gateway Events > Rate Limited).
pub(crate) struct RateLimited {
    pub(crate) guild: Snowflake,
    pub(crate) retry_after: Duration,
    nonce: Option<String>,
}

impl RateLimited {
    /// `None` if it concerns another opcode, or is malformed.
    pub(crate) fn of_member_request(dispatch: &Dispatch) -> Option<Self> {
        #[derive(Deserialize)]
        struct Data {
            opcode: Number,
            retry_after: f64,
            meta: Meta,
        }
        #[derive(Deserialize)]
        struct Meta {
            guild_id: Snowflake,
            nonce: Option<String>,
        }
        let data = dispatch.decode::<Data>().ok().filter(|data| data.opcode == Number(8))?;
        let retry_after = Duration::try_from_secs_f64(data.retry_after).ok()?;
        Some(Self { guild: data.meta.guild_id, retry_after, nonce: data.meta.nonce })
    }
}

impl fmt::Display for MemberRequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RateLimited { retry_after } => {
                write!(f, "the gateway accepts no such request for another {} s", retry_after.as_secs_f64())
            }
            Self::TimedOut { expected: None, .. } => {
                f.write_str("no members were received in time: does the bot use the intent GUILD_MEMBERS?")
            }
            Self::TimedOut { received, expected: Some(expected) } => {
                write!(f, "only {received} of {expected} chunks of members were received in time")
            }
        }
    }
}

impl std::error::Error for MemberRequestError {}
