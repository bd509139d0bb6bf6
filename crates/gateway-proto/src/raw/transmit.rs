//! Bytes on their way to the socket, in order, with room for a peer that reads slowly and an end to its patience.

/// With so many bytes waiting no more are taken: the server has not read for long.
const ROOM: usize = 1 << 20;
/// More than this is given back once it is empty.
const KEPT: usize = 4 << 10;

/// A bounded buffer that is filled at one end and emptied at the other.
#[derive(Default)]
pub(crate) struct Transmit {
    bytes: Vec<u8>,
    /// How many of them have been sent.
    sent: usize,
}

impl Transmit {
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Takes all of these bytes, or none. False: there is no room for them.
    #[must_use]
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        if self.unsent().len() >= ROOM {
            return false;
        }
        if self.sent > 0 && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
        true
    }

    /// Forgets bytes that have been sent. More than there are means all.
    pub(crate) fn consume(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.sent = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_however_they_are_taken() {
        let mut transmit = Transmit::default();
        let mut out = Vec::new();
        for round in 0..1000_u16 {
            assert!(transmit.push(&round.to_be_bytes()));
            let count = usize::from(round % 4).min(transmit.unsent().len());
            out.extend_from_slice(&transmit.unsent()[..count]);
            transmit.consume(count);
        }
        out.extend_from_slice(transmit.unsent());
        let expected: Vec<u8> = (0..1000_u16).flat_map(u16::to_be_bytes).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn it_takes_no_more_once_it_is_full() {
        let mut transmit = Transmit::default();
        assert!(transmit.push(&vec![1; ROOM - 1]));
        assert!(transmit.push(b"xy"), "all or nothing");
        assert!(!transmit.push(b"z"));
        assert_eq!(transmit.unsent().len(), ROOM + 1);
        transmit.consume(10);
        assert!(transmit.push(b"z"));
        assert_eq!(transmit.unsent().len(), ROOM - 8);
        transmit.consume(usize::MAX);
        assert_eq!(transmit.unsent(), b"");
        assert!(transmit.bytes.capacity() <= KEPT, "it gives back what it has grown to");
    }
}
