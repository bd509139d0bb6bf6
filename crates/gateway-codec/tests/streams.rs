//! The inflaters against streams that are cut, corrupt or too large.
#![cfg(all(feature = "zlib", feature = "zstd"))]

mod support;

use gateway_codec::{
    Compression, Deflater, Encoding, Envelope, InflateError, InflateLimits, Inflater, deflate_zlib,
    inflate_zlib,
};
use proptest::prelude::*;
use support::{hex, noise};

const STREAMS: [Compression; 2] = [Compression::ZlibStream, Compression::ZstdStream];
const A: &[u8] = br#"{"t":null,"s":null,"op":11,"d":null}"#;
const B: &[u8] = br#"{"t":null,"s":null,"op":9,"d":false}"#;

/// Three messages of one zlib stream, A, B and A.
const ZLIB: [&str; 3] = [
    "789caa562a51b2ca2bcdc9d1512a8631f20b94ac0c0d7594522002b500000000ffff",
    "aac6a1c612ac242d31a738b516000000ffff",
    "c2a506d91c00000000ffff",
];

fn inflater(compression: Compression) -> Inflater {
    Inflater::new(compression, InflateLimits::default()).unwrap()
}

fn limited(compression: Compression, change: impl FnOnce(&mut InflateLimits)) -> Inflater {
    let mut limits = InflateLimits::default();
    change(&mut limits);
    Inflater::new(compression, limits).unwrap()
}

fn is_whole(output: &[u8]) -> bool {
    Envelope::parse(output, Encoding::Json).is_ok()
}

#[test]
fn the_vectors_inflate() {
    let mut zlib = inflater(Compression::ZlibStream);
    for (text, expected) in ZLIB.iter().zip([A, B, A]) {
        assert_eq!(zlib.push(&hex(text), is_whole).unwrap().unwrap(), expected);
    }
    let raw_block = |message: &[u8]| [&hex("200100"), message].concat();
    let mut zstd = inflater(Compression::ZstdStream);
    let first = [hex("28b52ffd0040"), raw_block(A)].concat();
    for (frame, expected) in [(first, A), (raw_block(B), B), (raw_block(A), A)] {
        assert_eq!(zstd.push(&frame, is_whole).unwrap().unwrap(), expected);
    }
    let payload = hex("789cab562a51b2ca2bcdc9d1512a8631f20b94ac0c0d7594522002b500ce640b32");
    assert_eq!(inflate_zlib(&payload, A.len()).unwrap(), A);
}

#[test]
fn a_message_of_another_connection_is_refused() {
    let mut zlib = inflater(Compression::ZlibStream);
    assert!(matches!(zlib.push(&hex(ZLIB[2]), is_whole), Err(InflateError::Corrupt { .. })));
    let mut zstd = inflater(Compression::ZstdStream);
    assert!(matches!(zstd.push(&[&hex("200100"), A].concat(), is_whole), Err(InflateError::Corrupt { .. })));
}

#[test]
fn a_message_may_be_split_at_every_byte() {
    for compression in STREAMS {
        let mut deflater = Deflater::new(compression).unwrap();
        let frames: Vec<_> = [A, B, A].map(|message| deflater.push(message)).into();
        for split in 0..=frames[0].len() {
            let mut inflater = inflater(compression);
            let (head, tail) = frames[0].split_at(split);
            let first = inflater.push(head, is_whole).unwrap();
            let message = first.or_else(|| inflater.push(tail, is_whole).unwrap());
            assert_eq!(message.unwrap(), A, "{compression} {split}");
            assert_eq!(inflater.push(&frames[1], is_whole).unwrap().unwrap(), B, "{compression} {split}");
        }
        for split in 0..=frames[1].len() {
            let mut inflater = inflater(compression);
            assert_eq!(inflater.push(&frames[0], is_whole).unwrap().unwrap(), A);
            let (head, tail) = frames[1].split_at(split);
            let first = inflater.push(head, is_whole).unwrap();
            let message = first.or_else(|| inflater.push(tail, is_whole).unwrap());
            assert_eq!(message.unwrap(), B, "{compression} {split}");
            assert_eq!(inflater.push(&frames[2], is_whole).unwrap().unwrap(), A, "{compression} {split}");
        }
    }
}

