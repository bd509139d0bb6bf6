//! The back-off before the next attempt.

use std::ops::RangeInclusive;
use std::time::Duration;

use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_sim::{Action, Control, Point};
use serde_json::json;

use crate::Seen;
use crate::scenario::{DialFault, Expectation, JSON, Scenario, Step};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "the-wait-grows",
            "serenity-rs/serenity#1433; discordjs/discord.js#9517: the back-off is 0.4 of the outage so far, at least 300 ms",
        )
        .variants(JSON)
        .steps([
            dials_fail(13, DialFault::Refused),
            all(shortest_waits().take(13).map(waits)),
            session(),
        ]),
        Scenario::new("the-wait-is-bounded", "the back-off is at most 60 s, or as configured, with jitter")
            .shard(|config| config.backoff.cap = seconds(2))
            .variants(JSON)
            .steps([
                dials_fail(20, DialFault::Refused),
                all((0..20).map(|_| waits(milliseconds(300)..=seconds(2)))),
                session(),
            ]),
        Scenario::new(
            "the-attempts-are-counted",
            "twilight-rs/twilight#2505: a connection that closes after Hello is a failed attempt",
        )
        .shard(|config| config.backoff.cap = seconds(4))
        .variants(JSON)
        .steps([
            times(6, Point::Hello, Action::Close(Some(4000))),
            all((0..6).map(|failures| all([is_attempt(failures), loses_all!(DisconnectReason::Closed(_))]))),
            is_attempt(6),
            all(std::array::from_fn::<_, 7, _>(|_| opens_base_url())),
            sends(IDENTIFY, json!({})),
            readies(),
        ]),
        Scenario::new("only-the-first-redial-is-immediate", "twilight-rs/twilight#2505: later attempts back off")
            .steps([
                session(),
                gateway(Control::Abort),
                waits_exactly(seconds(0)),
                resumes(1, 0),
                gateway(Control::Abort),
                waits(milliseconds(300)..=LONGEST),
                resumes(2, 0),
                gateway(Control::Abort),
                waits(milliseconds(300)..=LONGEST),
                resumes(3, 0),
            ]),
        Scenario::new(
            "a-stable-connection-resets-the-back-off",
            "the back-off is reset once a connection was stable after READY or RESUMED",
        )
        .shard(|config| config.backoff.stable_after = seconds(60))
        .steps([
            session(),
            gateway(Control::Abort),
            waits_exactly(seconds(0)),
            resumes(1, 0),
            elapse(seconds(60)),
            gateway(Control::Abort),
            waits_exactly(seconds(0)),
            resumes(2, 0),
        ]),
        Scenario::new(
            "identifies-without-ready",
            "discord/discord-api-docs#1023: the back-off grows if every start is closed with 1011",
        )
        .variants(JSON)
        .steps([
            times(5, Point::Identify, Action::Close(Some(1011))),
            // Two Identifies are at least five seconds apart, so the outage is at least as long.
            all((0..5).map(|failures| {
                let least = (seconds(5) * failures).mul_f64(0.4).max(milliseconds(300));
                all([opens_base_url(), sends(IDENTIFY, json!({})), waits(least..=LONGEST)])
            })),
            session(),
        ]),
        Scenario::new(
            "an-outage-of-the-server",
            "serenity-rs/serenity#1433: the session resumes after connects were refused for a minute",
        )
        .shard(|config| config.backoff.cap = seconds(8))
        .variants(JSON)
        .steps([
            session(),
            dials_fail(12, DialFault::Refused),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            emits(3),
            all(std::array::from_fn::<_, 12, _>(|_| loses!(DisconnectReason::ConnectFailed(_)))),
            opens_base_url(),
            resumes_here(1, 3),
        ]),
    ]
}

/// The longest wait by default.
const LONGEST: Duration = seconds(60);

/// The connection or attempt ends, and the next begins after a time in this range.
fn waits(range: RangeInclusive<Duration>) -> Step {
    ends_where(&format!("another attempt in {range:?}"), move |end| {
        end.retry_in.is_some_and(|wait| range.contains(&wait))
    })
}

/// The range of each wait of an outage: from its minimum to the general maximum. The length of the outage at a failed
/// attempt differs between the ways of running the scenario; it is at least the sum of the waits so far.
fn shortest_waits() -> impl Iterator<Item = RangeInclusive<Duration>> {
    let mut outage = Duration::ZERO;
    std::iter::repeat_with(move || {
        let least = outage.mul_f64(0.4).clamp(milliseconds(300), seconds(48));
        outage += least;
        least..=LONGEST
    })
}

/// The connection ends, and the next begins after exactly this time.
fn waits_exactly(time: Duration) -> Step {
    ends_where(&format!("another attempt in {time:?}"), move |end| end.retry_in == Some(time))
}

fn is_attempt(failures: u32) -> Step {
    Step::App(Expectation::new(
        format!("an attempt after {failures} failures"),
        move |seen: &Seen| match seen {
            Seen::Event(Event::Connecting { attempt, .. }) => *attempt == failures,
            _ => false,
        },
    ))
}
