//! Resume: the replay, duplicated and lost events, and when a session is given up.

use gateway_driver::proto::config::Delivery;
use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_driver::proto::{Closed, Notice, Shutdown, StopReason};
use gateway_sim::{Action, Control, Point, Rule};
use serde_json::json;

use super::sessions::ready_data;
use crate::scenario::{ALL, Scenario};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "missed-events-are-replayed",
            "Discord Docs, Gateway > Resuming: everything after seq, in order, then RESUMED",
        )
        .gateway(|config| config.hello_delay = seconds(5))
        .variants(ALL)
        .steps([
            session(),
            emits(2),
            messages(2, 2),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            emits(20),
            resumes(3, 20),
            emits(1),
            messages(25, 1),
        ]),
        Scenario::new(
            "resume-has-exactly-its-documented-fields",
            "Discord Docs, Gateway Events > Send Events: token, session_id and seq",
        )
        .steps([
            session(),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            opens_resume_url(),
            sends_where(RESUME, "with exactly its three fields", |data| {
                data.as_object().is_some_and(|fields| fields.len() == 3)
                    && data["token"] == crate::scenario::TOKEN
                    && data["session_id"].as_str().is_some_and(|id| id.len() == 32)
                    && data["seq"] == 1
            }),
            dispatches("RESUMED", 2),
            sees!(Event::Resumed { replayed: 0 }),
        ]),
        Scenario::new(
            "a-resume-needs-no-permit",
            "Discord Docs, Gateway > Sharding; discord-jda/JDA#444: Resume is not limited",
        )
        .steps([
            session(),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)).after(seconds(0)),
            opens_resume_url().after(seconds(0)),
            sends(RESUME, json!({"seq": 1})).after(seconds(0)),
            dispatches("RESUMED", 2),
            sees!(Event::Resumed { .. }),
        ]),
        Scenario::new(
            "a-replay-that-begins-too-early",
            "Discord Docs, Gateway > Resuming: the server may send events twice; the shard delivers them once",
        )
        .steps([
            session(),
            emits(2),
            messages(2, 2),
            resume_unanswered(3),
            payload(json!({"op": 0, "s": 3, "t": "TYPING_START", "d": {}})),
            sees!(Event::Notice(Notice::DuplicateDropped { sequence: 3 })),
            payload(json!({"op": 0, "s": 4, "t": "TYPING_START", "d": {}})),
            dispatches("TYPING_START", 4),
            payload(json!({"op": 0, "s": 5, "t": "RESUMED", "d": null})),
            dispatches("RESUMED", 5),
            sees!(Event::Resumed { replayed: 1 }),
            beats(5),
        ]),
        Scenario::new("resumed-without-data", "Discord Docs, Gateway > Resuming: d is null, {} or a trace")
            .steps([
                session(),
                resume_unanswered(1),
                payload(json!({"op": 0, "s": 2, "t": "RESUMED", "d": {}})),
                dispatches("RESUMED", 2),
                sees!(Event::Resumed { replayed: 0 }),
            ]),
        Scenario::new(
            "a-new-session-in-answer-to-resume",
            "serenity-rs/serenity@ae50886: READY instead of RESUMED",
        )
        .steps([
            session(),
            resume_unanswered(1),
            payload(ready_data(json!({"session_id": "another"}))),
            sees!(Event::Notice(Notice::ResumeUrlUnusable)),
            readies(),
            once(Point::Resume, Action::Ignore),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            opens_base_url(),
            sends(RESUME, json!({"session_id": "another", "seq": 1})),
        ]),
        Scenario::new("resumed-is-never-sent", "twilight-rs/twilight#2448: neither RESUMED nor a replay arrives")
            .shard(|config| config.timeouts.resumed = seconds(30))
            .steps([
                session(),
                resume_unanswered(1),
                closes(4000).after(seconds(30)),
                loses!(DisconnectReason::ResumedTimeout),
                resumes(1, 0),
            ]),
        Scenario::new(
            "a-slow-replay-is-waited-for",
            "Discord Docs, Gateway > Connection Lifecycle: each replayed dispatch counts as progress",
        )
        .shard(|config| config.timeouts.resumed = seconds(30))
        .gateway(|config| config.heartbeat_interval = seconds(300))
        .steps([
            session(),
            resume_unanswered(1),
            elapse(seconds(20)),
            payload(json!({"op": 0, "s": 2, "t": "TYPING_START", "d": {}})),
            dispatches("TYPING_START", 2),
            elapse(seconds(20)),
            payload(json!({"op": 0, "s": 3, "t": "TYPING_START", "d": {}})),
            dispatches("TYPING_START", 3),
            closes(4000).after(seconds(30)),
            loses!(DisconnectReason::ResumedTimeout),
        ]),
        Scenario::new(
            "resumes-that-fail-in-seconds-cost-no-session",
            "discord/discord-api-docs#1619: the server answers no Resume for 90 s, then does",
        )
        .shard(|config| config.backoff.cap = seconds(2))
        .steps([
            session(),
            times(12, Point::Resume, Action::Close(Some(4000))),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            emits(3),
            all(std::array::from_fn::<_, 12, _>(|_| {
                all([
                    opens_resume_url(),
                    sends(RESUME, json!({"seq": 1})),
                    loses!(DisconnectReason::Closed(Closed::Frame { code: Some(4000), .. })),
                ])
            })),
            resumes(1, 3),
            holds!(|probe| probe.stats.identifies == 1),
        ]),
        Scenario::new(
            "a-bricked-session-is-given-up-after-a-time",
            "discordeno/discordeno#3907: Resumes that fail for 180 s, or as configured",
        )
        .shard(|config| {
            (config.backoff.minimum, config.backoff.cap) = (seconds(20), seconds(20));
            (config.limits.resume_attempts, config.limits.resume_timeout) = (1, seconds(30));
        })
        .steps([
            session(),
            times(3, Point::Resume, Action::Drop),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            all(std::array::from_fn::<_, 2, _>(|_| {
                all([
                    opens_resume_url(),
                    sends(RESUME, json!({"seq": 1})),
                    loses!(DisconnectReason::Closed(Closed::Eof)),
                ])
            })),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 1})),
            sees!(Event::Notice(Notice::ResumeGivenUp { attempts: 3 })),
            loses_all!(DisconnectReason::Closed(Closed::Eof)),
            session(),
        ]),
        Scenario::new(
            "a-bricked-session-is-given-up",
            "discordeno/discordeno#3907: five failed Resumes in a row that took long enough",
        )
        .shard(|config| {
            config.backoff.cap = seconds(2);
            config.limits.resume_timeout = milliseconds(1);
        })
        .steps([
            session(),
            times(5, Point::Resume, Action::Drop),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            all(std::array::from_fn::<_, 4, _>(|_| {
                all([
                    opens_resume_url(),
                    sends(RESUME, json!({"seq": 1})),
                    loses!(DisconnectReason::Closed(Closed::Eof)),
                ])
            })),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 1})),
            sees!(Event::Notice(Notice::ResumeGivenUp { attempts: 5 })),
            loses_all!(DisconnectReason::Closed(Closed::Eof)),
            session(),
        ]),
        Scenario::new(
            "a-replay-in-many-parts",
            "discordeno/discordeno#3907: a replay that progresses keeps the session",
        )
        .shard(|config| config.backoff.cap = seconds(2))
        .gateway(|config| config.hello_delay = seconds(5))
        .steps([
            session(),
            gateway(Control::Rule(Rule {
                after: 1,
                count: Some(7),
                ..Rule::once(Point::Replay, Action::Drop)
            })),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            emits(10),
            all((1..=7).map(|sequence| {
                all([
                    opens_resume_url(),
                    sends(RESUME, json!({"seq": sequence})),
                    messages(sequence + 1, 1),
                    loses!(DisconnectReason::Closed(_)),
                ])
            })),
            resumes(8, 3),
        ]),
        Scenario::new(
            "more-events-missed-than-the-server-keeps",
            "Discord Docs, Gateway > Resuming: the server's replay buffer is bounded",
        )
        .gateway(|config| {
            config.replay_limit = Some(10);
            config.hello_delay = seconds(5);
        })
        .steps([
            session(),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            emits(30),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 1})),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { resumable: false }),
            session(),
        ]),
        Scenario::new("unacknowledged-events-are-replayed", "at least once, across a restart")
            .shard(|config| config.delivery = Delivery::Acknowledged)
            .steps([
                session(),
                emits(5),
                messages(2, 5),
                acknowledges(3),
                shutdown(Shutdown::Resumable),
                closes(4000),
                sees!(Event::Disconnected(end) if end.retry_in.is_none()),
                stops(StopReason::Shutdown(Shutdown::Resumable)),
                restart(|_| {}),
                opens_resume_url(),
                sends(RESUME, json!({"seq": 3})),
                messages(4, 3),
                dispatches("RESUMED", 7),
                sees!(Event::Resumed { replayed: 3 }),
            ]),
        Scenario::new(
            "delivered-events-are-not-delivered-again",
            "the same process has received the event, although it has not acknowledged it",
        )
        .shard(|config| config.delivery = Delivery::Acknowledged)
        .steps([
            session(),
            emits(5),
            messages(2, 5),
            acknowledges(3),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 3})),
            dispatches("RESUMED", 7),
            sees!(Event::Resumed { .. }),
        ]),
        Scenario::new(
            "a-lost-event-is-replayed",
            "a skipped sequence number causes a Resume; each event is delivered once, in order",
        )
        .variants(ALL)
        .steps([
            session(),
            emits(1),
            messages(2, 1),
            gateway(Control::Lose { count: 2 }),
            emits(2),
            sees!(Event::Notice(Notice::SequenceGap { after: 2, got: 5 })),
            closes(4000),
            loses!(DisconnectReason::SequenceGap { after: 2, got: 5 }),
            resumes(2, 4).after(seconds(0)),
            emits(1),
            messages(8, 1),
        ]),
        Scenario::new(
            "an-event-lost-before-it-was-acknowledged",
            "a skipped sequence number causes a Resume, also if it goes back further",
        )
        .shard(|config| config.delivery = Delivery::Acknowledged)
        .steps([
            session(),
            emits(3),
            messages(2, 3),
            acknowledges(2),
            gateway(Control::Lose { count: 1 }),
            emits(1),
            sees!(Event::Notice(Notice::SequenceGap { after: 4, got: 6 })),
            closes(4000),
            loses!(DisconnectReason::SequenceGap { .. }),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 2})),
            messages(5, 2),
            dispatches("RESUMED", 7),
            sees!(Event::Resumed { replayed: 2 }),
        ]),
        Scenario::new(
            "sequence-numbers-without-events",
            "what a Resume does not replay is skipped; after a minute a gap causes another Resume",
        )
        .steps([
            session(),
            gateway(Control::Skip { count: 1 }),
            emits(1),
            sees!(Event::Notice(Notice::SequenceGap { after: 1, got: 3 })),
            closes(4000),
            loses!(DisconnectReason::SequenceGap { .. }),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 1})),
            sees!(Event::Notice(Notice::SequenceGap { after: 1, got: 3 })),
            messages(3, 1),
            dispatches("RESUMED", 4),
            sees!(Event::Resumed { replayed: 1 }),
            all((0..5).map(|time| {
                all([
                    gateway(Control::Skip { count: 1 }),
                    emits(1),
                    sees!(Event::Notice(Notice::SequenceGap { .. })),
                    messages(6 + 2 * time, 1),
                ])
            })),
            holds!(|probe| probe.stats.connects == 2),
            elapse(seconds(60)),
            gateway(Control::Skip { count: 1 }),
            emits(1),
            sees!(Event::Notice(Notice::SequenceGap { after: 14, got: 16 })),
            closes(4000),
            loses!(DisconnectReason::SequenceGap { .. }),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 14})),
            sees!(Event::Notice(Notice::SequenceGap { after: 14, got: 16 })),
            messages(16, 1),
            dispatches("RESUMED", 17),
            sees!(Event::Resumed { replayed: 1 }),
        ]),
        Scenario::new("an-event-lost-in-a-replay", "a skipped sequence number causes one Resume").steps([
            session(),
            resume_unanswered(1),
            payload(json!({"op": 0, "s": 3, "t": "TYPING_START", "d": {}})),
            sees!(Event::Notice(Notice::SequenceGap { after: 1, got: 3 })),
            closes(4000),
            loses!(DisconnectReason::SequenceGap { after: 1, got: 3 }),
            once(Point::Resume, Action::Ignore),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 1})),
            payload(json!({"op": 0, "s": 2, "t": "TYPING_START", "d": {}})),
            dispatches("TYPING_START", 2),
            payload(json!({"op": 0, "s": 3, "t": "TYPING_START", "d": {}})),
            dispatches("TYPING_START", 3),
            payload(json!({"op": 0, "s": 4, "t": "RESUMED", "d": null})),
            dispatches("RESUMED", 4),
            sees!(Event::Resumed { replayed: 2 }),
        ]),
        Scenario::new(
            "many-connections-one-session",
            "Rapptz/discord.py#10409; discordjs/discord.js#4095: the shard never identifies again",
        )
        .shard(|config| config.backoff.cap = seconds(1))
        .steps([
            session(),
            all((1..=20).map(|sequence| {
                all([
                    gateway(Control::Drop),
                    loses!(DisconnectReason::Closed(Closed::Eof)),
                    resumes(sequence, 0),
                ])
            })),
            holds!(|probe| probe.stats.identifies == 1 && probe.stats.resumed == 20),
        ]),
    ]
}
