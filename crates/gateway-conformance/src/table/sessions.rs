//! Sessions: how they begin, what they deliver, and how they are stored.

use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_driver::proto::session::SessionSnapshot;
use gateway_driver::proto::{Intents, Notice, ShardId, Shutdown, StopReason};
use gateway_sim::{Action, Control, Point};
use serde_json::json;

use crate::scenario::{ALL, BOTH, Scenario, Step};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("the-life-of-a-session", "Discord Docs, Gateway > Connection Lifecycle; twilight-rs/twilight#2250; twilight-rs/twilight#2101: the states in their order")
            .variants(ALL)
            .steps([session(), emits(3), messages(2, 3), logs_off()]),
        Scenario::new("ready-is-stored", "Discord Docs, Gateway > Resuming: the session id and the sequence number").steps([
            session(),
            holds!(|probe| probe.session.as_ref().is_some_and(|session| session.sequence() == 1)),
            emits(4),
            messages(2, 4),
            holds!(|probe| probe.session.as_ref().is_some_and(|session| session.sequence() == 5)),
        ]),
        Scenario::new("guilds-follow-ready", "Discord Docs, Gateway > Resuming; serenity-rs/serenity#3325: in the order of their sequence numbers")
            .shard(|config| config.intents = Intents::GUILDS)
            .gateway(|config| {
                config.guilds = 5;
                config.members = 3;
            })
            .variants(ALL)
            .steps([session(), all((2..=6).map(|sequence| dispatches("GUILD_CREATE", sequence)))]),
        Scenario::new("events-before-ready", "serenity-rs/serenity#3325: they are delivered as they arrive").steps([
            once(Point::Identify, Action::Ignore),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            payload(json!({"op": 0, "s": null, "t": "GUILD_CREATE", "d": {"id": "1"}})),
            dispatches("GUILD_CREATE", None),
            payload(ready_data(json!({"session_id": "0123456789abcdef"}))),
            sees!(Event::Notice(Notice::ResumeUrlUnusable)),
            readies(),
        ]),
        Scenario::new("ready-without-a-session-id", "a session that cannot be resumed is reported")
            .steps([
                once(Point::Identify, Action::Ignore),
                opens_base_url(),
                sends(IDENTIFY, json!({})),
                payload(ready_data(json!({"resume_gateway_url": "wss://gateway.test"}))),
                sees!(Event::Notice(Notice::SessionNotResumable)),
                readies(),
                gateway(Control::Abort),
                loses_all!(DisconnectReason::Closed(_)),
                session(),
            ]),
        Scenario::new("ready-with-an-unusable-resume-url", "the base URL is used").steps([
            once(Point::Identify, Action::Ignore),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            payload(ready_data(json!({"session_id": "abc", "resume_gateway_url": "https://gateway.test"}))),
            sees!(Event::Notice(Notice::ResumeUrlUnusable)),
            readies(),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            opens_base_url(),
            sends(RESUME, json!({"session_id": "abc", "seq": 1})),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { resumable: false }),
        ]),
        Scenario::new(
            "ready-with-a-resume-url-without-tls",
            "only wss is accepted unless the base URL is ws: the token stays within TLS",
        )
        .steps([
            once(Point::Identify, Action::Ignore),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            payload(ready_data(json!({"session_id": "abc", "resume_gateway_url": "ws://gateway.test"}))),
            sees!(Event::Notice(Notice::ResumeUrlUnusable)),
            readies(),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            opens_base_url(),
            sends(RESUME, json!({"session_id": "abc", "seq": 1})),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { resumable: false }),
        ]),
        Scenario::new(
            "ready-with-a-resume-url-of-another-domain",
            "the token is sent only to hosts that belong to the base URL",
        )
        .steps([
            once(Point::Identify, Action::Ignore),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            payload(ready_data(json!({"session_id": "abc", "resume_gateway_url": "wss://evil.example"}))),
            sees!(Event::Notice(Notice::ResumeUrlUnusable)),
            readies(),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            opens_base_url(),
            sends(RESUME, json!({"session_id": "abc", "seq": 1})),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { resumable: false }),
        ]),
        Scenario::new(
            "a-saved-session-with-a-resume-url-of-another-domain",
            "the token is sent only to hosts that belong to the base URL",
        )
        .steps([
            session(),
            leaves_the_session(),
            restart(|config| {
                let url = Some("wss://gateway.discord.gg.evil.example".to_owned());
                config.session = Some(SessionSnapshot::new("abc".to_owned(), url, 3, ShardId::ONE));
            }),
            sees!(Event::Notice(Notice::ResumeUrlUnusable)),
            opens_base_url(),
            sends(RESUME, json!({"session_id": "abc", "seq": 3})),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { resumable: false }),
            session(),
        ]),
        Scenario::new(
            "a-session-outlives-its-process",
            "Discord Docs, Gateway > Resuming; twilight-rs/twilight#2324: a stored snapshot is resumed",
        )
        .variants(ALL)
        .steps([
            session(),
            emits(3),
            messages(2, 3),
            leaves_the_session(),
            emits(2),
            restart(|_| {}),
            resumes(4, 2),
            emits(1),
            messages(8, 1),
        ]),
        Scenario::new(
            "a-session-of-another-shard-count",
            "Discord Docs, Gateway > Resuming; twilight-rs/twilight#2324: a session is resumed only if the shard count is unchanged",
        )
        .variants(BOTH)
        .gateway(|config| config.guilds = 0)
        .steps([
            session(),
            leaves_the_session(),
            restart(|config| config.shard = ShardId::new(0, 2).expect("0 is below 2")),
            sees!(Event::Notice(Notice::SavedSessionForOtherShard)),
            session(),
        ]),
        Scenario::new(
            "a-session-that-expired-meanwhile",
            "Discord Docs, Gateway > Resuming: after minutes without a connection the server sends opcode 9",
        )
        .steps([
            session(),
            leaves_the_session(),
            gateway(Control::Expire),
            restart(|_| {}),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 1})),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { resumable: false }),
            session(),
        ]),
        Scenario::new("a-new-session-after-logging-off", "Discord Docs, Gateway > Initiating a Disconnect; discordeno/discordeno#4103: 1000 ends the session").steps([
            session(),
            logs_off(),
            holds!(|probe| probe.session.is_none()),
            restart(|_| {}),
            session(),
        ]),
    ]
}

fn leaves_the_session() -> Step {
    all([
        shutdown(Shutdown::Resumable),
        closes(4000),
        sees!(Event::Disconnected(end) if end.resumable && end.retry_in.is_none()),
        stops(StopReason::Shutdown(Shutdown::Resumable)),
    ])
}

/// A READY with these fields.
pub(crate) fn ready_data(data: serde_json::Value) -> serde_json::Value {
    json!({"op": 0, "s": 1, "t": "READY", "d": data})
}
