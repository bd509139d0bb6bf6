//! Counters of a shard's life.

use std::collections::BTreeMap;

use crate::disconnect::{DisconnectKind, DisconnectReason};

/// What a shard has done so far. All numbers only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections asked for.
    pub connect_attempts: u64,
    /// WebSockets that opened.
    pub connects: u64,
    /// Connections and attempts that ended.
    pub disconnects: u64,
    /// The same, by kind. Close codes beyond the first 32 are counted as [`DisconnectKind::CloseFrame`] without a code.
    pub disconnect_kinds: BTreeMap<DisconnectKind, u64>,
    /// Identifies sent.
    pub identifies: u64,
    /// Resumes sent.
    pub resumes: u64,
    /// Resumes answered with RESUMED.
    pub resumed: u64,
    /// Opcode 9 received.
    pub invalid_sessions: u64,
    /// Connections given up because heartbeats went unanswered.
    pub zombies: u64,
    /// Heartbeats sent.
    pub heartbeats: u64,
    /// Heartbeats acknowledged.
    pub acknowledgements: u64,
    /// Commands of the application sent.
    pub commands: u64,
    /// WebSocket messages received.
    pub messages: u64,
    /// Their bytes, as they came over the wire.
    pub message_bytes: u64,
    /// Gateway payloads received.
    pub payloads: u64,
    /// Their bytes, inflated.
    pub payload_bytes: u64,
    /// Dispatches delivered.
    pub dispatches: u64,
    /// Dispatches of a replay that were dropped because they had been delivered before.
    pub duplicates: u64,
    /// Messages that could not be decoded.
    pub undecodable: u64,
}

/// How many different close codes are counted. A server could make up 65536 of them.
const CLOSE_CODES: usize = 32;

impl Stats {
    /// A connection, or an attempt at one, has ended.
    pub(crate) fn count_disconnect(&mut self, reason: &DisconnectReason) {
        let mut kind = reason.kind();
        if let DisconnectKind::CloseFrame(Some(_)) = kind
            && !self.disconnect_kinds.contains_key(&kind)
            && self.close_codes() >= CLOSE_CODES
        {
            kind = DisconnectKind::CloseFrame(None);
        }
        self.disconnects += 1;
        *self.disconnect_kinds.entry(kind).or_default() += 1;
    }

    fn close_codes(&self) -> usize {
        self.disconnect_kinds
            .keys()
            .filter(|kind| matches!(kind, DisconnectKind::CloseFrame(Some(_))))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Closed, Shutdown};

    fn frame(code: u16) -> DisconnectReason {
        DisconnectReason::Closed(Closed::Frame { code: Some(code), reason: String::new() })
    }

    #[test]
    fn disconnects_are_counted_by_kind() {
        let mut stats = Stats::default();
        for reason in [frame(4000), DisconnectReason::Zombie, frame(4000), frame(1001)] {
            stats.count_disconnect(&reason);
        }
        stats.count_disconnect(&DisconnectReason::Shutdown(Shutdown::LogOff));
        let counts: Vec<_> = stats.disconnect_kinds.into_iter().collect();
        assert_eq!(
            counts,
            [
                (DisconnectKind::Zombie, 1),
                (DisconnectKind::CloseFrame(Some(1001)), 1),
                (DisconnectKind::CloseFrame(Some(4000)), 2),
                (DisconnectKind::Shutdown, 1),
            ]
        );
    }

    #[test]
    fn a_server_that_makes_up_codes_costs_no_memory() {
        let mut stats = Stats::default();
        (0..=u16::MAX).for_each(|code| stats.count_disconnect(&frame(code)));
        assert_eq!((stats.disconnects, stats.disconnect_kinds.len()), (65_536, CLOSE_CODES + 1));
        assert_eq!(stats.disconnect_kinds.values().sum::<u64>(), 65_536);
    }
}
