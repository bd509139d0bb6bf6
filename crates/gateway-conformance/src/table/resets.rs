//! Connections that break: at each step, within a message, in one direction, and without a word.

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
        Scenario::new("a-reset-after-ready", "Rapptz/discord.py@e2f4259: a reset in a session is resumed, without an Identify")
            .steps([
                once(Point::Ready, Action::Abort),
                opens_base_url(),
                says(IDENTIFY, json!({})),
                readies(),
                loses!(DisconnectReason::Closed(Closed::Failed(_) | Closed::Eof)),
                resumes(1, 0),
            ]),
        Scenario::new("a-reset-at-resume", "Rapptz/discord.py@e2f4259, bad input: a reset at each step").steps([
            session(),
            once(Point::Resume, Action::Abort),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            opens_resume_url(),
            says(RESUME, json!({"seq": 1})),
            loses!(DisconnectReason::Closed(_)),
            resumes(1, 0),
        ]),
        Scenario::new("a-reset-within-the-replay", "bad input: what was replayed is not asked for again")
            .steps([
                session(),
                gateway(Control::Rule(Rule { after: 2, ..Rule::once(Point::Replay, Action::Drop) })),
                gateway(Control::Drop),
                loses!(DisconnectReason::Closed(Closed::Eof)),
                // It waits for Hello, which is late.
                emits(5),
                opens_resume_url(),
                says(RESUME, json!({"seq": 1})),
                messages(2, 2),
                loses!(DisconnectReason::Closed(Closed::Eof)),
                resumes(3, 3),
            ])
            .gateway(|config| config.hello_delay = seconds(5)),
        Scenario::new("a-reset-after-resumed", "bad input: a reset at each step").steps([
            session(),
            once(Point::Resumed, Action::Drop),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            resumes(1, 0),
            loses!(DisconnectReason::Closed(Closed::Eof)),
            resumes(2, 0),
        ]),
        Scenario::new("a-reset-at-a-heartbeat", "bad input: a reset at each step").steps([
            session(),
            once(Point::Heartbeat, Action::Abort),
            beats(1),
            loses!(DisconnectReason::Closed(_)),
            resumes(1, 0),
        ]),
        Scenario::new("a-reset-instead-of-an-answer-to-our-close", "bad input: a reset at each step").steps(
            [
                session(),
                once(Point::Close, Action::Abort),
                gateway(Control::Reconnect { then_emit: 0 }),
                closes(4000),
                loses!(DisconnectReason::ReconnectRequested),
                resumes(1, 0),
            ],
        ),
        Scenario::new("a-reset-within-a-message", "serenity-rs/serenity#1508: half a message is none, and no context outlives it")
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
        Scenario::new("the-stream-ends", "frankie567/httpx-ws#25: the end of the stream is no silence").variants(BOTH).steps([
            session(),
            gateway(Control::Drop),
            loses!(DisconnectReason::Closed(Closed::Eof)),
            resumes(1, 0),
        ]),
        Scenario::new("the-stream-ends-without-close-notify", "bad input: TLS without close_notify")
            .variants(BOTH)
            .steps([
                session(),
                gateway(Control::Bytes(ByteFault { at: 0, effect: ByteEffect::HalfClose })),
                emits(1),
                loses!(DisconnectReason::Closed(Closed::Eof)),
                resumes(1, 1),
            ]),
        Scenario::new("the-stream-ends-within-a-frame", "frankie567/httpx-ws#25; snapview/tungstenite-rs#183: the end of the stream within a frame")
            .variants(BOTH)
            .steps([
                session(),
                gateway(Control::Bytes(ByteFault { at: 20, effect: ByteEffect::HalfClose })),
                emits(1),
                loses!(DisconnectReason::Closed(_)),
                resumes(1, 1),
            ]),
        Scenario::new("a-message-stalls-half-way", "discordjs/discord.js#10174; snapview/tokio-tungstenite#234: the peer is gone, and nothing says so")
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
        Scenario::new("the-framing-is-broken", "bad input: a frame that is none").variants(BOTH).steps([
            session(),
            gateway(Control::Bytes(ByteFault { at: 0, effect: ByteEffect::Corrupt })),
            emits(1),
            breaks_off(),
            loses!(DisconnectReason::Closed(Closed::Protocol(_))),
            resumes(1, 1),
        ]),
        Scenario::new(
            "the-socket-accepts-no-bytes",
            "bad input: a stream that stops accepting writes; Gelbpunkt/gateway-proxy#29; Gelbpunkt/tokio-websockets#92",
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
        Scenario::new("messages-come-in-fragments", "RFC 6455, 5.4: continuation frames")
            .gateway(|config| config.frame_mode = FrameMode::Fragments)
            .variants(ALL)
            .steps([session(), emits(3), messages(2, 3)]),
    ]
}

/// Breaks before there is a session: another attempt, and a session.
fn before_a_session(name: &'static str, on: Point, action: Action, identified: bool) -> Scenario {
    let identify = identified.then(|| says(IDENTIFY, json!({})));
    let what = "RFC 6455, section 4.1, bad input: a reset, or the end, at each step";
    let before = [once(on, action), opens_base_url()].into_iter().chain(identify);
    let after = [loses_all!(DisconnectReason::Closed(Closed::Failed(_) | Closed::Eof)), session()];
    Scenario::new(name, what).steps(before.chain(after))
}
