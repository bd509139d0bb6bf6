//! Connections that break: at each step, within a message, in one direction, and silently.

use gateway_driver::proto::Closed;
use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_sim::{Action, ByteEffect, ByteFault, Control, FrameMode, Point, Rule};
use serde_json::json;

use crate::scenario::{ALL, BOTH, Network, Scenario, Step};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        before_a_session("a-reset-before-hello", Point::Connect, Action::Abort, false),
        before_a_session("a-reset-after-hello", Point::Hello, Action::Abort, false),
        before_a_session("a-reset-at-identify", Point::Identify, Action::Abort, true),
        before_a_session("an-end-before-hello", Point::Connect, Action::Drop, false),
        before_a_session("an-end-at-identify", Point::Identify, Action::Drop, true),
        Scenario::new(
            "a-reset-after-ready",
            "Rapptz/discord.py@e2f4259: the session resumes, without an Identify",
        )
        .steps([
            once(Point::Ready, Action::Abort),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            readies(),
            loses!(DisconnectReason::Closed(Closed::Failed(_) | Closed::Eof)),
            resumes(1, 0),
        ]),
        Scenario::new("a-reset-at-resume", "Rapptz/discord.py@e2f4259: a reset at each step of a connection")
            .steps([
                session(),
                once(Point::Resume, Action::Abort),
                gateway(Control::Abort),
                loses!(DisconnectReason::Closed(_)),
                opens_resume_url(),
                sends(RESUME, json!({"seq": 1})),
                loses!(DisconnectReason::Closed(_)),
                resumes(1, 0),
            ]),
        Scenario::new("a-reset-within-the-replay", "the next Resume does not request replayed events again")
            .steps([
                session(),
                gateway(Control::Rule(Rule { after: 2, ..Rule::once(Point::Replay, Action::Drop) })),
                gateway(Control::Drop),
                loses!(DisconnectReason::Closed(Closed::Eof)),
                // It is delayed by a late Hello.
                emits(5),
                opens_resume_url(),
                sends(RESUME, json!({"seq": 1})),
                messages(2, 2),
                loses!(DisconnectReason::Closed(Closed::Eof)),
                resumes(3, 3),
            ])
            .gateway(|config| config.hello_delay = seconds(5)),
        Scenario::new("a-reset-after-resumed", "a reset at each step of a connection").steps([
            session(),
            once(Point::Resumed, Action::Drop),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            resumes(1, 0),
            loses!(DisconnectReason::Closed(Closed::Eof)),
            resumes(2, 0),
        ]),
        Scenario::new("a-reset-at-a-heartbeat", "a reset at each step of a connection").steps([
            session(),
            once(Point::Heartbeat, Action::Abort),
            beats(1),
            loses!(DisconnectReason::Closed(_)),
            resumes(1, 0),
        ]),
        Scenario::new("a-reset-instead-of-an-answer-to-our-close", "a reset at each step of a connection")
            .steps([
                session(),
                once(Point::Close, Action::Abort),
                gateway(Control::Reconnect { then_emit: 0 }),
                closes(4000),
                loses!(DisconnectReason::ReconnectRequested),
                resumes(1, 0),
            ]),
        Scenario::new(
            "a-reset-within-a-message",
            "serenity-rs/serenity#1508: an incomplete message is dropped, and so is the compression context",
        )
        .variants(ALL)
        .steps([
            session(),
            emits(1),
            messages(2, 1),
            gateway(Control::Cut),
            loses!(DisconnectReason::Closed(Closed::Failed(_) | Closed::Eof)),
            resumes(2, 1),
            emits(1),
            messages(5, 1),
        ]),
        Scenario::new("the-stream-ends", "frankie567/httpx-ws#25: the end of the stream is noticed at once")
            .variants(BOTH)
            .steps([
                session(),
                gateway(Control::Drop),
                loses!(DisconnectReason::Closed(Closed::Eof)),
                resumes(1, 0),
            ]),
        Scenario::new("the-stream-ends-without-close-notify", "the TLS stream ends without close_notify")
            .variants(BOTH)
            .steps([
                session(),
                gateway(Control::Bytes(ByteFault { at: 0, effect: ByteEffect::HalfClose })),
                emits(1),
                loses!(DisconnectReason::Closed(Closed::Eof)),
                resumes(1, 1),
            ]),
        Scenario::new(
            "the-stream-ends-within-a-frame",
            "frankie567/httpx-ws#25; snapview/tungstenite-rs#183: the stream ends within a frame",
        )
        .variants(BOTH)
        .steps([
            session(),
            gateway(Control::Bytes(ByteFault { at: 20, effect: ByteEffect::HalfClose })),
            emits(1),
            loses!(DisconnectReason::Closed(_)),
            resumes(1, 1),
        ]),
        Scenario::new(
            "a-message-stalls-midway",
            "discordjs/discord.js#10174; snapview/tokio-tungstenite#234: the peer is gone without a reset",
        )
        .gateway(|config| config.heartbeat_interval = seconds(10))
        .steps([
            session(),
            gateway(Control::Bytes(ByteFault { at: 20, effect: ByteEffect::Stall })),
            emits(1),
            beats(1),
            closes(4000).after(seconds(10)),
            loses!(DisconnectReason::Zombie),
            resumes(1, 1),
        ]),
        Scenario::new("the-framing-is-broken", "an invalid frame").variants(BOTH).steps([
            session(),
            gateway(Control::Bytes(ByteFault { at: 0, effect: ByteEffect::Corrupt })),
            emits(1),
            breaks_off(),
            loses!(DisconnectReason::Closed(Closed::Protocol(_))),
            resumes(1, 1),
        ]),
        Scenario::new(
            "the-socket-accepts-no-bytes",
            "Gelbpunkt/gateway-proxy#29; Gelbpunkt/tokio-websockets#92: the stream accepts no more writes",
        )
        .gateway(|config| {
            config.heartbeat_interval = seconds(10);
            config.missed_heartbeats = None;
        })
        .steps([
            session(),
            Step::Network(Network::StopWrites),
            emits(1),
            messages(2, 1),
            loses!(DisconnectReason::Zombie).between(seconds(10), seconds(30)),
            ends_stream(),
            resumes(2, 0),
        ]),
        Scenario::new("messages-come-in-fragments", "RFC 6455, section 5.4: continuation frames")
            .gateway(|config| config.frame_mode = FrameMode::Fragments)
            .variants(ALL)
            .steps([session(), emits(3), messages(2, 3)]),
    ]
}

/// A connection breaks before there is a session: the shard tries again, and a session begins.
fn before_a_session(name: &'static str, on: Point, action: Action, identified: bool) -> Scenario {
    let identify = identified.then(|| sends(IDENTIFY, json!({})));
    let rule = "RFC 6455, section 4.1: a reset or the end of the stream at each step";
    let before = [once(on, action), opens_base_url()].into_iter().chain(identify);
    let after = [loses_all!(DisconnectReason::Closed(Closed::Failed(_) | Closed::Eof)), session()];
    Scenario::new(name, rule).steps(before.chain(after))
}