#[test]
fn bytes_one_by_one_give_the_same_messages() {
    let mut inflater = inflater(Compression::ZlibStream);
    let mut messages = Vec::new();
    for byte in ZLIB.iter().flat_map(|text| hex(text)) {
        messages.extend(inflater.push(&[byte], is_whole).unwrap());
    }
    assert_eq!(messages, [A, B, A]);
}

#[test]
fn a_false_marker_keeps_the_output() {
    // Two flushes, each with its marker, in the middle of one document.
    let mut deflater = Deflater::new(Compression::ZlibStream).unwrap();
    let frames = [&A[..7], &A[7..20], &A[20..]].map(|part| deflater.push(part));
    let mut inflater = inflater(Compression::ZlibStream);
    assert_eq!(inflater.push(&frames[0], is_whole).unwrap(), None);
    assert_eq!(inflater.push(&frames[1], is_whole).unwrap(), None);
    assert_eq!(inflater.push(&frames[2], is_whole).unwrap().unwrap(), A);
    assert_eq!(inflater.push(&deflater.push(B), is_whole).unwrap().unwrap(), B);
}

/// A flush of nothing.
const EMPTY_FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];

#[test]
fn an_output_that_has_not_grown_is_not_checked_again() {
    let mut deflater = Deflater::new(Compression::ZlibStream).unwrap();
    let (head, tail) = A.split_at(20);
    let mut inflater = inflater(Compression::ZlibStream);
    for _ in 0..2 {
        assert_eq!(inflater.push(&deflater.push(head), is_whole).unwrap(), None);
        for _ in 0..10_000 {
            let unasked = |_: &[u8]| -> bool { panic!("it has not grown") };
            assert_eq!(inflater.push(&EMPTY_FLUSH, unasked).unwrap(), None);
        }
        // The next message is checked anew, although its beginning has the same length.
        assert_eq!(inflater.push(&deflater.push(tail), is_whole).unwrap().unwrap(), A);
    }
    // A marker without its last byte follows all of the output.
    let frame = deflater.push(A);
    let (most, last) = frame.split_at(frame.len() - 1);
    assert_eq!(inflater.push(most, is_whole).unwrap(), None);
    assert_eq!(inflater.push(last, is_whole).unwrap().unwrap(), A);
}

/// The search for the end of a message is bounded by its size.
#[test]
fn a_message_that_is_flushed_over_and_over_without_an_end_is_corrupt() {
    const MIB: usize = 1 << 20;
    for size in [1, 1000, MIB] {
        let mut deflater = Deflater::new(Compression::ZlibStream).unwrap();
        let mut inflater = inflater(Compression::ZlibStream);
        let (mut walked, mut longest) = (0, 0);
        let mut frame = deflater.push(&vec![b' '; size]);
        let error = loop {
            let incomplete = |output: &[u8]| {
                walked += output.len();
                longest = output.len();
                false
            };
            match inflater.push(&frame, incomplete) {
                Ok(message) => assert_eq!(message, None),
                Err(error) => break error,
            }
            assert!(walked <= 1024 * longest + 64 * MIB, "{walked} bytes for {longest}");
            frame = deflater.push(b" ");
        };
        assert!(matches!(error, InflateError::Corrupt { .. }), "{error:?}");
        assert!(error.to_string().contains("flushed too often"), "{error}");
        assert!(walked > 64 * MIB, "{walked}");
        let unasked = |_: &[u8]| -> bool { panic!("the context is poisoned") };
        assert_eq!(inflater.push(&frame, unasked), Err(InflateError::Poisoned));
        inflater.reset();
        assert_eq!(inflater.push(&hex(ZLIB[0]), is_whole).unwrap().unwrap(), A);
    }
}

