//! JSON and ETF: what servers send, what is accepted besides, and what is rejected.

use gateway_driver::proto::Notice;
use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_sim::{Control, KeyOrder};
use serde_json::json;

use crate::scenario::{ALL, BOTH, ETF, JSON, STREAMS, Scenario};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("ready-in-each-encoding", "Discord Docs, Gateway > Using ETF Encoding; discord/discord-api-docs#2262: atoms, STRING_EXT and bignums")
            .variants(ALL)
            .steps([
                opens_base_url(),
                sends(IDENTIFY, json!({"shard": [0, 1]})),
                delivers("READY", json!({"v": 10, "shard": [0, 1], "session_type": "normal"})),
                sees!(Event::Ready),
            ]),
        Scenario::new("keys-in-any-order", "RFC 8259: the order of keys is not specified")
            .variants(ALL)
            .gateway(|config| config.key_order = KeyOrder::Changing)
            .steps([session(), emits(24), messages(2, 24)]),
        Scenario::new("the-envelope-is-not-found-by-text-search", "d comes first and contains decoys")
            .steps([
                session(),
                payload(json!({
                    "d": {"d": null, "op": 9, "s": 99, "t": "READY"}, "op": 0, "s": 2, "t": "TYPING_START",
                })),
                delivers("TYPING_START", json!({"op": 9, "s": 99, "t": "READY"})),
                beats(2),
            ]),
        Scenario::new("special-characters-in-text", "NUL in text is kept")
            .variants(ALL)
            .steps([
                session(),
                emits_event("TYPING_START", json!({"x": "a\u{0}b\u{1F600}\"\\\u{2028}"})),
                delivers("TYPING_START", json!({"x": "a\u{0}b\u{1F600}\"\\\u{2028}"})),
            ]),
        Scenario::new("integers-at-their-limits", "Discord Docs, Gateway > Using ETF Encoding: every integer that a field can have")
            .variants(BOTH)
            .steps([session(), emits_event("TYPING_START", numbers()), delivers("TYPING_START", numbers())]),
        Scenario::new("lists-of-small-numbers-are-lists", "Discord Docs, Gateway > Using ETF Encoding: STRING_EXT is a list")
            .variants(BOTH)
            .steps([
                session(),
                emits_event("TYPING_START", json!({"a": [0, 300], "b": [104, 105], "c": []})),
                delivers("TYPING_START", json!({"a": [0, 300], "b": [104, 105], "c": []})),
            ]),
        Scenario::new("etf-with-rare-tags", "Discord Docs, Gateway > Using ETF Encoding: tags that Discord does not send at present")
            .variants(ETF)
            .steps([
                session(),
                gateway(Control::RawBytes(rare_tags())),
                delivers("RARE", json!({"a": [1, 42, 2.5, "x"], "7": null})),
                beats(2),
            ]),
        Scenario::new("etf-text-that-is-not-utf-8", "Discord Docs, Gateway > Using ETF Encoding: invalid bytes are replaced").variants(ETF).steps(
            [
                session(),
                gateway(Control::RawBytes(dispatch_term(
                    &[b"\x6d\x00\x00\x00\x03a\xffb".as_slice()].concat(),
                ))),
                delivers("X", json!("a\u{FFFD}b")),
            ],
        ),
        Scenario::new("bytes-after-an-etf-term", "trailing bytes are reported and ignored")
            .variants(ETF)
            .steps([
                session(),
                gateway(Control::RawBytes([dispatch_term(b"\x61\x07"), b"rest".to_vec()].concat())),
                sees!(Event::Notice(Notice::TrailingBytes { count: 4 })),
                delivers("X", json!(7)),
            ]),
        broken(
            "an-improper-list",
            ETF,
            Control::RawBytes(b"\x83\x6c\x00\x00\x00\x01\x61\x01\x61\x02".to_vec()),
        ),
        broken("a-map-bomb", ETF, Control::RawBytes(b"\x83\x74\xff\xff\xff\xff".to_vec())),
        broken("a-wrong-version-byte", ETF, Control::RawBytes(b"\x82\x6a".to_vec())),
        broken("a-process-id-instead-of-an-envelope", ETF, Control::RawBytes(b"\x83\x67\x61\x01".to_vec())),
        broken("truncated-json", JSON, Control::Raw("{\"op\":0,\"d\":".to_owned())),
        broken("invalid-json", JSON, Control::Raw("hello".to_owned())),
        broken("an-envelope-without-an-opcode", BOTH, Control::Payload(json!({"d": null}))),
        broken("an-opcode-that-is-text", BOTH, Control::Payload(json!({"op": "zero"}))),
        broken("an-empty-binary-message", BOTH, Control::RawBytes(Vec::new())),
        broken("etf-instead-of-json", JSON, Control::RawBytes(dispatch_term(b"\x61\x07"))),
        unexpected("json-in-a-binary-message", JSON, Control::RawBytes(json_dispatch().into_bytes())),
        unexpected("json-instead-of-etf", ETF, Control::RawBytes(json_dispatch().into_bytes())),
        unexpected("plain-text-under-a-stream", STREAMS, Control::RawText(json_dispatch())),
    ]
}

/// A message that cannot be decoded: the connection is closed, the session is kept.
fn broken(name: &'static str, variants: &'static [crate::Variant], control: Control) -> Scenario {
    Scenario::new(name, "an undecodable message closes with 4000, and the session resumes")
        .variants(variants)
        .steps([
            session(),
            gateway(control),
            closes(4000),
            loses!(DisconnectReason::Undecodable(_)),
            resumes(1, 0),
        ])
}

/// A message in another format than requested that can be decoded.
fn unexpected(name: &'static str, variants: &'static [crate::Variant], control: Control) -> Scenario {
    Scenario::new(name, "decoded in the format that it appears to have, with a notice")
        .variants(variants)
        .steps([
            session(),
            gateway(control),
            sees!(Event::Notice(Notice::UnexpectedFormat)),
            dispatches("TYPING_START", None),
            emits(1),
            messages(2, 1),
        ])
}

fn json_dispatch() -> String {
    json!({"op": 0, "s": null, "t": "TYPING_START", "d": {}}).to_string()
}

fn numbers() -> serde_json::Value {
    json!({
        "a": 0, "b": 255, "c": 256, "d": -1, "e": 2_147_483_647_i64, "f": 2_147_483_648_u64,
        "g": -2_147_483_649_i64,
        "h": 4_294_967_296_u64, "i": 2.5,
    })
}

/// A dispatch called X with sequence number 2, whose data is this term.
fn dispatch_term(data: &[u8]) -> Vec<u8> {
    let head = b"\x83\x74\x00\x00\x00\x04\x77\x02op\x61\x00\x77\x01s\x61\x02\x77\x01t\x77\x01X\x77\x01d";
    [head.as_slice(), data].concat()
}

/// A dispatch called RARE: keys as atoms, binaries and integers, a tuple, a large bignum, an old float, UTF-8 atoms.
fn rare_tags() -> Vec<u8> {
    let float = [b"\x632.50000000000000000000e+00".as_slice(), &[0; 5]].concat();
    [
        b"\x83".as_slice(),
        b"\x74\x00\x00\x00\x04\x6d\x00\x00\x00\x02op\x61\x00\x73\x01s\x6e\x01\x00\x02",
        b"\x76\x00\x01t\x76\x00\x04RARE\x64\x00\x01d",
        b"\x74\x00\x00\x00\x02\x73\x01a\x68\x04\x61\x01\x6f\x00\x00\x00\x01\x00\x2a",
        &float,
        b"\x77\x01x\x61\x07\x77\x03nil",
    ]
    .concat()
}
