//! The clock of the corpus, and ids generated at its time.

use fastrand::Rng;

/// Milliseconds from 1970 to the first second of 2015, Discord's epoch
/// ([Discord Docs, Reference > Snowflakes](https://discord.com/developers/docs/reference#snowflakes)).
const DISCORD_EPOCH_MS: u64 = 1_420_070_400_000;
/// 2026-03-01T12:00:00Z, in milliseconds since 1970.
const START_MS: u64 = 1_772_366_400_000;

/// A clock that advances with every event.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) now_ms: u64,
    made: u64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { now_ms: START_MS, made: 0 }
    }

    /// Advances by up to a tenth of a second.
    pub(super) fn advance(&mut self, random: &mut Rng) {
        self.now_ms += random.u64(0..100);
    }

    /// A new id for the current time. The ten bits after the time identify the machine.
    pub(super) fn snowflake(&mut self, random: &mut Rng) -> u64 {
        self.made += 1;
        (self.now_ms - DISCORD_EPOCH_MS) << 22 | random.u64(0..1024) << 12 | self.made & 0xfff
    }
}

/// The id of an object that is minutes to years old.
pub(super) fn old_snowflake(random: &mut Rng, now_ms: u64) -> u64 {
    let age = now_ms - DISCORD_EPOCH_MS;
    random.u64(age / 16..age - 600_000) << 22 | random.u64(0..1 << 17)
}