#[test]
fn a_message_that_is_flushed_piece_by_piece_is_whole_with_the_last_of_them() {
    for (size, piece) in [(5_000_000, 16 << 10), (5_000_000, 4 << 10), (10_000, 1)] {
        let mut deflater = Deflater::new(Compression::ZlibStream).unwrap();
        let mut inflater = inflater(Compression::ZlibStream);
        let message = vec![b'x'; size];
        // The cost of one message does not count against the next.
        for _ in 0..3 {
            let messages: Vec<_> = message
                .chunks(piece)
                .map(|piece| inflater.push(&deflater.push(piece), |output| output.len() == size).unwrap())
                .collect();
            let (last, before) = messages.split_last().unwrap();
            assert!(before.iter().all(Option::is_none), "{size} {piece}");
            assert!(last.as_deref() == Some(&message[..]), "{size} {piece}");
        }
    }
}

#[test]
fn a_frame_without_marker_or_bytes_completes_nothing() {
    let mut inflater = inflater(Compression::ZlibStream);
    let first = hex(ZLIB[0]);
    let unasked = |_: &[u8]| -> bool { panic!("there was no marker") };
    assert_eq!(inflater.push(b"", unasked).unwrap(), None);
    assert_eq!(inflater.push(&first[..first.len() - 1], unasked).unwrap(), None);
    assert_eq!(inflater.push(&first[first.len() - 1..], is_whole).unwrap().unwrap(), A);
    assert_eq!(inflater.push(b"", unasked).unwrap(), None);
}

#[test]
fn the_marker_within_a_message_does_not_end_it() {
    // Stored blocks show the plain bytes in the stream, the marker among them.
    let marker = [0, 0, 0xff, 0xff];
    let message = [&b"["[..], &marker, b"]"].concat();
    let length = message.len() as u16;
    let mut frame = hex("7801 00");
    frame.extend(length.to_le_bytes());
    frame.extend((!length).to_le_bytes());
    frame.extend(&message);
    frame.extend(hex("000000ffff"));
    for split in 0..frame.len() {
        let mut inflater = inflater(Compression::ZlibStream);
        let whole = |output: &[u8]| output.ends_with(b"]");
        let first = inflater.push(&frame[..split], whole).unwrap();
        assert_eq!(first, None, "{split}");
        assert_eq!(inflater.push(&frame[split..], whole).unwrap().unwrap(), message, "{split}");
    }
}

#[test]
fn output_of_any_size_is_complete() {
    const KIB: usize = 1024;
    let sizes = [
        1,
        16 * KIB - 1,
        16 * KIB,
        16 * KIB + 1,
        32 * KIB - 1,
        32 * KIB,
        32 * KIB + 1,
        64 * KIB,
        64 * KIB + 1,
        5_000_000,
    ];
    for compression in STREAMS {
        for content in [vec![b'x'; 5_000_000], noise(5_000_000)] {
            let mut deflater = Deflater::new(compression).unwrap();
            let mut inflater = inflater(compression);
            for size in sizes {
                let frame = deflater.push(&content[..size]);
                let message = inflater.push(&frame, |output| output.len() == size).unwrap().unwrap();
                assert!(message == content[..size], "{compression} {size}");
                assert_eq!(
                    inflater.push(&deflater.push(A), is_whole).unwrap().unwrap(),
                    A,
                    "{compression} {size}"
                );
            }
        }
    }
}

#[test]
fn a_message_that_fills_the_limit_passes_and_one_byte_more_does_not() {
    for compression in STREAMS {
        for size in [1, 1000, 40_000, 100_000] {
            let message = noise(size);
            let frame = Deflater::new(compression).unwrap().push(&message);
            let mut exact = limited(compression, |limits| limits.max_output = size);
            assert_eq!(exact.push(&frame, |_| true).unwrap().unwrap(), message, "{compression} {size}");
            let mut short = limited(compression, |limits| limits.max_output = size - 1);
            let error = short.push(&frame, |_| true).unwrap_err();
            assert_eq!(error, InflateError::TooLarge { limit: size - 1 }, "{compression} {size}");
        }
    }
    let payload = deflate_zlib(&noise(1000));
    assert!(inflate_zlib(&payload, 1000).is_ok());
    assert_eq!(inflate_zlib(&payload, 999).unwrap_err(), InflateError::TooLarge { limit: 999 });
}

