//! A key of a dispatch that is unique across shards and processes.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

/// The prefix of the hashed text, so that the hash differs from any other hash of the same id.
const DOMAIN: &[u8] = b"gateway-proto session key 1\0";

/// Identifies a session where its id must not appear: the first 64 bits of a SHA-1 hash of it.
///
/// Session ids have 128 random bits, so an id cannot be guessed from its hash. Two ids with the same hash do not help an
/// attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionKey(NonZeroU64);

impl SessionKey {
    pub(crate) fn of(session_id: &str) -> Self {
        let hash = Sha1::new().chain_update(DOMAIN).chain_update(session_id).finalize();
        let bits = hash.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }

    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        NonZeroU64::new(bits).map(Self)
    }

    pub(crate) fn bits(self) -> u64 {
        self.0.get()
    }
}

/// Identifies a [`Dispatch`](crate::Dispatch), to remove duplicates and to name messages of a queue.
///
/// It is the same for the same dispatch on each connection of a session, after a Resume, and in a process that has resumed a
/// stored session. Dispatches of different sessions have different keys. It contains no secret: only 64 bits of a hash of the
/// session id.
///
/// Keys of one session are ordered as their dispatches are. As text, in JSON too, a key is 16 hexadecimal digits for the session,
/// a hyphen, and the sequence number: `91ab3c5f00d1e2a4-17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DispatchKey {
    session: SessionKey,
    sequence: u64,
}

impl DispatchKey {
    pub(crate) fn new(session: SessionKey, sequence: u64) -> Self {
        Self { session, sequence }
    }

    pub(crate) fn session(self) -> SessionKey {
        self.session
    }

    /// The sequence number within the session.
    pub fn sequence(self) -> u64 {
        self.sequence
    }

    /// Whether another dispatch is of the same session, so that their sequence numbers can be compared.
    pub fn is_same_session(self, other: Self) -> bool {
        self.session == other.session
    }
}

impl fmt::Display for DispatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.session.bits(), self.sequence)
    }
}

impl FromStr for DispatchKey {
    type Err = DispatchKeyError;

    /// Reads the text of `Display`, in that form only.
    fn from_str(text: &str) -> Result<Self, DispatchKeyError> {
        let (session, sequence) = text.split_once('-').ok_or(DispatchKeyError)?;
        let session = u64::from_str_radix(session, 16).ok().and_then(SessionKey::from_bits);
        let sequence = sequence.parse().map_err(|_| DispatchKeyError)?;
        let key = Self::new(session.ok_or(DispatchKeyError)?, sequence);
        // Keys are also compared as text, so each has one form.
        if key.to_string() == text { Ok(key) } else { Err(DispatchKeyError) }
    }
}

impl TryFrom<String> for DispatchKey {
    type Error = DispatchKeyError;

    fn try_from(text: String) -> Result<Self, DispatchKeyError> {
        text.parse()
    }
}

impl From<DispatchKey> for String {
    fn from(key: DispatchKey) -> Self {
        key.to_string()
    }
}

/// A text that is not a [`DispatchKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DispatchKeyError;

impl fmt::Display for DispatchKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dispatch key is 16 hexadecimal digits, a hyphen and a sequence number")
    }
}

impl std::error::Error for DispatchKeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys are compared across versions of this crate: the hash must never change. The value is
    /// `printf 'gateway-proto session key 1\0abc' | sha1sum`, its first 16 digits.
    #[test]
    fn the_hash_is_what_it_was() {
        assert_eq!(DispatchKey::new(SessionKey::of("abc"), 17).to_string(), "629edbd31f95e5f8-17");
    }

    #[test]
    fn keys_have_one_form_as_text() {
        let key = DispatchKey::new(SessionKey::of("abc"), u64::MAX);
        assert_eq!(key.to_string().parse(), Ok(key));
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<DispatchKey>(&json).unwrap(), key);
        for odd in [
            "",
            "-",
            "91ab3c5f00d1e2a4",
            "91ab3c5f00d1e2a4-",
            "91ab3c5f00d1e2a4-+1",
            "91ab3c5f00d1e2a4-01",
            "91AB3c5f00d1e2a4-1",
            "1ab3c5f00d1e2a4-1",
            "+1ab3c5f00d1e2a4-1",
            "0000000000000000-1",
            "91ab3c5f00d1e2a4-1-1",
        ] {
            assert_eq!(odd.parse::<DispatchKey>(), Err(DispatchKeyError), "{odd}");
        }
    }
}
