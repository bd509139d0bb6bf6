//! An open WebSocket in the client's role: messages out, messages in, pings answered, and the close handshake.

use fastrand::Rng;

use super::failure::Failure;
use super::frames::{Frames, PONG, Part};
use super::outgoing::{write_close, write_frame, write_message};
use super::transmit::Transmit;
use crate::config::ShardLimits;
use crate::{CloseFrame, Closed, Message};

/// The unsent bytes at which another message ends the connection: the server does not read.
const ROOM: usize = 1 << 20;
/// The unsent bytes at which an answer to a ping waits, so that pings alone never fill the buffer.
const PONG_ROOM: usize = 16 << 10;

/// The framing of one connection. Reads from a slice and writes to a [`Transmit`], both of the caller.
pub(crate) struct Framing {
    frames: Frames,
    /// For the masks. The server cannot guess them if the seed is random.
    rng: Rng,
    /// The payload of a pong for which there was no room. "If an endpoint receives a Ping frame and has not yet sent Pong
    /// frame(s) in response to previous Ping frame(s), the endpoint MAY elect to send a Pong frame for only the most recently
    /// processed Ping frame" (RFC 6455, section 5.5.3).
    pong: Option<Vec<u8>>,
    /// Whether a close frame was sent.
    closing: bool,
    /// Whether a message did not fit into the buffer.
    overfull: bool,
}

/// The result of received bytes.
pub(crate) enum Incoming {
    Message(Message),
    /// A ping or a pong. A ping has been answered.
    Control,
    /// The end of the connection. A close frame has been sent.
    Closed(Closed),
}

impl Framing {
    pub(crate) fn new(limits: &ShardLimits, rng: Rng) -> Self {
        let frames = Frames::new(limits.message_bytes);
        Self { frames, rng, pong: None, closing: false, overfull: false }
    }

    /// Removes bytes from the front of `incoming` until they complete a result. `None` if all are taken and complete none.
    #[inline]
    pub(crate) fn receive(&mut self, incoming: &mut &[u8], transmit: &mut Transmit) -> Option<Incoming> {
        Some(match self.frames.take(incoming)? {
            Part::Message(message) => Incoming::Message(message),
            Part::Ping(payload) => {
                self.pong = Some(payload);
                self.flush(transmit);
                Incoming::Control
            }
            Part::Pong => Incoming::Control,
            Part::Close { answer, closed } => {
                self.close(answer.as_ref(), transmit);
                Incoming::Closed(closed)
            }
            Part::Failed(Failure { close, closed }) => {
                self.close(Some(&close), transmit);
                Incoming::Closed(closed)
            }
        })
    }

    /// Writes a message, unless a close frame has been written: "The application MUST NOT send any more data frames after
    /// sending a Close frame" (section 5.5.1).
    pub(crate) fn send(&mut self, message: &Message, transmit: &mut Transmit) {
        if self.closing {
            return;
        }
        if transmit.unsent().len() >= ROOM {
            self.overfull = true;
            return;
        }
        write_message(message, mask(&mut self.rng), transmit.buffer());
    }

    /// Writes a close frame, unless one has been written. Reading continues. There is always room for it: each connection has one.
    pub(crate) fn close(&mut self, frame: Option<&CloseFrame>, transmit: &mut Transmit) {
        if !std::mem::replace(&mut self.closing, true) {
            write_close(frame, mask(&mut self.rng), transmit.buffer());
        }
    }

    /// Writes the pong that waits, if there is room now. After a close frame none is sent.
    pub(crate) fn flush(&mut self, transmit: &mut Transmit) {
        if transmit.unsent().len() < PONG_ROOM
            && let Some(payload) = self.pong.take()
            && !self.closing
        {
            write_frame(PONG, &payload, mask(&mut self.rng), transmit.buffer());
        }
    }

    /// Whether the beginning of a message was received, and its end was not.
    pub(crate) fn is_message_under_way(&self) -> bool {
        self.frames.is_message_under_way()
    }

    /// Whether the server has read so little that a message did not fit into the buffer.
    pub(crate) fn is_overfull(&self) -> bool {
        self.overfull
    }
}

