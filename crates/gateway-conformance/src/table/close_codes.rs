//! The close codes of the server.

use gateway_driver::proto::disconnect::{DisconnectReason, Disconnected, Rejection};
use gateway_driver::proto::{Closed, StopReason};
use gateway_sim::{Action, Control, Point};
use serde_json::json;

use crate::scenario::{Scenario, Step};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let resumed = RESUMED.into_iter().map(|(name, code)| {
        Scenario::new(name, "Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes; discordeno/discordeno#4103; discord/discord-api-docs#1023: the session resumes").steps([
            session(),
            gateway(Control::Close { code }),
            echoes(),
            is_lost(code, true),
            opens_resume_url().after(seconds(0)),
            resumes_here(1, 0),
        ])
    });
    let identified = IDENTIFIED.into_iter().map(|(name, code)| {
        Scenario::new(name, "Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes; discordjs/discord.js#7450: a new session at the base URL").steps([
            session(),
            gateway(Control::Close { code: Some(code) }),
            is_lost(Some(code), false),
            session(),
        ])
    });
    let stopped = STOPPED.into_iter().map(|(name, code, rejection)| {
        Scenario::new(name, "Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes; bwmarrin/discordgo#1429: the shard stops, with a typed reason").steps([
            once(Point::Identify, Action::Close(Some(code))),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            echoes(),
            sees!(Event::Disconnected(Disconnected { resumable: false, retry_in: None, .. })),
            stops(StopReason::Rejected(rejection)),
        ])
    });
    let others = [
        Scenario::new("close-4008-resumes-later", "Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes: rate limited: Resume after 5 s or more")
            .steps([
                session(),
                gateway(Control::Close { code: Some(4008) }),
                is_lost(Some(4008), true),
                opens_resume_url().between(seconds(5), seconds(6)),
                resumes_here(1, 0),
            ]),
        Scenario::new("a-fatal-code-in-a-session", "bwmarrin/discordgo#1429: a fatal code stops the shard in every state").steps([
            session(),
            gateway(Control::Close { code: Some(4004) }),
            sees!(Event::Disconnected(Disconnected { resumable: false, retry_in: None, .. })),
            stops(StopReason::Rejected(Rejection::AuthenticationFailed)),
        ]),
        Scenario::new("a-fatal-code-in-answer-to-resume", "Discord Docs, Gateway Events > Send Events: 4004 means an invalid token").steps(
            [
                session(),
                once(Point::Resume, Action::Close(Some(4004))),
                gateway(Control::Abort),
                loses!(DisconnectReason::Closed(_)),
                opens_resume_url(),
                sends(RESUME, json!({"seq": 1})),
                sees!(Event::Disconnected(Disconnected { resumable: false, retry_in: None, .. })),
                stops(StopReason::Rejected(Rejection::AuthenticationFailed)),
            ],
        ),
        Scenario::new("an-invalid-sequence-in-resume", "Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes: 4007 starts a new session").steps([
            session(),
            // A number greater than the server has sent: it is accepted the second time.
            payload(json!({"op": 0, "s": 50, "t": "TYPING_START", "d": {}})),
            sees!(Event::Notice(gateway_driver::proto::Notice::SequenceGap { .. })),
            closes(4000),
            loses!(DisconnectReason::SequenceGap { after: 1, got: 50 }),
            resumes(1, 0),
            payload(json!({"op": 0, "s": 50, "t": "TYPING_START", "d": {}})),
            sees!(Event::Notice(gateway_driver::proto::Notice::SequenceGap { .. })),
            dispatches("TYPING_START", 50),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 50})),
            is_lost(Some(4007), false),
            session(),
        ]),
        Scenario::new("the-server-closes-before-ready", "bwmarrin/discordgo#513: a close is handled in every state").steps([
            once(Point::Identify, Action::Close(Some(4000))),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            is_lost(Some(4000), false),
            session(),
        ]),
        Scenario::new("close-4003-in-answer-to-resume", "Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes: 4003 does not end a session: the server would send opcode 9")
            .steps([
                session(),
                times(2, Point::Resume, Action::Close(Some(4003))),
                gateway(Control::Close { code: Some(4003) }),
                is_lost(Some(4003), true),
                all(std::array::from_fn::<_, 2, _>(|_| {
                    all([opens_resume_url(), sends(RESUME, json!({"seq": 1})), is_lost(Some(4003), true)])
                })),
                resumes(1, 0),
            ]),
        Scenario::new("close-4003-before-a-session", "Discord Docs, Opcodes and Status Codes > Gateway Close Event Codes: without a session the shard identifies again").steps([
            once(Point::Identify, Action::Close(Some(4003))),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            is_lost(Some(4003), false),
            session(),
        ]),
        Scenario::new("the-server-closes-within-the-replay", "bwmarrin/discordgo#513: a close is handled in every state").steps([
            session(),
            once(Point::Resume, Action::Close(Some(1001))),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 1})),
            is_lost(Some(1001), true),
            resumes(1, 0),
        ]),
    ];
    resumed.chain(identified).chain(stopped).chain(others).collect()
}

/// Codes after which the session is resumed.
const RESUMED: [(&str, Option<u16>); 16] = [
    ("close-4000-resumes", Some(4000)),
    ("close-4001-resumes", Some(4001)),
    ("close-4002-resumes", Some(4002)),
    ("close-4003-resumes", Some(4003)),
    ("close-4005-resumes", Some(4005)),
    ("close-4015-resumes", Some(4015)),
    ("close-4016-resumes", Some(4016)),
    ("close-1000-resumes", Some(1000)),
    ("close-1001-resumes", Some(1001)),
    ("close-1002-resumes", Some(1002)),
    ("close-1011-resumes", Some(1011)),
    ("close-1012-resumes", Some(1012)),
    ("close-3000-resumes", Some(3000)),
    ("close-4500-resumes", Some(4500)),
    ("close-4999-resumes", Some(4999)),
    ("close-without-a-code-resumes", None),
];

/// Codes after which a new session begins.
const IDENTIFIED: [(&str, u16); 3] =
    [("close-4006-identifies", 4006), ("close-4007-identifies", 4007), ("close-4009-identifies", 4009)];

/// Codes after which the shard stops.
const STOPPED: [(&str, u16, Rejection); 6] = [
    ("close-4004-stops", 4004, Rejection::AuthenticationFailed),
    ("close-4010-stops", 4010, Rejection::InvalidShard),
    ("close-4011-stops", 4011, Rejection::ShardingRequired),
    ("close-4012-stops", 4012, Rejection::InvalidApiVersion),
    ("close-4013-stops", 4013, Rejection::InvalidIntents),
    ("close-4014-stops", 4014, Rejection::DisallowedIntents),
];

/// The connection closes with this code, and the session is kept or not.
fn is_lost(wanted: Option<u16>, resumable: bool) -> Step {
    ends_where(&format!("closed by {wanted:?}, resumable {resumable}"), move |end| match &end.reason {
        DisconnectReason::Closed(Closed::Frame { code, .. }) => *code == wanted && end.resumable == resumable,
        _ => false,
    })
}
