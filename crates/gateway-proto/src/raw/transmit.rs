//! The buffer of bytes to send, in order. The framing bounds its size.

/// The capacity in bytes above which an empty buffer is freed.
const KEPT: usize = 4 << 10;

/// A buffer that is filled at one end and emptied at the other.
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

    /// The buffer to append to. What has been sent is removed first once it is the larger part, so that each byte is moved
    /// once at most.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        &mut self.bytes
    }

    /// Removes sent bytes. A larger number removes all.
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
            transmit.buffer().extend_from_slice(&round.to_be_bytes());
            assert!(transmit.bytes.len() <= 2 * transmit.unsent().len(), "what was sent does not pile up");
            let count = usize::from(round % 4).min(transmit.unsent().len());
            out.extend_from_slice(&transmit.unsent()[..count]);
            transmit.consume(count);
        }
        out.extend_from_slice(transmit.unsent());
        let expected: Vec<u8> = (0..1000_u16).flat_map(u16::to_be_bytes).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn it_gives_back_what_it_has_grown_to() {
        let mut transmit = Transmit::default();
        transmit.buffer().extend_from_slice(&vec![1; 1 << 20]);
        transmit.consume(10);
        assert_eq!(transmit.unsent().len(), (1 << 20) - 10);
        transmit.consume(usize::MAX);
        assert_eq!(transmit.unsent(), b"");
        assert!(transmit.bytes.capacity() <= KEPT);
    }
}
