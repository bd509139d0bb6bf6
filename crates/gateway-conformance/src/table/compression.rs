//! Payload compression, zlib-stream and zstd-stream.

use gateway_driver::proto::Notice;
use gateway_driver::proto::codec::deflate_zlib;
use gateway_driver::proto::disconnect::{DisconnectReason, Disconnected};
use gateway_sim::{Action, Control, FrameMode, Point};
use serde_json::json;

use crate::scenario::{ALL, JSON, PAYLOAD, STREAMS, Scenario, Step, ZLIB, ZSTD};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("a-stream-of-messages", "Discord Docs, Gateway > Encoding and Compression; hikari-py/hikari#2545: one context for the whole connection")
            .variants(ALL)
            .steps([
                session(),
                emits(50),
                messages(2, 50),
                gateway(Control::Abort),
                loses!(DisconnectReason::Closed(_)),
                resumes(51, 0),
                emits(50),
                messages(53, 50),
            ]),
        Scenario::new("messages-of-every-size", "serenity-rs/serenity#3462; discordjs/discord.js#10416: outputs that fill a buffer exactly, and larger ones")
            .variants(ALL)
            .steps([session(), all(SIZES.into_iter().map(emits_padded)), messages(2, SIZES.len() as u64)]),
        Scenario::new("zlib-messages-over-several-frames", "discord-jda/JDA#1019: the flush marker is split over frames")
            .variants(ZLIB)
            .gateway(|config| config.frame_mode = FrameMode::ZlibSplit)
            .steps([session(), emits(5), messages(2, 5)]),
        Scenario::new("a-false-marker", "Discord Docs, Gateway > Encoding and Compression; discord-jda/JDA#1019: the flush marker occurs within a message")
            .variants(&ZLIB[1..])
            .steps([
                once(Point::Connect, Action::Ignore),
                once(Point::Identify, Action::Ignore),
                opens_base_url(),
                all(false_marker().map(|bytes| gateway(Control::RawBytes(bytes)))),
                sees!(Event::Hello { .. }),
                sends(IDENTIFY, json!({})),
                gateway(Control::Abort),
                loses_all!(DisconnectReason::Closed(_)),
                session(),
            ]),
        Scenario::new("zlib-stream-vectors", "Discord Docs, Gateway > Encoding and Compression: the documented vectors, with one header")
            .variants(&ZLIB[..1])
            .steps([vectors(&[
                "789caa562a51b2ca2bcdc9d1512a8631f20b94ac0c0d7594522002b500000000ffff",
                "aac6a1c612ac242d31a738b516000000ffff",
            ])]),
        Scenario::new("zlib-stream-in-a-fresh-context", "Discord Docs, Gateway > Encoding and Compression: a later message cannot be inflated alone")
            .variants(&ZLIB[..1])
            .steps([
                once(Point::Connect, Action::Ignore),
                opens_base_url(),
                gateway(Control::RawBytes(bytes("c2a506d91c00000000ffff"))),
                closes(4000),
                loses_all!(DisconnectReason::Undecodable(_)),
                session(),
            ]),
        Scenario::new("zstd-stream-vectors", "Discord Docs, Gateway > Encoding and Compression; discordeno/discordeno#3815: one frame that never ends")
            .variants(&ZSTD[..1])
            .steps([vectors(&[ZSTD_ACK, ZSTD_INVALID])]),
        Scenario::new("zstd-frames-one-after-the-other", "Discord Docs, Gateway > Encoding and Compression: a frame may end and another begin")
            .variants(&ZSTD[..1])
            .steps([
                once(Point::Connect, Action::Ignore),
                opens_base_url(),
                // The messages of the vectors, each with the last block of its frame.
                gateway(Control::RawBytes(bytes(&ZSTD_ACK.replacen("200100", "210100", 1)))),
                gateway(Control::RawBytes(bytes(&format!(
                    "28b52ffd0040{}",
                    ZSTD_INVALID.replacen("200100", "210100", 1)
                )))),
                ends_the_session(),
            ]),
        Scenario::new("a-zstd-window-that-is-too-large", "Discord Docs, Gateway > Encoding and Compression: a window above 8 MiB is rejected")
            .variants(&ZSTD[..1])
            .steps([
                once(Point::Connect, Action::Ignore),
                opens_base_url(),
                gateway(Control::RawBytes(bytes(&ZSTD_ACK.replacen("0040", "0078", 1)))),
                closes(4000),
                sees!(Event::Disconnected(Disconnected { retry_in: Some(_), .. })),
                session(),
            ]),
        Scenario::new(
            "a-stream-that-is-corrupt",
            "Discord Docs, Gateway > Encoding and Compression; discord-jda/JDA#1019: a corrupt context closes with 4000, and the session resumes",
        )
        .variants(STREAMS)
        .steps([
            session(),
            gateway(Control::RawBytes(b"\xff\x07\xff\x00\x00\xff\xff".to_vec())),
            closes(4000),
            loses!(DisconnectReason::Undecodable(_)),
            resumes(1, 0),
            emits(1),
            messages(3, 1),
        ]),
        Scenario::new(
            "payloads-some-of-which-are-compressed",
            "DSharpPlus/DSharpPlus#2015: text if plain, binary if compressed",
        )
        .variants(PAYLOAD)
        .steps([session(), emits_padded(0), emits_padded(5000), emits_padded(1), messages(2, 3)]),
        Scenario::new("payload-compression-is-limited", "a message inflates to at most 256 MiB, or as configured")
            .variants(PAYLOAD)
            .shard(|config| config.limits.inflated_bytes = 65_536)
            .steps([session(), emits_padded(100_000), too_large(), session()]),
        Scenario::new("a-decompression-bomb-in-a-stream", "twilight-rs/twilight#853: a message inflates to at most 256 MiB, or as configured")
            .variants(STREAMS)
            .shard(|config| config.limits.inflated_bytes = 65_536)
            .steps([session(), emits_padded(100_000), too_large(), session()]),
        Scenario::new(
            "an-unrequested-compressed-message",
            "a message that begins with 0x78 is inflated",
        )
        .variants(JSON)
        .steps([
            session(),
            gateway(Control::RawBytes(deflate_zlib(
                json!({"op": 0, "s": 2, "t": "TYPING_START", "d": {}}).to_string().as_bytes(),
            ))),
            dispatches("TYPING_START", 2),
        ]),
    ]
}

