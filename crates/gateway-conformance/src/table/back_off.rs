//! How long a shard waits before it tries again.

use std::time::Duration;

use gateway_driver::proto::DisconnectReason;
use gateway_sim::{Action, Control, Point};
use serde_json::json;

use crate::Seen;
use crate::scenario::{DialFault, Expectation, JSON, Scenario, Step};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("the-wait-grows", "B21, B22, protocol 9: full jitter, doubling, at least 100 ms")
            .shard(|config| config.backoff.cap = seconds(8))
            .variants(JSON)
            .steps([
                dials_fail(7, DialFault::Refused),
                all((0..7).map(|failures| waits_at_most(seconds(8.min(1 << failures))))),
                session(),
            ]),
        Scenario::new("the-attempts-are-counted", "B23: connected, Hello, closed: no success")
            .shard(|config| config.backoff.cap = seconds(4))
            .variants(JSON)
            .steps([
                times(6, Point::Hello, Action::Close(Some(4000))),
                all((0..6)
                    .map(|failures| all([is_attempt(failures), loses_all!(DisconnectReason::Closed(_))]))),
                is_attempt(6),
                all(std::array::from_fn::<_, 7, _>(|_| opens_base_url())),
                says(IDENTIFY, json!({})),
                readies(),
            ]),
        Scenario::new("only-the-first-redial-is-immediate", "protocol 9, B23, B24: then back-off").steps([
            session(),
            gateway(Control::Abort),
            waits_exactly(seconds(0)),
            resumes(1, 0),
            gateway(Control::Abort),
            waits_at_most(seconds(2)),
            resumes(2, 0),
        ]),
        Scenario::new(
            "a-stable-connection-forgives",
            "protocol 9: reset after READY or RESUMED plus so much up",
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
            "identifies-that-come-to-nothing",
            "B27, B28, B103: 1011 at every start: the wait grows further",
        )
        .variants(JSON)
        .steps([
            times(5, Point::Identify, Action::Close(Some(1011))),
            all((0..5).map(|failures| {
                all([opens_base_url(), says(IDENTIFY, json!({})), waits_at_most(seconds(2 << failures))])
            })),
            session(),
        ]),
        Scenario::new(
            "the-server-is-gone-for-a-while",
            "B21: refused for a minute, and then the session goes on",
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

/// The connection, or the attempt, has ended, and the next begins after no more than this, and not at once.
fn waits_at_most(longest: Duration) -> Step {
    ends_where(&format!("another attempt in 100 ms to {longest:?}"), move |end| {
        end.retry_in.is_some_and(|wait| wait >= milliseconds(100) && wait <= longest)
    })
}

/// The connection has ended, and the next begins after this.
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
