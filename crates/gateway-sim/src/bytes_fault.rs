//! Faults in the bytes of a connection, below WebSocket. Sans-I/O: a plan says what to write and what to do next.

use std::time::Duration;

/// A fault in the bytes that the gateway sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub struct ByteFault {
    /// The number of bytes before the fault, counted from when it was set.
    pub at: u64,
    /// The effect of the fault.
    pub effect: ByteEffect,
}

/// The effect of a [`ByteFault`] at its byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ByteEffect {
    /// The bytes after it are written in pieces of this many bytes.
    Split(usize),
    /// The bytes after it are delayed by this time.
    Delay(Duration),
    /// So many bytes are dropped.
    Truncate(u64),
    /// All bits of the next byte are inverted.
    Corrupt,
    /// Nothing more is written; the connection stays open.
    Stall,
    /// The sending half ends; the receiving half stays open.
    HalfClose,
    /// TCP reset.
    Reset,
}

/// One step to perform on the socket of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ByteStep {
    /// Write these bytes.
    Write(Vec<u8>),
    /// Wait for this time.
    Wait(Duration),
    /// End the sending half.
    HalfClose,
    /// Reset the connection.
    Reset,
}

/// The byte faults of one connection, for a caller that connects a [`Gateway`](crate::Gateway) to its own byte stream.
#[derive(Debug, Default)]
pub struct BytePlan {
    pending: Vec<(u64, ByteEffect)>,
    written: u64,
    split: Option<usize>,
    omit: u64,
    corrupt: bool,
    ended: bool,
}

impl BytePlan {
    /// Adds a fault, counted from the current position.
    pub fn add(&mut self, fault: ByteFault) {
        self.pending.push((self.written.saturating_add(fault.at), fault.effect));
        self.pending.sort_by_key(|(at, _)| *at);
    }

    /// The steps to perform in place of writing `bytes`.
    pub fn write(&mut self, mut bytes: &[u8]) -> Vec<ByteStep> {
        let mut steps = Vec::new();
        while !self.ended {
            match self.pending.first().copied() {
                Some((at, effect)) if at <= self.written => {
                    self.pending.remove(0);
                    self.apply(effect, &mut steps);
                }
                next if !bytes.is_empty() => {
                    let distance = next.map_or(u64::MAX, |(at, _)| at - self.written);
                    let length = usize::try_from(distance).unwrap_or(usize::MAX).min(bytes.len());
                    let (part, rest) = bytes.split_at(length);
                    self.written += part.len() as u64;
                    self.pass(part, &mut steps);
                    bytes = rest;
                }
                _ => break,
            }
        }
        steps
    }

    fn apply(&mut self, effect: ByteEffect, steps: &mut Vec<ByteStep>) {
        match effect {
            ByteEffect::Split(size) => self.split = Some(size.max(1)),
            ByteEffect::Delay(time) => steps.push(ByteStep::Wait(time)),
            ByteEffect::Truncate(count) => self.omit = self.omit.saturating_add(count),
            ByteEffect::Corrupt => self.corrupt = true,
            ByteEffect::Stall => self.ended = true,
            ByteEffect::HalfClose => {
                steps.push(ByteStep::HalfClose);
                self.ended = true;
            }
            ByteEffect::Reset => {
                steps.push(ByteStep::Reset);
                self.ended = true;
            }
        }
    }

    fn pass(&mut self, bytes: &[u8], steps: &mut Vec<ByteStep>) {
        let omitted = usize::try_from(self.omit).unwrap_or(usize::MAX).min(bytes.len());
        self.omit -= omitted as u64;
        let mut bytes = bytes[omitted..].to_vec();
        if self.corrupt
            && let Some(first) = bytes.first_mut()
        {
            *first = !*first;
            self.corrupt = false;
        }
        match self.split {
            Some(size) => steps.extend(bytes.chunks(size).map(|part| ByteStep::Write(part.to_vec()))),
            None if bytes.is_empty() => {}
            None => steps.push(ByteStep::Write(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(at: u64, effect: ByteEffect) -> BytePlan {
        let mut plan = BytePlan::default();
        plan.add(ByteFault { at, effect });
        plan
    }

    fn write(bytes: &[u8]) -> ByteStep {
        ByteStep::Write(bytes.to_vec())
    }

    #[test]
    fn without_a_fault_bytes_pass() {
        assert_eq!(BytePlan::default().write(b"abc"), [write(b"abc")]);
        assert_eq!(BytePlan::default().write(b""), []);
    }

    #[test]
    fn each_effect_happens_at_its_byte() {
        let second = Duration::from_secs(1);
        let effects: [(ByteEffect, &[ByteStep]); 7] = [
            (ByteEffect::Split(1), &[write(b"ab"), write(b"c"), write(b"d")]),
            (ByteEffect::Delay(second), &[write(b"ab"), ByteStep::Wait(second), write(b"cd")]),
            (ByteEffect::Truncate(1), &[write(b"ab"), write(b"d")]),
            (ByteEffect::Corrupt, &[write(b"ab"), write(b"\x9cd")]),
            (ByteEffect::Stall, &[write(b"ab")]),
            (ByteEffect::HalfClose, &[write(b"ab"), ByteStep::HalfClose]),
            (ByteEffect::Reset, &[write(b"ab"), ByteStep::Reset]),
        ];
        for (effect, steps) in effects {
            assert_eq!(plan(2, effect).write(b"abcd"), steps, "{effect:?}");
        }
    }

    #[test]
    fn faults_count_over_writes_and_one_byte_at_a_time_agrees() {
        let effects = [ByteEffect::Truncate(2), ByteEffect::Corrupt, ByteEffect::Stall];
        for effect in effects {
            for at in 0..8 {
                let bytes = |steps: Vec<ByteStep>| -> Vec<u8> {
                    steps
                        .into_iter()
                        .flat_map(|step| match step {
                            ByteStep::Write(bytes) => bytes,
                            _ => Vec::new(),
                        })
                        .collect()
                };
                let whole = bytes(plan(at, effect).write(b"abcdefg"));
                let mut single = plan(at, effect);
                let pieces: Vec<u8> =
                    b"abcdefg".chunks(1).flat_map(|byte| bytes(single.write(byte))).collect();
                assert_eq!(whole, pieces, "{effect:?} at {at}");
            }
        }
    }
}
