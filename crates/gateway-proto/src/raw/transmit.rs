//! Bytes on their way to the socket, in order, with room for a peer that reads slowly and an end to its patience.

/// How many bytes may wait. More stay within the framing, which has a bound of its own.
const ROOM: usize = 64 << 10;

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

    /// Takes as many bytes as there is room for, and says how many.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> usize {
        if self.sent > 0 && self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        let count = bytes.len().min(ROOM.saturating_sub(self.unsent().len()));
        self.bytes.extend_from_slice(&bytes[..count]);
        count
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
            assert_eq!(transmit.push(&round.to_be_bytes()), 2);
            let count = usize::from(round % 4).min(transmit.unsent().len());
            out.extend_from_slice(&transmit.unsent()[..count]);
            transmit.consume(count);
        }
        out.extend_from_slice(transmit.unsent());
        let expected: Vec<u8> = (0..1000_u16).flat_map(u16::to_be_bytes).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn it_never_holds_more_than_there_is_room_for() {
        let mut transmit = Transmit::default();
        assert_eq!(transmit.push(&vec![1; 2 * ROOM]), ROOM);
        assert_eq!(transmit.push(b"x"), 0);
        transmit.consume(10);
        assert_eq!(transmit.push(b"x"), 1);
        assert_eq!(transmit.unsent().len(), ROOM - 9);
        transmit.consume(usize::MAX);
        assert_eq!(transmit.unsent(), b"");
    }
}