/// Content sizes in bytes around common buffer sizes.
const SIZES: [usize; 9] = [0, 1, 1_000, 32_000, 32_767, 32_768, 32_769, 65_536, 300_000];

/// `{"t":null,"s":null,"op":11,"d":null}` as the first message of the stream.
const ZSTD_ACK: &str =
    "28b52ffd00402001007b2274223a6e756c6c2c2273223a6e756c6c2c226f70223a31312c2264223a6e756c6c7d";
/// `{"t":null,"s":null,"op":9,"d":false}` as a later message of the stream.
const ZSTD_INVALID: &str = "2001007b2274223a6e756c6c2c2273223a6e756c6c2c226f70223a392c2264223a66616c73657d";

/// An unexpected ACK and opcode 9 in place of Hello.
fn vectors(messages: &[&str]) -> Step {
    let sent = messages.iter().map(|message| gateway(Control::RawBytes(bytes(message))));
    all([once(Point::Connect, Action::Ignore), opens_base_url()]
        .into_iter()
        .chain(sent)
        .chain([ends_the_session()]))
}

fn ends_the_session() -> Step {
    all([closes(1000), loses_all!(DisconnectReason::InvalidSession { resumable: false }), session()])
}

fn too_large() -> Step {
    all([
        closes(4000),
        sees!(Event::Notice(Notice::ReplayGivenUp { after: 1 })),
        loses_all!(DisconnectReason::MessageTooLarge),
    ])
}

fn emits_padded(padding: usize) -> Step {
    gateway(Control::Emit { count: 1, padding })
}

/// A Hello in ETF within a stored block. Its first frame ends in 00 00 ff ff, although the message does not end there.
fn false_marker() -> [Vec<u8>; 2] {
    let start = b"\x83\x74\x00\x00\x00\x03\x77\x01x\x6d\x00\x00\x00\x04\x00\x00\xff\xff";
    let end =
        b"\x77\x02op\x61\x0a\x77\x01d\x74\x00\x00\x00\x01\x77\x12heartbeat_interval\x62\x00\x00\xa1\x22";
    let length = u16::try_from(start.len() + end.len()).unwrap_or(u16::MAX);
    let header = [&[0x78, 0x01, 0x00][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
    [[&header[..], start].concat(), [&end[..], b"\x00\x00\x00\xff\xff"].concat()]
}

/// Decodes hexadecimal text.
fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.bytes().filter_map(|digit| char::from(digit).to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}
