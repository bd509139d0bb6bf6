//! Invalid Session (opcode 9).

use gateway_driver::proto::Reconnect;
use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_sim::{Action, Control, Point, Rule};
use serde_json::json;

use crate::scenario::{Scenario, Step};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "op-9-false-ends-the-session",
            "Discord Docs, Gateway Events > Invalid Session; twilight-rs/twilight#1942; shardlab/discordrb#438: wait 1 to 5 s, then Identify at the base URL",
        )
        .steps([
            session(),
            gateway(Control::Invalid { resumable: false }),
            closes(1000).after(seconds(0)),
            loses_all!(DisconnectReason::InvalidSession { resumable: false }),
            opens_base_url().between(seconds(1), seconds(5)),
            sends(IDENTIFY, json!({})),
            readies(),
        ]),
        Scenario::new("op-9-true-keeps-the-session", "shardlab/discordrb#438: close with 4000, wait 1 to 5 s, then Resume").steps([
            session(),
            gateway(Control::Invalid { resumable: true }),
            closes(4000).after(seconds(0)),
            loses!(DisconnectReason::InvalidSession { resumable: true }),
            opens_resume_url().between(seconds(1), seconds(5)),
            resumes_here(1, 0),
        ]),
        Scenario::new("op-9-in-answer-to-identify", "Discord Docs, Gateway Events > Invalid Session: the server also sends it for an Identify that is too early").steps([
            once(Point::Identify, Action::Invalid(false)),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { resumable: false }),
            session().between(seconds(1), seconds(5)),
        ]),
        Scenario::new("op-9-in-answer-to-resume", "Gelbpunkt/gateway-proxy#29; twilight-rs/twilight#1942: Identify at the base URL").steps([
            session(),
            gateway(Control::Expire),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 1})),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { resumable: false }),
            session().between(seconds(1), seconds(5)),
        ]),
        Scenario::new("op-9-true-in-answer-to-resume", "Discord Docs, Gateway Events > Invalid Session: the shard resumes later")
            .steps([
                session(),
                once(Point::Resume, Action::Invalid(true)),
                gateway(Control::Abort),
                loses!(DisconnectReason::Closed(_)),
                opens_resume_url(),
                sends(RESUME, json!({"seq": 1})),
                closes(4000),
                loses!(DisconnectReason::InvalidSession { resumable: true }),
                resumes(1, 0).between(seconds(1), seconds(5)),
            ]),
        Scenario::new("op-9-instead-of-hello", "Discord Docs, Gateway > Connection Lifecycle: opcode 9 is handled in every state").steps([
            once(Point::Connect, Action::Invalid(false)),
            opens_base_url(),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { resumable: false }),
            session(),
        ]),
        Scenario::new("op-9-within-the-replay", "bwmarrin/discordgo#513: the session ends, and the replayed events were delivered")
            .gateway(|config| config.hello_delay = seconds(5))
            .steps([
                session(),
                gateway(Control::Rule(Rule {
                    after: 2,
                    ..Rule::once(Point::Replay, Action::Invalid(false))
                })),
                gateway(Control::Abort),
                loses!(DisconnectReason::Closed(_)),
                emits(4),
                opens_resume_url(),
                sends(RESUME, json!({"seq": 1})),
                messages(2, 2),
                closes(1000),
                loses_all!(DisconnectReason::InvalidSession { resumable: false }),
                session(),
            ]),
        Scenario::new("op-9-with-other-data", "Discord Docs, Gateway > Gateway Events: data other than true counts as false").steps([
            session(),
            payload(json!({"op": 9, "d": null})),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { resumable: false }),
            session(),
        ]),
        Scenario::new("op-9-followed-by-a-close", "discord/discord-api-docs#5296: the server may close after opcode 9").steps([
            session(),
            once(Point::Close, Action::Ignore),
            gateway(Control::Invalid { resumable: true }),
            gateway(Control::Close { code: Some(4000) }),
            closes_or_not(),
            loses!(DisconnectReason::InvalidSession { resumable: true }),
            resumes(1, 0).between(seconds(1), seconds(5)),
        ]),
        Scenario::new("nothing-is-sent-after-op-9", "Discord Docs, Gateway Events > Invalid Session: commands after opcode 9 cause close code 4003").steps([
            session(),
            gateway(Control::Invalid { resumable: false }),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { resumable: false }),
            send(leave_voice()),
            session(),
            sends(VOICE_STATE_UPDATE, json!({})),
        ]),
        Scenario::new("op-9-a-third-time", "from the third in a row on, the shard also backs off").steps(
            [
                times(3, Point::Identify, Action::Invalid(false)),
                all(std::array::from_fn::<_, 3, _>(|_| {
                    all([
                        opens_base_url(),
                        sends(IDENTIFY, json!({})),
                        closes(1000),
                        loses_all!(DisconnectReason::InvalidSession { resumable: false }),
                    ])
                })),
                session().between(seconds(1), seconds(20)),
            ],
        ),
        Scenario::new("reconnect-ends-the-wait-after-op-9", "reconnect ends the wait").steps([
            session(),
            gateway(Control::Invalid { resumable: true }),
            closes(4000),
            loses!(DisconnectReason::InvalidSession { resumable: true }),
            reconnect(Reconnect::Resume),
            opens_resume_url().after(seconds(0)),
            resumes_here(1, 0),
        ]),
    ]
}

/// Which close frame is first is not determined: ours, or the server's with our answer.
fn closes_or_not() -> Step {
    Step::Wire(crate::Expectation::new("closes, or answers the server's close", |act: &crate::ClientAct| {
        matches!(act, crate::ClientAct::Closes { .. } | crate::ClientAct::Echoes { .. })
    }))
}
