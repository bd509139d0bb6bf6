//! Applications that are slow or blocked, or that run on another thread.

use std::time::Duration;

use gateway_driver::proto::Shutdown;
use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_sim::Control;
use serde_json::json;

use crate::scenario::{ALL, BOTH, ClientAction, JSON, Scenario, Step};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("a-shard-in-the-background", "the same events arrive through a queue")
            .background(100)
            .variants(ALL)
            .steps([
                session(),
                emits(3),
                messages(2, 3),
                gateway(Control::Abort),
                loses!(DisconnectReason::Closed(_)),
                resumes(4, 0),
                logs_off(),
            ]),
        Scenario::new(
            "heartbeats-while-a-handler-blocks",
            "disgoorg/disgo#499; ewohltman/ephemeral-roles#446; Rapptz/discord.py#6729: heartbeats are sent on time",
        )
        .background(100)
        .gateway(|config| config.heartbeat_interval = seconds(10))
        .steps([
            session(),
            Step::Client(ClientAction::StopTaking),
            beats(1).between(seconds(0), seconds(10)),
            beats(1).after(seconds(10)),
            beats(1).after(seconds(10)),
            beats(1).after(seconds(10)),
            Step::Client(ClientAction::TakeAgain),
            emits(1),
            messages(2, 1),
            holds!(|probe| probe.stats.connects == 1 && probe.stats.acknowledgements >= 3),
        ]),
        Scenario::new("a-full-queue-stops-reading", "the queue is bounded, and a paused connection is not taken for dead")
            .background(4)
            .gateway(|config| config.heartbeat_interval = seconds(10))
            .variants(BOTH)
            .steps([
                session(),
                Step::Client(ClientAction::StopTaking),
                emits(30),
                beats_any(),
                beats_any(),
                beats_any(),
                beats_any(),
                Step::Client(ClientAction::TakeAgain),
                messages(2, 30),
                holds!(|probe| probe.stats.connects == 1 && probe.stats.zombies == 0),
            ]),
        Scenario::new("commands-while-a-handler-blocks", "discord-jda/JDA#1294: commands are sent while no event is taken")
            .background(4)
            .steps([
                session(),
                Step::Client(ClientAction::StopTaking),
                emits(30),
                send(leave_voice()),
                sends(VOICE_STATE_UPDATE, json!({})),
                Step::Client(ClientAction::TakeAgain),
                messages(2, 30),
            ]),
        Scenario::new(
            "a-command-from-another-thread-wakes-an-idle-shard",
            "discord-jda/JDA#1294: wakers work across threads; no heartbeat is due that could hide a lost wake",
        )
        .variants(JSON)
        .without_wall_clock()
        .shard(|config| config.seed = Some(SEED_OF_AN_EARLY_HEARTBEAT))
        .gateway(|config| config.heartbeat_interval = RARE_HEARTBEATS)
        .steps(idle_and_woken()),
        Scenario::new(
            "a-command-from-another-thread-wakes-an-idle-shard-in-the-background",
            "discord-jda/JDA#1294: wakers work across threads, through the background task",
        )
        .variants(JSON)
        .background(4)
        .without_wall_clock()
        .shard(|config| config.seed = Some(SEED_OF_AN_EARLY_HEARTBEAT))
        .gateway(|config| config.heartbeat_interval = RARE_HEARTBEATS)
        .steps(idle_and_woken()),
        Scenario::new(
            "shutdown-while-a-handler-blocks",
            "twilight-rs/twilight#1070: the shard stops, and the queued events are delivered first",
        )
        .background(100)
        .steps([
            session(),
            Step::Client(ClientAction::StopTaking),
            shutdown(Shutdown::LogOff),
            closes(1000),
            Step::Client(ClientAction::TakeAgain),
            sees!(Event::Disconnected(end) if end.retry_in.is_none()),
            stops(gateway_driver::proto::StopReason::Shutdown(Shutdown::LogOff)),
        ]),
        Scenario::new(
            "a-connection-lost-while-a-handler-blocks",
            "disgoorg/disgo#499; ewohltman/ephemeral-roles#446: the loss is noticed, and the connection replaced once there is room",
        )
        .background(100)
        .steps([
            session(),
            Step::Client(ClientAction::StopTaking),
            gateway(Control::Abort),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 1})),
            Step::Client(ClientAction::TakeAgain),
            loses!(DisconnectReason::Closed(_)),
            dispatches("RESUMED", 2),
            sees!(Event::Resumed { replayed: 0 }),
        ]),
    ]
}

/// An idle shard has no reason to act except the command. A runtime that loses wakes between threads leaves it asleep.
fn idle_and_woken() -> [Step; 6] {
    [
        session(),
        // The next one is due in ten minutes, which is longer than a live run waits.
        beats_any().between(seconds(10), seconds(15)),
        // Until the shard is idle.
        elapse(seconds(5)),
        send(leave_voice()),
        sends(VOICE_STATE_UPDATE, json!({})).after(seconds(0)),
        logs_off(),
    ]
}

/// The longest heartbeat interval that a shard accepts.
const RARE_HEARTBEATS: Duration = Duration::from_secs(600);
/// With this seed the jitter of the first heartbeat is small.
const SEED_OF_AN_EARLY_HEARTBEAT: u64 = 102;

/// A heartbeat with any sequence number.
fn beats_any() -> Step {
    sends_where(HEARTBEAT, "with any number", |_| true)
}
