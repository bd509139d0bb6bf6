//! Limits on sent and received messages.

use gateway_driver::proto::Notice;
use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_sim::{Action, Control, Point};
use serde_json::json;

use crate::scenario::{BOTH, ClientAction, JSON, Scenario, Step, Variant, ZSTD};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "no-more-than-120-in-60-seconds",
            "Discord Docs, Gateway > Rate Limiting: a sliding window that counts every message",
        )
        .variants(JSON)
        .steps([
            session(),
            Step::Client(ClientAction::SendMany(leave_voice(), 200)),
            all((0..200).map(|_| sends(VOICE_STATE_UPDATE, json!({})))),
            holds!(|probe| probe.stats.commands == 200 && probe.stats.connects == 1),
        ]),
        Scenario::new(
            "heartbeats-come-before-commands",
            "discord-jda/JDA#1294; Rapptz/discord.py@5fe998a: a full queue does not delay heartbeats",
        )
        .variants(JSON)
        .gateway(|config| {
            config.heartbeat_interval = seconds(5);
            // The server ends a session without heartbeats.
            config.missed_heartbeats = Some(2);
        })
        .steps([
            session(),
            Step::Client(ClientAction::SendMany(leave_voice(), 180)),
            all((0..180).map(|_| sends(VOICE_STATE_UPDATE, json!({})))),
            holds!(|probe| probe.stats.connects == 1),
        ]),
        Scenario::new(
            "requested-heartbeats-come-before-commands",
            "Discord Docs, Gateway > Heartbeat Requests: commands do not use the slot of a requested heartbeat",
        )
        .variants(JSON)
        .gateway(|config| config.heartbeat_interval = seconds(600))
        .steps([
            session(),
            // 120, less Identify, a place for the regular heartbeat and one for a heartbeat that is asked for.
            Step::Client(ClientAction::SendMany(leave_voice(), 117)),
            all((0..117).map(|_| sends(VOICE_STATE_UPDATE, json!({})))),
            all((0..5).map(|_| gateway(Control::Beat))),
            // Its event proves that the shard has read all requests, so their order with the commands is certain.
            gateway(Control::Payload(json!({"op": 99, "d": null}))),
            sees!(Event::Unknown(_)),
            Step::Client(ClientAction::SendMany(leave_voice(), 33)),
            all((0..5).map(|_| beats(1))),
            all((0..33).map(|_| sends(VOICE_STATE_UPDATE, json!({})))),
            holds!(|probe| probe.stats.connects == 1),
        ]),
        Scenario::new(
            "a-new-connection-begins-at-zero",
            "Discord Docs, Gateway > Rate Limiting: the limit counts per connection",
        )
        .variants(JSON)
        .steps([
            session(),
            Step::Client(ClientAction::SendMany(leave_voice(), 110)),
            all((0..110).map(|_| sends(VOICE_STATE_UPDATE, json!({})))),
            gateway(Control::Drop),
            loses!(DisconnectReason::Closed(_)),
            resumes(1, 0),
            Step::Client(ClientAction::SendMany(leave_voice(), 110)),
            all((0..110).map(|_| sends(VOICE_STATE_UPDATE, json!({})).between(seconds(0), seconds(0)))),
        ]),
        Scenario::new("a-message-of-seventeen-megabytes", "twilight-rs/twilight#853: messages of that size are valid")
            .variants(LARGE)
            .steps([
                session(),
                gateway(Control::Emit { count: 1, padding: 17 << 20 }),
                messages(2, 1),
                emits(1),
                messages(3, 1),
            ]),
        Scenario::new(
            "a-message-above-the-limit",
            "twilight-rs/twilight#853: an error and a new session, since a Resume would replay the message",
        )
        .variants(BOTH)
        .shard(|config| config.limits.message_bytes = 65_536)
        .steps([
            session(),
            gateway(Control::Emit { count: 1, padding: 100_000 }),
            sees!(Event::Notice(Notice::ReplayGivenUp { after: 1 })),
            loses_all!(DisconnectReason::MessageTooLarge),
            breaks_off(),
            session(),
        ]),
        Scenario::new("a-message-above-the-limit-before-hello", "the session is kept")
            .variants(BOTH)
            .shard(|config| config.limits.message_bytes = 65_536)
            .steps([
                session(),
                once(Point::Connect, Action::Ignore),
                gateway(Control::Abort),
                loses!(DisconnectReason::Closed(_)),
                opens_resume_url(),
                gateway(Control::RawText("x".repeat(100_000))),
                loses!(DisconnectReason::MessageTooLarge),
                breaks_off(),
                opens_base_url(),
                resumes_here(1, 0),
            ]),
        Scenario::new(
            "sending-while-receiving-much",
            "Gelbpunkt/tokio-websockets#92: both directions progress at the same time",
        )
        .variants(BOTH)
        .steps([
            session(),
            gateway(Control::Emit { count: 50, padding: 100_000 }),
            Step::Client(ClientAction::SendMany(leave_voice(), 50)),
            messages(2, 50),
            all((0..50).map(|_| sends(VOICE_STATE_UPDATE, json!({})))),
        ]),
        Scenario::new(
            "thousands-of-events",
            "twilight-rs/twilight#1997; discordjs/discord.js#8731: all events are delivered in order",
        )
        .variants(ZSTD)
        .steps([session(), gateway(Control::Emit { count: 3_000, padding: 10 }), messages(2, 3_000)]),
    ]
}

/// Without compression, and with the one that makes the message small.
const LARGE: &[Variant] = &[JSON[0], ZSTD[1]];