#[test]
fn endless_input_is_refused() {
    let mut inflater = limited(Compression::ZlibStream, |limits| limits.max_input = 1000);
    let frame = Deflater::new(Compression::ZlibStream).unwrap().push(&noise(2000));
    let result = frame.chunks(100).find_map(|piece| inflater.push(piece, |_| true).err());
    assert_eq!(result, Some(InflateError::TooLarge { limit: 1000 }));
}

#[test]
fn the_limit_applies_to_each_message() {
    for compression in STREAMS {
        let mut deflater = Deflater::new(compression).unwrap();
        let mut inflater = limited(compression, |limits| {
            limits.max_input = 1200;
            limits.max_output = 1000;
        });
        for _ in 0..100 {
            let message = noise(1000);
            assert!(inflater.push(&deflater.push(&message), |_| true).unwrap().is_some());
        }
    }
}

#[test]
fn an_error_poisons_until_reset() {
    for compression in STREAMS {
        let mut inflater = inflater(compression);
        let frames = {
            let mut deflater = Deflater::new(compression).unwrap();
            [A, B].map(|message| deflater.push(message))
        };
        assert_eq!(inflater.push(&frames[0], is_whole).unwrap().unwrap(), A);
        assert!(matches!(inflater.push(&[0xff; 64], is_whole), Err(InflateError::Corrupt { .. })));
        assert_eq!(inflater.push(&frames[1], is_whole), Err(InflateError::Poisoned));
        inflater.reset();
        assert_eq!(inflater.push(&frames[0], is_whole).unwrap().unwrap(), A);
        assert_eq!(inflater.push(&frames[1], is_whole).unwrap().unwrap(), B);
    }
}

#[test]
fn a_reset_within_a_message_drops_it() {
    for compression in STREAMS {
        let mut inflater = inflater(compression);
        let long = Deflater::new(compression).unwrap().push(&noise(50_000));
        assert_eq!(inflater.push(&long[..long.len() / 2], is_whole).unwrap(), None, "{compression}");
        inflater.reset();
        let frame = Deflater::new(compression).unwrap().push(A);
        assert_eq!(inflater.push(&frame, is_whole).unwrap().unwrap(), A, "{compression}");
    }
}

#[test]
fn every_changed_byte_is_an_error_or_a_message() {
    for compression in STREAMS {
        let frame = Deflater::new(compression).unwrap().push(&[A, &noise(200), A].concat());
        let mut inflater = inflater(compression);
        for index in 0..frame.len() {
            for value in 0..=255 {
                let mut changed = frame.clone();
                changed[index] = value;
                inflater.reset();
                if inflater.push(&changed, |_| true).is_err() {
                    assert_eq!(inflater.push(&frame, |_| true), Err(InflateError::Poisoned));
                }
            }
        }
    }
}

#[test]
fn a_zlib_stream_that_ends_is_corrupt() {
    let mut inflater = inflater(Compression::ZlibStream);
    assert!(matches!(inflater.push(&deflate_zlib(A), is_whole), Err(InflateError::Corrupt { .. })));
}

/// The header of a stream is checked as zlib checks that of a payload.
#[test]
fn every_other_header_is_refused() {
    let mut inflater = inflater(Compression::ZlibStream);
    let (mut stream, mut payload) = (hex(ZLIB[0]), deflate_zlib(A));
    let mut accepted = 0;
    for header in 0..=u16::MAX {
        for bytes in [&mut stream, &mut payload] {
            bytes[..2].copy_from_slice(&header.to_be_bytes());
        }
        inflater.reset();
        let streamed = inflater.push(&stream, is_whole);
        assert_eq!(streamed.is_ok(), inflate_zlib(&payload, 1000).is_ok(), "{header:04x}: {streamed:?}");
        accepted += u32::from(streamed.is_ok());
    }
    assert_eq!(accepted, 32, "eight windows, four levels");
}

