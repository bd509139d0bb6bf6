//! Identify: its content, its time, and rejections by the server.

use gateway_driver::proto::command::{Activity, ActivityKind, Presence, Status};
use gateway_driver::proto::disconnect::{DisconnectReason, Disconnected, Rejection};
use gateway_driver::proto::{Intents, ShardId, StopReason};
use gateway_sim::{Action, Control, Point};
use serde_json::json;

use crate::scenario::{BOTH, Scenario, TOKEN};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("identify-has-every-documented-field", "Discord Docs, Gateway Events > Send Events; serenity-rs/serenity#1200: every field as documented")
            .shard(|config| {
                config.shard = ShardId::new(1, 4).expect("1 is below 4");
                config.intents = Intents::GUILDS | Intents::GUILD_MESSAGES;
                config.large_threshold = Some(250);
                let watching = Activity::new(ActivityKind::Watching, "the wire");
                config.presence = Some(Presence::new(Status::Online, [watching]));
            })
            .gateway(|config| config.guilds = 0)
            .steps([
                opens_base_url(),
                sends(
                    IDENTIFY,
                    json!({
                        "token": TOKEN, "intents": 513, "compress": false, "large_threshold": 250,
                        "shard": [1, 4],
                        "properties": {"browser": "gateway-proto", "device": "gateway-proto"},
                        "presence": {
                            "since": null, "status": "online", "afk": false,
                            "activities": [{"name": "the wire", "type": 3}],
                        },
                    }),
                ),
                readies(),
            ]),
        Scenario::new("identify-has-the-newest-presence", "the presence was changed since the last Identify")
            .steps([
                session(),
                send(crate::words::idle()),
                sends(PRESENCE_UPDATE, json!({"status": "idle"})),
                gateway(Control::Invalid { resumable: false }),
                closes(1000),
                loses_all!(DisconnectReason::InvalidSession { .. }),
                opens_base_url(),
                sends(IDENTIFY, json!({"presence": {"status": "idle", "since": null}})),
                readies(),
            ]),
        Scenario::new("ready-is-never-sent", "twilight-rs/twilight#2448: neither READY nor an ACK arrives")
            .shard(|config| config.timeouts.ready = seconds(30))
            .steps([
                once(Point::Identify, Action::Silence),
                opens_base_url(),
                sends(IDENTIFY, json!({})),
                closes(4000).after(seconds(30)),
                loses_all!(DisconnectReason::ReadyTimeout),
                session(),
            ]),
        Scenario::new(
            "ready-comes-late-in-an-outage",
            "Discord Docs, Gateway > Sending Heartbeats: the shard waits for READY while ACKs arrive",
        )
        .shard(|config| config.timeouts.ready = seconds(25))
        .gateway(|config| config.heartbeat_interval = seconds(10))
        .steps([
            once(Point::Identify, Action::Delay(seconds(90))),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            dispatches("READY", 1).after(seconds(90)),
            sees!(Event::Ready),
            holds!(|probe| probe.stats.connects == 1 && probe.stats.identifies == 1),
        ]),
        Scenario::new("identifies-are-spaced", "Discord Docs, Gateway > Sharding; serenity-rs/serenity@e678883: one Identify in 5 s, also after opcode 9").steps([
            session(),
            gateway(Control::Invalid { resumable: false }),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { .. }),
            // The server answers an Identify within 5 s of the last one with opcode 9.
            session(),
            gateway(Control::Invalid { resumable: false }),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { .. }),
            session(),
            holds!(|probe| probe.stats.identifies == 3 && probe.stats.invalid_sessions == 2),
        ]),
        Scenario::new(
            "a-permit-request-is-cancelled",
            "DSharpPlus/DSharpPlus#279: the connection is lost while the shard waits for a permit",
        )
        .steps([
            session(),
            gateway(Control::Invalid { resumable: false }),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { .. }),
            once(Point::Hello, Action::Abort),
            opens_base_url(),
            loses_all!(DisconnectReason::Closed(_)),
            session(),
            holds!(|probe| probe.stats.identifies == 2),
        ])
        .shard(|config| config.backoff.base = seconds(1)),
        rejected(
            "a-wrong-token",
            |config| config.token = "another".to_owned(),
            Rejection::AuthenticationFailed,
        ),
        rejected(
            "too-many-guilds-for-a-shard",
            |config| config.guilds_per_shard = 0,
            Rejection::ShardingRequired,
        ),
        rejected(
            "an-intent-that-is-not-enabled",
            |config| config.disallowed_intents = Intents::GUILD_MESSAGES.bits(),
            Rejection::DisallowedIntents,
        ),
        rejected("an-intent-that-does-not-exist", |_| {}, Rejection::InvalidIntents)
            .shard(|config| config.intents = Intents::from_bits(1 << 60)),
        Scenario::new("identify-names-the-shard", "Discord Docs, Gateway > Sharding: [id, count], which READY repeats")
            .shard(|config| config.shard = ShardId::new(2, 16).expect("2 is below 16"))
            .variants(BOTH)
            .gateway(|config| config.guilds = 0)
            .steps([
                opens_base_url(),
                sends(IDENTIFY, json!({"shard": [2, 16]})),
                delivers("READY", json!({"shard": [2, 16]})),
                sees!(Event::Ready),
            ]),
    ]
}

/// The server rejects the Identify permanently: no further connection is made.
fn rejected(name: &'static str, gateway: fn(&mut gateway_sim::Config), rejection: Rejection) -> Scenario {
    Scenario::new(name, "Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes; bwmarrin/discordgo#1429: the shard stops, with a typed reason").gateway(gateway).steps([
        opens_base_url(),
        sends(IDENTIFY, json!({})),
        sees!(Event::Disconnected(Disconnected { resumable: false, retry_in: None, .. })),
        stops(StopReason::Rejected(rejection)),
        holds!(|probe| probe.stats.connect_attempts == 1 && probe.session.is_none()),
    ])
}