fn mask(rng: &mut Rng) -> [u8; 4] {
    let mut mask = [0; 4];
    rng.fill(&mut mask);
    mask
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};

    use fastrand::Rng;
    use proptest::prelude::*;
    use tungstenite::protocol::{Role, WebSocketConfig};
    use tungstenite::{Message as WireMessage, WebSocket};

    use super::*;

    const MESSAGE_BYTES: usize = 300;

    fn framing() -> (Framing, Transmit) {
        let limits = ShardLimits { message_bytes: MESSAGE_BYTES, ..ShardLimits::default() };
        (Framing::new(&limits, Rng::with_seed(7)), Transmit::default())
    }

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = match payload.len() {
            length @ 0..126 => vec![length as u8],
            length => [&[126][..], &(length as u16).to_be_bytes()].concat(),
        };
        [&[first][..], &length, payload].concat()
    }

    /// Control frames of the client: first byte and payload, unmasked.
    fn sent(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        while let [first, length, a, b, c, d, rest @ ..] = bytes {
            let (payload, rest) = rest.split_at(usize::from(length & 0x7f));
            let mask = [a, b, c, d].into_iter().cycle();
            frames.push((*first, payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()));
            bytes = rest;
        }
        frames
    }

    #[test]
    fn pings_that_are_not_read_fill_no_buffer_and_the_newest_is_answered() {
        let (mut framing, mut transmit) = framing();
        for number in 0..100_000_u32 {
            framing.receive(&mut &frame(0x89, &number.to_be_bytes())[..], &mut transmit);
        }
        assert!(transmit.unsent().len() < PONG_ROOM + 32, "{}", transmit.unsent().len());
        framing.send(&Message::Text("a heartbeat has its slot".into()), &mut transmit);
        assert!(!framing.is_overfull());
        transmit.consume(usize::MAX);
        framing.flush(&mut transmit);
        assert_eq!(sent(transmit.unsent()), [(0x8a, 99_999_u32.to_be_bytes().to_vec())]);
    }

    #[test]
    fn a_server_that_reads_nothing_is_given_up_and_closed_in_order() {
        let (mut framing, mut transmit) = framing();
        let message = Message::Text("x".repeat(4096).into());
        let fits = (0..1000).find(|_| {
            framing.send(&message, &mut transmit);
            framing.is_overfull()
        });
        assert_eq!(fits, Some(256));
        let unsent = transmit.unsent().len();
        assert!((ROOM..ROOM + 4200).contains(&unsent), "{unsent}");
        framing.close(Some(&CloseFrame::resumable("slow")), &mut transmit);
        framing.close(Some(&CloseFrame::LOG_OFF), &mut transmit);
        assert_eq!(sent(&transmit.unsent()[unsent..]), [(0x88, b"\x0f\xa0slow".to_vec())]);
    }

    #[test]
    fn nothing_is_sent_after_a_close_frame() {
        let (mut framing, mut transmit) = framing();
        framing.close(Some(&CloseFrame::LOG_OFF), &mut transmit);
        let closed = transmit.unsent().len();
        framing.send(&Message::Text("late".into()), &mut transmit);
        framing.receive(&mut &frame(0x89, b"late")[..], &mut transmit);
        let end = framing.receive(&mut &frame(0x88, &1000_u16.to_be_bytes())[..], &mut transmit);
        assert!(matches!(end, Some(Incoming::Closed(Closed::Frame { code: Some(1000), .. }))));
        assert_eq!(transmit.unsent().len(), closed);
    }

    /// A socket for tungstenite, which reads these bytes and then nothing.
    struct Pipe<'a> {
        incoming: &'a [u8],
        written: Vec<u8>,
    }

    impl Read for Pipe<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.incoming.read(buffer) {
                Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
                read => read,
            }
        }
    }

    impl Write for Pipe<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.written.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a client makes of a stream: messages, pongs and the code of its close frame, and how it has ended.
    #[derive(Debug, PartialEq)]
    struct Outcome {
        messages: Vec<(bool, Vec<u8>)>,
        pongs: Vec<Vec<u8>>,
        /// Of the answer to a close frame. Some(None): it has no code.
        answer: Option<Option<u16>>,
        failed: bool,
    }

    fn outcome(messages: Vec<(bool, Vec<u8>)>, written: &[u8], failed: bool) -> Outcome {
        let frames = sent(written);
        let of = |opcode: u8| frames.iter().filter(move |(first, _)| *first == 0x80 | opcode);
        let answer = of(8).next().map(|(_, payload)| payload.first_chunk().copied().map(u16::from_be_bytes));
        // tungstenite reports a close frame with a code that may not be sent, and answers it with 1002.
        let failed = failed || answer == Some(Some(1002));
        Outcome {
            messages,
            pongs: of(10).map(|(_, payload)| payload.clone()).collect(),
            answer: if failed { None } else { answer },
            failed,
        }
    }

    fn ours(bytes: &[u8], piece: usize) -> Outcome {
        let (mut framing, mut transmit) = framing();
        let (mut messages, mut failed) = (Vec::new(), false);
        for mut piece in bytes.chunks(piece) {
            while let Some(incoming) = framing.receive(&mut piece, &mut transmit) {
                match incoming {
                    Incoming::Message(Message::Text(text)) => messages.push((true, text.to_vec())),
                    Incoming::Message(Message::Binary(bytes)) => messages.push((false, bytes.to_vec())),
                    Incoming::Control => {}
                    Incoming::Closed(closed) => {
                        // Of a reason that is not UTF-8 the code is reported all the same.
                        failed = match closed {
                            Closed::Frame { reason, .. } => reason.contains('\u{fffd}'),
                            _ => true,
                        };
                    }
                }
            }
        }
        outcome(messages, transmit.unsent(), failed)
    }

    fn tungstenites(bytes: &[u8]) -> Outcome {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let pipe = Pipe { incoming: bytes, written: Vec::new() };
        let mut socket = WebSocket::from_raw_socket(pipe, Role::Client, Some(config));
        let (mut messages, mut failed) = (Vec::new(), false);
        loop {
            match socket.read() {
                Ok(WireMessage::Text(text)) => messages.push((true, text.as_bytes().to_vec())),
                Ok(WireMessage::Binary(bytes)) => messages.push((false, bytes.to_vec())),
                // What comes after it does not count for us, and is an error for tungstenite.
                Ok(WireMessage::Close(_)) => break,
                Ok(_) => {}
                Err(tungstenite::Error::Io(_) | tungstenite::Error::ConnectionClosed) => break,
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
        let _ = socket.flush();
        outcome(messages, &socket.get_ref().written, failed)
    }

    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let first = prop_oneof![
            20 => prop::sample::select(vec![0x81_u8, 0x82, 0x89, 0x8a]),
            6 => prop::sample::select(vec![0x01_u8, 0x02, 0x00, 0x80]),
            2 => Just(0x88_u8),
            1 => prop::sample::select(vec![0x08_u8, 0x09, 0x83, 0x8b, 0xc1, 0xa2]),
        ];
        let code = prop_oneof![
            4 => prop::sample::select(vec![1000_u16, 1001, 4000, 4004, 3000]),
            1 => prop::sample::select(vec![0_u16, 999, 1005, 1006, 1015, 2999, 5000]),
        ];
        let payload = prop_oneof![
            4 => "[a-z\u{e9}\u{1f600}]{0,40}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..20),
            1 => (0..400_usize).prop_map(|length| vec![b'x'; length]),
            2 => (code, "[a-z\u{e9}]{0,8}").prop_map(|(code, reason)| {
                [&code.to_be_bytes()[..], reason.as_bytes()].concat()
            }),
        ];
        (first, payload).prop_map(|(first, mut payload)| {
            // tungstenite refuses a bad text at the fragment, we at the end of the message.
            if matches!(first, 0x00 | 0x01 | 0x80) {
                payload.iter_mut().for_each(|byte| *byte &= 0x7f);
            }
            frame(first, &payload)
        })
    }

    proptest! {
        /// Another implementation of RFC 6455 reads the same from the same bytes, for any cut.
        #[test]
        fn tungstenite_agrees(frames in prop::collection::vec(frames(), 0..8), piece in 1..64_usize) {
            let bytes = frames.concat();
            // A code that was registered after tungstenite's list was made.
            let bad_gateway = [&[0x88][..], &1014_u16.to_be_bytes()].concat();
            prop_assume!(!frames.iter().any(|frame| frame.len() > 3 && [&frame[..1], &frame[2..4]].concat() == bad_gateway));
            prop_assert_eq!(ours(&bytes, piece), tungstenites(&bytes));
            prop_assert_eq!(ours(&bytes, piece), ours(&bytes, usize::MAX));
        }
    }
}
