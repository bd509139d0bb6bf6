//! The memory that bad input costs, counted by the allocator: at most a small multiple of the input or of a limit.
//!
//! One test, since the allocator counts for the whole process. The window of libzstd is not counted; the window limit
//! bounds it.

use gateway_codec::{
    Compression, DocumentLimits, Encoding, Envelope, InflateError, InflateLimits, Inflater, Raw, RawRef,
    convert, decode, decode_with, etf,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The peak of memory while `job` runs, in bytes above the usage before.
fn cost<T>(job: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = job();
    (result, ALLOCATOR.peak_usage().saturating_sub(before))
}

/// The memory that an error may cost, with its path, in bytes.
const REFUSAL: usize = 64 << 10;

#[test]
fn invalid_input_costs_little_memory() {
    deep_nesting();
    claimed_counts();
    many_small_elements();
    inflated_too_far();
    given_back_after_a_huge_message();
}

fn deep_nesting() {
    let lists = [&[131][..], &[108, 0, 0, 0, 1].repeat(1_000_000), &[106; 1_000_001]].concat();
    let maps = [&[131][..], &[116, 0, 0, 0, 1, 97, 0].repeat(1_000_000), &[106]].concat();
    let tuples = [&[131][..], &[104, 1].repeat(1_000_000), &[106]].concat();
    let json_lists = ("[".repeat(1_000_000) + &"]".repeat(1_000_000)).into_bytes();
    let json_maps = br#"{"d":"#.repeat(1_000_000);
    for (document, encoding) in [
        (lists, Encoding::Etf),
        (maps, Encoding::Etf),
        (tuples, Encoding::Etf),
        (json_lists, Encoding::Json),
        (json_maps, Encoding::Json),
    ] {
        let raw = RawRef::new(&document, encoding);
        let is_refused = || {
            let converts = |to| convert::convert(&document, encoding, to, &convert::Options::default());
            etf::Value::from_slice(&document, &DocumentLimits::default()).is_err()
                && Envelope::parse(&document, encoding).is_err()
                && (raw.find("no such key").is_err() || raw.find(usize::MAX).is_err())
                && converts(Encoding::Json).is_err()
                && converts(Encoding::Etf).is_err()
        };
        let (refused, spent) = cost(is_refused);
        assert!(refused && spent <= REFUSAL, "{encoding}: {spent}");
        let (refused, spent) = cost(|| decode::<serde_json::Value>(&document, encoding).is_err());
        assert!(refused && spent <= 8 * REFUSAL, "{encoding}: {spent}");
    }
}

fn claimed_counts() {
    for (tag, width) in [(108_u8, 4), (105, 4), (116, 4), (109, 4), (111, 4), (107, 2), (100, 2)] {
        let document = [&[131, tag][..], &vec![0xff; width], &[97, 1]].concat();
        let (refused, spent) = cost(|| {
            decode::<serde_json::Value>(&document, Encoding::Etf).is_err()
                && decode::<Vec<u64>>(&document, Encoding::Etf).is_err()
                && etf::Value::from_slice(&document, &DocumentLimits::default()).is_err()
        });
        assert!(refused && spent <= 4096, "{tag}: {spent}");
    }
    // Every one of 255 nested lists claims as many elements as there are bytes left.
    let tail = vec![106; 100_000];
    let mut document = vec![131];
    for level in 0..255 {
        document.push(108);
        document.extend(((255 - level - 1) * 5 + tail.len() as u32).to_be_bytes());
    }
    document.extend(tail);
    let (refused, spent) = cost(|| etf::Value::from_slice(&document, &DocumentLimits::default()).is_err());
    assert!(refused && spent <= document.len() * 130, "{spent}");
    let (refused, spent) =
        cost(|| decode::<Nested>(&document, Encoding::Etf).map(|nested| nested.0.len()).is_err());
    assert!(refused && spent <= 40 << 20, "{spent}");
}

/// A type as deep as its input.
#[derive(serde::Deserialize)]
struct Nested(Vec<Nested>);

fn many_small_elements() {
    let count = 1_000_000;
    let document = [&[131, 108][..], &(count as u32).to_be_bytes(), &vec![106; count + 1]].concat();
    let (tree, spent) = cost(|| etf::Value::from_slice(&document, &DocumentLimits::default()));
    assert!(tree.is_ok() && spent <= document.len() * 130, "{spent}");
    for (document, encoding) in [
        (document.clone(), Encoding::Etf),
        (format!("[{}0]", "0,".repeat(count - 1)).into_bytes(), Encoding::Json),
    ] {
        let mut options = convert::Options::default();
        options.limits.elements = count - 1;
        let (refused, spent) = cost(|| {
            decode_with::<serde_json::Value>(&document, encoding, &options.limits).is_err()
                && decode_with::<Vec<u64>>(&document, encoding, &options.limits).is_err()
                && (encoding == Encoding::Json
                    || etf::Value::from_slice(&document, &options.limits).is_err()
                        && convert::convert(&document, encoding, Encoding::Etf, &options).is_err())
        });
        assert!(refused && spent <= 4096, "{encoding}: {spent}");
        // The converter keeps neither a tree nor the output, except where a term needs a count.
        for to in [Encoding::Json, Encoding::Etf] {
            let options = convert::Options::default();
            let (converted, spent) =
                cost(|| convert::convert_to(&document, encoding, to, &options, std::io::sink()));
            let kept = if (encoding, to) == (Encoding::Json, Encoding::Etf) { 4 * document.len() } else { 0 };
            assert!(converted.is_ok() && spent <= kept + REFUSAL, "{encoding} {to}: {spent}");
        }
    }
    let (numbers, spent) = cost(|| decode::<Vec<Option<u8>>>(&[131, 107, 0, 2, 1, 2], Encoding::Etf));
    assert!(numbers.is_ok() && spent <= 4096, "{spent}");
    let (found, spent) = cost(|| Raw::new(document, Encoding::Etf).get(900_000).is_some());
    assert!(found && spent <= REFUSAL, "{spent}");
}

#[cfg(all(feature = "zlib", feature = "zstd"))]
fn inflated_too_far() {
    use gateway_codec::{Deflater, deflate_zlib, http, inflate_zlib};
    const LIMIT: usize = 4 << 20;
    let zeros = vec![b'0'; 16 * LIMIT];
    for compression in [Compression::ZlibStream, Compression::ZstdStream] {
        let bomb = Deflater::new(compression).expect("it is compiled in").push(&zeros);
        let mut limits = InflateLimits::default();
        limits.max_output = LIMIT;
        let mut inflater = Inflater::new(compression, limits).expect("it is a stream");
        let (result, spent) = cost(|| inflater.push(&bomb, |_| true));
        assert_eq!(result, Err(InflateError::TooLarge { limit: LIMIT }));
        assert!(spent <= 2 * LIMIT + REFUSAL, "{compression}: {spent}");
    }
    let bomb = deflate_zlib(&zeros);
    let (result, spent) = cost(|| inflate_zlib(&bomb, LIMIT));
    assert!(result.is_err() && spent <= 2 * LIMIT + REFUSAL, "{spent}");
    let mut limits = DocumentLimits::default();
    limits.output = LIMIT;
    let (result, spent) = cost(|| http::decode_body(bomb.clone(), Some("deflate"), None, &limits));
    assert!(result.is_err() && spent <= 2 * LIMIT + bomb.len() + REFUSAL, "{spent}");
    // A compressed term with the right size in its header, and one with a wrong size.
    let plain = [&[109][..], &(zeros.len() as u32).to_be_bytes(), &zeros].concat();
    for (claimed, allowed) in [(plain.len(), REFUSAL), (LIMIT, 2 * LIMIT + REFUSAL)] {
        let document = [&[131, 80][..], &(claimed as u32).to_be_bytes(), &deflate_zlib(&plain)].concat();
        let (result, spent) = cost(|| etf::expand(&document, LIMIT).is_err());
        assert!(result && spent <= allowed, "{claimed}: {spent}");
    }
}

#[cfg(not(all(feature = "zlib", feature = "zstd")))]
fn inflated_too_far() {
    for compression in [Compression::ZlibStream, Compression::ZstdStream] {
        let mut inflater = Inflater::new(compression, InflateLimits::default()).expect("it is a stream");
        let refused = inflater.push(b"\x78\x9c", |_| true);
        assert_eq!(
            refused.is_err_and(|error| matches!(error, InflateError::Unsupported { format, .. } if format == compression.as_str())),
            !compression.is_supported()
        );
    }
}

#[cfg(all(feature = "zlib", feature = "zstd"))]
fn given_back_after_a_huge_message() {
    use gateway_codec::Deflater;
    for compression in [Compression::ZlibStream, Compression::ZstdStream] {
        let mut deflater = Deflater::new(compression).expect("it is compiled in");
        let mut inflater = Inflater::new(compression, InflateLimits::default()).expect("it is a stream");
        let (small, huge) = (deflater.push(b"{}"), deflater.push(&vec![b'x'; 20_000_000]));
        assert!(inflater.push(&small, |_| true).is_ok_and(|message| message.is_some()));
        let before = ALLOCATOR.current_usage();
        let message = inflater.push(&huge, |_| true).expect("it inflates").expect("it is whole");
        // It takes its own length, and was inflated into memory allocated before.
        let held = ALLOCATOR.current_usage();
        assert!(
            (message.len()..=before + message.len() + (16 << 10)).contains(&held),
            "{compression}: {held}"
        );
        drop(message);
        let kept = ALLOCATOR.current_usage().saturating_sub(before);
        assert!(kept <= 16 << 10, "{compression}: {kept}");
    }
}

#[cfg(not(all(feature = "zlib", feature = "zstd")))]
fn given_back_after_a_huge_message() {}
