//! Reconnects: opcode 7 of the server, and requests of the application.

use gateway_driver::proto::Reconnect;
use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_sim::{Action, Control, Point, Rule};
use serde_json::json;

use crate::scenario::{ALL, DialFault, JSON, Scenario};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("op-7-reconnects-at-once", "close with 4000, reconnect without back-off, Resume").steps([
            session(),
            gateway(Control::Reconnect { then_emit: 0 }),
            closes(4000).after(seconds(0)),
            loses!(DisconnectReason::ReconnectRequested),
            opens_resume_url().after(seconds(0)),
            resumes_here(1, 0),
        ]),
        Scenario::new("events-after-op-7", "events that follow opcode 7 are delivered and counted")
            .variants(ALL)
            .steps([
                session(),
                gateway(Control::Reconnect { then_emit: 5 }),
                closes(4000),
                messages(2, 5),
                loses!(DisconnectReason::ReconnectRequested),
                resumes(6, 0),
            ]),
        Scenario::new("op-7-instead-of-hello", "Discord Docs, Gateway > Connection Lifecycle; discordeno/discordeno#3611: opcode 7 may come before Hello or in place of it")
            .steps([
                once(Point::Connect, Action::Reconnect),
                opens_base_url(),
                closes(4000),
                loses_all!(DisconnectReason::ReconnectRequested),
                session(),
            ]),
        Scenario::new("op-7-instead-of-hello-with-a-session", "discordeno/discordeno#3611: the resume URL is kept")
            .steps([
                session(),
                once(Point::Connect, Action::Reconnect),
                gateway(Control::Abort),
                loses!(DisconnectReason::Closed(_)),
                opens_resume_url(),
                closes(4000),
                loses!(DisconnectReason::ReconnectRequested),
                resumes(1, 0),
            ]),
        Scenario::new("op-7-instead-of-ready", "Discord Docs, Gateway > Connection Lifecycle; bwmarrin/discordgo#513: opcode 7 is handled in every state").steps([
            once(Point::Identify, Action::Reconnect),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            closes(4000),
            loses_all!(DisconnectReason::ReconnectRequested),
            session(),
        ]),
        Scenario::new("op-7-within-the-replay", "bwmarrin/discordgo#513: replayed events count")
            .gateway(|config| config.hello_delay = seconds(5))
            .steps([
                session(),
                gateway(Control::Rule(Rule { after: 2, ..Rule::once(Point::Replay, Action::Reconnect) })),
                gateway(Control::Abort),
                loses!(DisconnectReason::Closed(_)),
                emits(4),
                opens_resume_url(),
                sends(RESUME, json!({"seq": 1})),
                messages(2, 2),
                closes(4000),
                messages(4, 2),
                dispatches("RESUMED", 6),
                sees!(Event::Resumed { replayed: 4 }),
                loses!(DisconnectReason::ReconnectRequested),
                resumes(6, 0),
            ]),
        Scenario::new("op-7-with-data", "Discord Docs, Gateway > Gateway Events: the data is ignored").steps([
            session(),
            payload(json!({"op": 7, "d": {"why": "unknown"}, "s": 99})),
            closes(4000),
            loses!(DisconnectReason::ReconnectRequested),
            resumes(1, 0),
        ]),
        Scenario::new("a-close-that-is-never-answered", "discordjs/discord.js#7450: the socket is dropped after 5 s")
            .shard(|config| config.timeouts.close = seconds(5))
            .steps([
                session(),
                once(Point::Close, Action::Ignore),
                gateway(Control::Reconnect { then_emit: 0 }),
                closes(4000),
                loses!(DisconnectReason::ReconnectRequested).after(seconds(5)),
                resumes(1, 0),
            ]),
        Scenario::new("a-close-that-is-answered-with-another-code", "Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes: the server's code counts")
            .steps([
                session(),
                once(Point::Close, Action::Close(Some(4009))),
                gateway(Control::Reconnect { then_emit: 0 }),
                closes(4000),
                loses_all!(DisconnectReason::Closed(_)),
                session(),
            ]),
        Scenario::new("repeated-op-7", "discordjs/discord.js#4095: the shard never identifies")
            .shard(|config| config.backoff.cap = seconds(1))
            .variants(JSON)
            .steps([
                session(),
                all((1..=15).map(|sequence| {
                    all([
                        gateway(Control::Reconnect { then_emit: 0 }),
                        closes(4000),
                        loses!(DisconnectReason::ReconnectRequested),
                        resumes(sequence, 0),
                    ])
                })),
                holds!(|probe| probe.stats.identifies == 1),
            ]),
        Scenario::new("the-application-reconnects", "reconnect(Resume) keeps the session")
            .steps([
                session(),
                reconnect(Reconnect::Resume),
                closes(4000),
                loses!(DisconnectReason::Requested),
                opens_resume_url().after(seconds(0)),
                resumes_here(1, 0),
            ]),
        Scenario::new(
            "the-application-starts-a-new-session",
            "reconnect(Fresh) ends the session with 1000",
        )
        .steps([
            session(),
            reconnect(Reconnect::Fresh),
            closes(1000),
            loses_all!(DisconnectReason::Requested),
            session(),
        ]),
        Scenario::new("reconnect-ends-a-back-off", "tatsuworks/gateway#87: reconnect ends a back-off")
            .shard(|config| {
                config.backoff.base = seconds(600);
                config.backoff.cap = seconds(600);
                config.backoff.minimum = seconds(500);
            })
            .steps([
                dials_fail(1, DialFault::Refused),
                loses_all!(DisconnectReason::ConnectFailed(_)),
                reconnect(Reconnect::Resume),
                opens_base_url().after(seconds(0)),
                sends(IDENTIFY, json!({})),
                readies(),
            ]),
    ]
}
