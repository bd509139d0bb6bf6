//! Checksums of the received events, to compare contenders.

/// Sums over small events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Names and sequence numbers, in their order.
    pub(super) order: u64,
    /// Names, in any order.
    pub(super) names: u64,
    /// The fields that the small bot reads, in any order.
    pub(super) fields: u64,
    /// Whether to read everything that can be compared.
    check: bool,
}

impl Sums {
    pub(super) fn new(check: bool) -> Self {
        Self { check, ..Self::default() }
    }

    /// Whether names and sequence numbers are added.
    pub(super) fn checks(&self) -> bool {
        self.check
    }

    /// Adds the name of an event, and its sequence number if the contender provides it.
    pub(super) fn event(&mut self, name: &str, sequence: Option<u64>) {
        let name = fnv(name.as_bytes());
        self.names = self.names.wrapping_add(name);
        self.order = self.order.wrapping_mul(31).wrapping_add(name ^ sequence.unwrap_or(0));
    }

    /// Adds the three fields of a message.
    pub(super) fn message(&mut self, channel: u64, author: u64, content: &str) {
        let content = if self.check { fnv(content.as_bytes()) } else { content.len() as u64 };
        let message = channel.wrapping_mul(31).wrapping_add(author).wrapping_mul(31).wrapping_add(content);
        self.fields = self.fields.wrapping_add(message);
    }

    /// Adds the sums of another shard.
    pub(super) fn add(&mut self, other: &Self) {
        self.order = self.order.wrapping_add(other.order);
        self.names = self.names.wrapping_add(other.names);
        self.fields = self.fields.wrapping_add(other.fields);
    }
}

/// FNV-1a, which takes three lines in any language.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
