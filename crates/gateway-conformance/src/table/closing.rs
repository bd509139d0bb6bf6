//! The application shuts the shard down in each state.

use gateway_driver::proto::command::SendError;
use gateway_driver::proto::disconnect::{DisconnectReason, Disconnected};
use gateway_driver::proto::{Shutdown, StopReason};
use gateway_sim::{Action, Control, Point};
use serde_json::json;

use crate::scenario::{ALL, DialFault, Scenario, Step};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("logging-off-closes-with-1000", "Discord Docs, Gateway > Initiating a Disconnect; Rapptz/discord.py@403651a: only logging off closes with 1000")
            .variants(ALL)
            .steps([session(), logs_off(), holds!(|probe| probe.session.is_none())]),
        Scenario::new("shutdown-closes-with-4000", "Discord Docs, Gateway > Initiating a Disconnect: the session is kept")
            .variants(ALL)
            .steps([
                session(),
                shutdown(Shutdown::Resumable),
                closes(4000),
                is_over(true),
                holds!(|probe| probe.session.as_ref().is_some_and(|session| session.sequence() == 1)),
            ]),
        Scenario::new("shutdown-while-backing-off", "discord-jda/JDA#2464: the shard stops at once, regardless of the back-off")
            .shard(|config| {
                config.backoff.base = seconds(600);
                config.backoff.cap = seconds(600);
                config.backoff.minimum = seconds(500);
            })
            .steps([
                dials_fail(1, DialFault::Refused),
                loses_all!(DisconnectReason::ConnectFailed(_)),
                shutdown(Shutdown::Resumable),
                stops(StopReason::Shutdown(Shutdown::Resumable)).after(seconds(0)),
            ]),
        Scenario::new("shutdown-while-dialing", "discord-jda/JDA#2464: the attempt is cancelled").steps([
            dials_fail(1, DialFault::Unreachable),
            sees!(Event::Connecting { .. }),
            shutdown(Shutdown::LogOff),
            is_over(false).after(seconds(0)),
        ]),
        Scenario::new("shutdown-before-hello", "bwmarrin/discordgo#513; discord-jda/JDA#2464: shutdown works in every state").steps([
            once(Point::Connect, Action::Ignore),
            opens_base_url(),
            sees!(Event::Connected),
            shutdown(Shutdown::LogOff),
            closes(1000),
            is_over(false),
        ]),
        Scenario::new("shutdown-before-ready", "bwmarrin/discordgo#513; discord-jda/JDA#2464: shutdown works in every state").steps([
            once(Point::Identify, Action::Ignore),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            shutdown(Shutdown::Resumable),
            closes(4000),
            is_over(false),
        ]),
        Scenario::new("shutdown-while-waiting-for-a-permit", "discord-jda/JDA#2464: shutdown works in every state").steps([
            session(),
            gateway(Control::Invalid { resumable: false }),
            closes(1000),
            loses_all!(DisconnectReason::InvalidSession { .. }),
            opens_base_url(),
            sees!(Event::Hello { .. }),
            shutdown(Shutdown::LogOff),
            ends_somehow(),
        ]),
        Scenario::new("shutdown-while-resuming", "bwmarrin/discordgo#513; discord-jda/JDA#2464: shutdown works in every state, and the session is kept").steps([
            session(),
            resume_unanswered(1),
            shutdown(Shutdown::Resumable),
            closes(4000),
            is_over(true),
            holds!(|probe| probe.session.is_some()),
        ]),
        Scenario::new("shutdown-with-a-silent-server", "discordjs/discord.js#7450; serenity-rs/serenity#3099; twilight-rs/twilight#1070: the shard stops after 5 s")
            .shard(|config| config.timeouts.close = seconds(5))
            .steps([
                session(),
                gateway(Control::Silence),
                shutdown(Shutdown::LogOff),
                closes(1000),
                is_over(false).after(seconds(5)),
            ]),
        Scenario::new("shutdown-twice", "disgoorg/disgo@d072b7c; twilight-rs/twilight#2399: one close frame, one end").steps([
            session(),
            shutdown(Shutdown::Resumable),
            shutdown(Shutdown::LogOff),
            closes_once(),
            sees!(Event::Disconnected(Disconnected { retry_in: None, .. })),
            ends(),
        ]),
        Scenario::new("commands-after-the-shard-has-stopped", "twilight-rs/twilight#1070: commands return a typed error").steps([
            session(),
            logs_off(),
            send_refused!(presence(), SendError::Stopped),
        ]),
        Scenario::new("shutdown-delivers-nothing-more", "the snapshot ends with the last delivered event")
            .steps([
                session(),
                once(Point::Close, Action::Delay(seconds(2))),
                shutdown(Shutdown::Resumable),
                closes(4000),
                emits(5),
                is_over(true),
                holds!(|probe| probe.session.as_ref().is_some_and(|session| session.sequence() == 1)),
                restart(|_| {}),
                resumes(1, 5),
            ])
            .shard(|config| config.timeouts.close = seconds(60)),
    ]
}

/// The last Disconnected, and the end of the events.
fn is_over(resumable: bool) -> Step {
    let last = ends_where(&format!("the last connection ended, resumable {resumable}"), move |end| {
        end.resumable == resumable && end.retry_in.is_none()
    });
    all([last, ends()])
}

/// The events end because of the shutdown.
fn ends() -> Step {
    Step::App(crate::Expectation::new("the end, as requested", |seen: &crate::Seen| {
        matches!(seen, crate::Seen::Stopped(StopReason::Shutdown(_)))
    }))
}

/// The order of the permit and the shutdown is not determined.
fn ends_somehow() -> Step {
    all([
        Step::Wire(crate::Expectation::new(
            "closes with 1000, possibly after an Identify",
            |act: &crate::ClientAct| matches!(act, crate::ClientAct::Closes { code: Some(1000) }),
        )),
        is_over(false),
    ])
}

/// One close frame with either code.
fn closes_once() -> Step {
    Step::Wire(crate::Expectation::new("closes with 1000 or 4000", |act: &crate::ClientAct| {
        matches!(act, crate::ClientAct::Closes { code: Some(1000 | 4000) })
    }))
}