#[test]
fn a_zstd_frame_may_end_and_another_begin() {
    let whole = |message: &[u8]| zstd::bulk::compress(message, 3).unwrap();
    let mut inflater = inflater(Compression::ZstdStream);
    for message in [A, B, &noise(100_000), A] {
        assert_eq!(inflater.push(&whole(message), is_whole).unwrap().unwrap(), message);
    }
    // From frames that end to an endless one.
    let mut deflater = Deflater::new(Compression::ZstdStream).unwrap();
    for message in [A, B] {
        assert_eq!(inflater.push(&deflater.push(message), is_whole).unwrap().unwrap(), message);
    }
    // Two frames in one WebSocket message are one message.
    let mut inflater = self::inflater(Compression::ZstdStream);
    let both = [whole(&A[..9]), whole(&A[9..])].concat();
    assert_eq!(inflater.push(&both, is_whole).unwrap().unwrap(), A);
}

#[test]
fn a_zstd_window_beyond_the_limit_is_refused() {
    // A frame header whose window is 2^10 times 2^(descriptor / 8).
    let frame = |log: u8| [&hex("28b52ffd00"), &[(log - 10) << 3][..], &hex("200100"), A].concat();
    for (limit, log, passes) in
        [(23, 23, true), (23, 24, false), (23, 31, false), (18, 18, true), (18, 19, false)]
    {
        let mut inflater = limited(Compression::ZstdStream, |limits| limits.zstd_window_log_max = limit);
        assert_eq!(inflater.push(&frame(log), is_whole).is_ok(), passes, "{limit} {log}");
        // The limit outlives a reset.
        inflater.reset();
        assert_eq!(inflater.push(&frame(log), is_whole).is_ok(), passes, "{limit} {log}");
    }
}

#[test]
fn payloads_must_be_whole_streams() {
    let payload = deflate_zlib(A);
    for length in 0..payload.len() {
        assert_eq!(inflate_zlib(&payload[..length], 1000), Err(InflateError::Incomplete), "{length}");
    }
    let trailing = [&payload[..], b"x"].concat();
    assert!(matches!(inflate_zlib(&trailing, 1000), Err(InflateError::Corrupt { .. })));
    assert!(matches!(inflate_zlib(A, 1000), Err(InflateError::Corrupt { .. })));
}

#[test]
fn only_streams_have_an_inflater() {
    for compression in [Compression::None, Compression::Payload] {
        assert!(Inflater::new(compression, InflateLimits::default()).is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same messages come out of a stream for every cut.
    #[test]
    fn whole_and_chunked_agree(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3000), 1..8),
        pieces in prop::collection::vec(1_usize..500, 1..20),
    ) {
        let mut deflater = Deflater::new(Compression::ZlibStream).unwrap();
        let stream: Vec<u8> = messages.iter().flat_map(|message| deflater.push(message)).collect();
        let mut inflater = inflater(Compression::ZlibStream);
        let mut received = Vec::new();
        // Cut without regard to the messages: an output is complete if it is as long as the next message.
        let mut rest = &stream[..];
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((*pieces.next().unwrap()).min(rest.len()));
            rest = behind;
            received.extend(inflater.push(piece, |_| true).unwrap().map(|message| message.to_vec()).unwrap_or_default());
        }
        // A piece may contain the end of one message and the beginning of the next, so only the bytes must agree.
        let mut whole = self::inflater(Compression::ZlibStream);
        let expected = whole.push(&stream, |_| true).unwrap().unwrap();
        prop_assert_eq!(&received[..], &expected[..]);
        prop_assert_eq!(&received, &messages.concat());
    }

    /// Both compressions return each message that was sent.
    #[test]
    fn frames_return_their_messages(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40_000), 1..6),
    ) {
        for compression in STREAMS {
            let mut deflater = Deflater::new(compression).unwrap();
            let mut inflater = inflater(compression);
            for message in &messages {
                let received = inflater.push(&deflater.push(message), |_| true).unwrap().unwrap();
                prop_assert_eq!(&received[..], &message[..]);
            }
        }
    }

    /// Garbage is an error or incomplete, and never panics.
    #[test]
    fn garbage_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..500)) {
        for compression in STREAMS {
            let _ = inflater(compression).push(&garbage, |_| true);
        }
        let _ = inflate_zlib(&garbage, 1000);
    }
}
