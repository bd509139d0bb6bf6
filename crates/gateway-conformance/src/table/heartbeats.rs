//! Heartbeats, acknowledgements, and dead connections.

use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_driver::proto::health::Condition;
use gateway_driver::proto::{Closed, Notice};
use gateway_sim::{Action, Control, Point};
use serde_json::json;

use crate::scenario::{BOTH, ClientAction, JSON, Scenario, Step};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("heartbeats-are-regular", "Discord Docs, Gateway > Sending Heartbeats: jitter before the first, then one every interval").steps([
            session(),
            beats(1).between(seconds(0), milliseconds(41_250)),
            beats(1).after(milliseconds(41_250)),
            emits(2),
            messages(2, 2),
            beats(3).after(milliseconds(41_250)),
        ]),
        Scenario::new(
            "the-first-heartbeat-is-null",
            "Discord Docs, Gateway > Sending Heartbeats; twilight-rs/twilight#1944: null before READY, then the newest sequence number",
        )
        .gateway(|config| config.heartbeat_interval = seconds(10))
        .steps([
            once(Point::Identify, Action::Delay(seconds(15))),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            beats(None).between(seconds(0), seconds(10)),
            readies(),
            beats(1),
        ]),
        Scenario::new("heartbeats-do-not-wait-for-a-permit", "Discord Docs, Gateway > Connection Lifecycle: heartbeats are sent while the shard waits for a permit")
            .gateway(|config| config.heartbeat_interval = seconds(1))
            .steps([
                session(),
                gateway(Control::Invalid { resumable: false }),
                closes(1000),
                loses_all!(DisconnectReason::InvalidSession { .. }),
                opens_base_url(),
                sends(IDENTIFY, json!({})),
                readies(),
                beats(1),
            ]),
        Scenario::new("heartbeats-while-resuming", "Discord Docs, Gateway > Sending Heartbeats: they have the session's sequence number before RESUMED")
            .gateway(|config| config.heartbeat_interval = seconds(10))
            .steps([
                session(),
                emits(2),
                messages(2, 2),
                once(Point::Resume, Action::Delay(seconds(15))),
                gateway(Control::Abort),
                loses!(DisconnectReason::Closed(_)),
                opens_resume_url(),
                sends(RESUME, json!({"seq": 3})),
                beats(3).between(seconds(0), seconds(10)),
                dispatches("RESUMED", 4),
                sees!(Event::Resumed { replayed: 0 }),
            ]),
        requested("a-requested-heartbeat", json!(null)),
        requested("a-requested-heartbeat-with-a-number", json!(251)),
        Scenario::new(
            "a-requested-heartbeat-changes-no-schedule",
            "Discord Docs, Gateway > Sending Heartbeats; twilight-rs/twilight#1968: the schedule is unchanged",
        )
        .steps([
            session(),
            beats(1),
            elapse(seconds(20)),
            gateway(Control::Beat),
            beats(1).after(seconds(0)),
            beats(1).after(milliseconds(21_250)),
        ]),
        Scenario::new("a-heartbeat-requested-before-hello", "opcode 1 is handled in every state")
            .steps([
                once(Point::Connect, Action::Ignore),
                opens_base_url(),
                gateway(Control::Beat),
                beats(None).after(seconds(0)),
                gateway(Control::Hello),
                sends(IDENTIFY, json!({})),
                readies(),
            ]),
        Scenario::new("a-flood-of-requests-for-heartbeats", "Discord Docs, Gateway > Rate Limiting: at most 120 messages in 60 s")
            .variants(JSON)
            .steps([
                session(),
                all((0..200).map(|_| gateway(Control::Beat))),
                beats(1),
                emits(1),
                messages(2, 1),
                elapse(seconds(70)),
                gateway(Control::Beat),
                beats(2),
            ]),
        Scenario::new("a-zombie-is-dropped", "Discord Docs, Gateway > Sending Heartbeats; twilight-rs/twilight#2380: a dead connection is closed with 4000, without waiting for an answer")
            .steps([
                session(),
                gateway(Control::Silence),
                beats(1).between(seconds(0), milliseconds(41_250)),
                closes(4000).after(milliseconds(41_250)),
                loses!(DisconnectReason::Zombie).after(seconds(0)),
                opens_resume_url().after(seconds(0)),
                resumes_here(1, 0),
            ]),
        Scenario::new("no-zombie-before-the-first-heartbeat", "disgoorg/disgo#499: the shard waits for one full interval")
            .gateway(|config| config.heartbeat_interval = seconds(10))
            .steps([
                session(),
                beats(1).between(seconds(0), seconds(10)),
                sees!(Event::HeartbeatAcknowledged { .. }),
                beats(1).after(seconds(10)),
                sees!(Event::HeartbeatAcknowledged { .. }),
            ]),
        Scenario::new("a-zombie-before-ready", "twilight-rs/twilight#1964; disgoorg/disgo#499: silence before READY")
            .steps([
                once(Point::Identify, Action::Silence),
                opens_base_url(),
                sends(IDENTIFY, json!({})),
                beats(None),
                closes(4000).after(milliseconds(41_250)),
                loses_all!(DisconnectReason::Zombie),
                session(),
            ])
            .shard(|config| config.timeouts.ready = seconds(600)),
        Scenario::new("a-zombie-while-resuming", "Gelbpunkt/gateway-proxy#29; twilight-rs/twilight#1964: silence before the replay")
            .shard(|config| config.timeouts.resumed = seconds(600))
            .steps([
                session(),
                once(Point::Resume, Action::Silence),
                gateway(Control::Abort),
                loses!(DisconnectReason::Closed(_)),
                opens_resume_url(),
                sends(RESUME, json!({"seq": 1})),
                beats(1),
                closes(4000).after(milliseconds(41_250)),
                loses!(DisconnectReason::Zombie),
                opens(),
                resumes_here(1, 0),
            ]),
        Scenario::new("late-acks-after-a-flood", "twilight-rs/twilight#1997: any received message proves that the connection is alive")
            .gateway(|config| {
                config.heartbeat_interval = seconds(10);
                config.ack_delay = seconds(12);
            })
            .variants(JSON)
            .steps([
                session(),
                gateway(Control::Pump { rate: 2.0, duration: seconds(60), padding: 0 }),
                messages(2, 120),
                holds!(|probe| probe.stats.zombies == 0),
            ]),
        Scenario::new(
            "events-without-acks-keep-a-connection-for-a-limited-time",
            "without an ACK for two intervals the connection is replaced",
        )
        .gateway(|config| config.heartbeat_interval = seconds(10))
        .steps([
            session(),
            gateway(Control::Mute(true)),
            beats(1),
            elapse(seconds(5)),
            emits(1),
            messages(2, 1),
            beats(2).after(seconds(5)),
            elapse(seconds(5)),
            emits(1),
            messages(3, 1),
            closes(4000).after(seconds(5)),
            loses!(DisconnectReason::Zombie),
            resumes(3, 0),
        ]),
        Scenario::new("an-unexpected-ack", "Discord Docs, Gateway > Sending Heartbeats; Rapptz/discord.py@f9c66a6: it is ignored, and has no latency").steps(
            [
                session(),
                payload(json!({"op": 11, "d": null})),
                emits(1),
                messages(2, 1),
                holds!(|probe| probe.stats.acknowledgements == 0 && probe.health.latency.is_none()),
                beats(2),
                sees!(Event::HeartbeatAcknowledged { .. }),
                holds!(|probe| probe.stats.acknowledgements == 1 && probe.health.latency.is_some()),
            ],
        ),
        Scenario::new("one-late-ack", "one late ACK does not end the connection")
            .gateway(|config| config.heartbeat_interval = seconds(40))
            .steps([
                session(),
                gateway(Control::Mute(true)),
                beats(1),
                elapse(seconds(20)),
                holds!(|probe| probe.health.condition == Condition::Degraded { missed_heartbeats: 1 }),
                gateway(Control::Mute(false)),
                payload(json!({"op": 11, "d": null})),
                sees!(Event::HeartbeatAcknowledged { .. }),
                holds!(|probe| probe.health.condition == Condition::Healthy),
                beats(1),
            ]),
        Scenario::new("health-degrades-before-the-connection-is-replaced", "discord-jda/JDA#2864: degraded first, then reconnecting")
            .gateway(|config| config.heartbeat_interval = seconds(20))
            .steps([
                session(),
                gateway(Control::Mute(true)),
                beats(1),
                elapse(seconds(11)),
                holds!(|probe| probe.health.condition == Condition::Degraded { missed_heartbeats: 1 }),
                closes(4000).after(seconds(9)),
                loses!(DisconnectReason::Zombie),
                resumes(1, 0),
            ]),
        Scenario::new(
            "repeated-hello-postpones-no-heartbeat",
            "the next heartbeat is sent no later than the running interval",
        )
        .gateway(|config| config.heartbeat_interval = seconds(10))
        .steps([
            session(),
            beats(1).between(seconds(0), seconds(10)),
            all((0..24).map(|_| {
                all([gateway(Control::Hello), sees!(Event::Hello { .. }), elapse(milliseconds(400))])
            })),
            beats(1).after(milliseconds(400)),
        ]),
        Scenario::new("repeated-hello-hides-no-zombie", "without an ACK for two intervals the connection is replaced")
            .gateway(|config| config.heartbeat_interval = seconds(10))
            .steps([
                session(),
                gateway(Control::Mute(true)),
                beats(1).between(seconds(0), seconds(10)),
                all((0..7).map(|_| all([gateway(Control::Hello), elapse(seconds(2))]))),
                closes(4000).after(seconds(6)),
                loses!(DisconnectReason::Zombie),
                resumes(1, 0),
            ]),
        Scenario::new("a-second-hello", "a new interval, and no second Identify").steps([
            session(),
            gateway(Control::HeartbeatInterval(seconds(10))),
            gateway(Control::Hello),
            sees!(Event::Hello { .. }),
            beats(1).between(seconds(0), seconds(10)),
            beats(1).after(seconds(10)),
            emits(1),
            messages(2, 1),
        ]),
        Scenario::new(
            "a-suspended-process-sends-one-heartbeat",
            "Discord Docs, Gateway > Sending Heartbeats; NousResearch/hermes-agent#95922: one heartbeat instead of all missed ones",
        )
        .gateway(|config| {
            config.heartbeat_interval = seconds(10);
            config.missed_heartbeats = None;
        })
        .variants(BOTH)
        .steps([
            session(),
            beats(1),
            sees!(Event::HeartbeatAcknowledged { .. }),
            Step::Client(ClientAction::Suspend),
            elapse(seconds(95)),
            Step::Client(ClientAction::WakeUp),
            sees!(Event::Notice(Notice::NotDriven { .. })),
            beats(1).after(seconds(0)),
            beats(1).after(seconds(10)),
        ]),
        Scenario::new("a-suspended-machine", "NousResearch/hermes-agent#95922: the wall clock advanced while the monotonic clock stood still")
            .steps([
                session(),
                beats(1),
                wall_clock(3600),
                closes(4000).between(seconds(0), milliseconds(41_250)),
                loses!(DisconnectReason::Suspended { .. }),
                resumes(1, 0),
            ]),
        Scenario::new("a-clock-that-is-set-back", "no limit and no deadline changes")
            .steps([
                session(),
                beats(1),
                wall_clock(-3600),
                beats(1).after(milliseconds(41_250)),
                send(leave_voice()),
                sends(VOICE_STATE_UPDATE, json!({})).after(seconds(0)),
                wall_clock(-3597),
                beats(1).after(milliseconds(41_250)),
                holds!(|probe| probe.stats.connects == 1),
            ]),
        Scenario::new(
            "a-suspended-process-and-a-closed-connection",
            "NousResearch/hermes-agent#95922: a close that arrived meanwhile is handled at once",
        )
        .gateway(|config| config.heartbeat_interval = seconds(10))
        .steps([
            session(),
            Step::Client(ClientAction::Suspend),
            elapse(seconds(60)),
            Step::Client(ClientAction::WakeUp),
            sees!(Event::Notice(Notice::NotDriven { .. })),
            loses_all!(DisconnectReason::Closed(Closed::Frame { code: Some(4009), .. })),
            session(),
        ]),
    ]
}

fn requested(name: &'static str, data: serde_json::Value) -> Scenario {
    Scenario::new(name, "Discord Docs, Gateway > Sending Heartbeats; twilight-rs/twilight#1968: it is answered at once, with our own number").steps([
        session(),
        emits(2),
        messages(2, 2),
        payload(json!({"op": 1, "d": data})),
        beats(3).after(seconds(0)),
        payload(json!({"op": 1})),
        beats(3).after(seconds(0)),
    ])
}
