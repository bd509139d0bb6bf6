//! Upgrades that are refused, broken, or answered with another protocol.

use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_driver::proto::{Closed, ConnectError, Notice};
use gateway_sim::{Action, ByteEffect, ByteFault, Control, Point, Response};
use serde_json::json;

use crate::scenario::{JSON, Scenario, Step};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "upgrades-refused-repeatedly",
            "RFC 6455, section 4.1: 403 is reported after five in a row",
        )
        .shard(|config| config.backoff.cap = seconds(4))
        .variants(JSON)
        .steps([
            times(5, Point::Upgrade, Action::Http(Response::empty(403))),
            all(std::array::from_fn::<_, 4, _>(|_| is_refused(403))),
            sees!(Event::Notice(Notice::RefusedRepeatedly { status: 403, times: 5 })),
            is_refused(403),
            all(std::array::from_fn::<_, 6, _>(|_| opens_base_url())),
            sends(IDENTIFY, json!({})),
            readies(),
        ]),
        Scenario::new("retry-after-is-observed", "hikari-py/hikari#90: 429 with Retry-After")
            .variants(JSON)
            .steps([
                once(Point::Upgrade, Action::Http(Response::empty(429).header("Retry-After", "30"))),
                opens_base_url(),
                is_refused(429),
                opens_base_url().after(seconds(30)),
                sends(IDENTIFY, json!({})),
                readies(),
            ]),
        Scenario::new(
            "the-body-of-a-refusal-is-reported",
            "hikari-py/hikari#90: the error contains body and status",
        )
        .variants(JSON)
        .steps([
            once(Point::Upgrade, Action::Http(Response::json(503, &json!({"message": "no upstream"})))),
            ends_where("503, with its words", |end| match &end.reason {
                DisconnectReason::ConnectFailed(ConnectError::Refused(refused)) => {
                    refused.status == 503 && refused.body == br#"{"message":"no upstream"}"#
                }
                _ => false,
            }),
            opens_base_url(),
            session(),
        ]),
        refused("upgrade-refused-with-401", 401),
        refused("upgrade-refused-with-404", 404),
        refused("upgrade-refused-with-500", 500),
        refused("upgrade-refused-with-502", 502),
        refused("upgrade-refused-with-503", 503),
        refused("upgrade-refused-with-520", 520),
        Scenario::new(
            "the-upgrade-ends-without-an-answer",
            "disgoorg/disgo@d072b7c: the stream ends instead of an answer",
        )
        .variants(JSON)
        .steps([
            once(Point::Upgrade, Action::Drop),
            opens_base_url(),
            loses_all!(DisconnectReason::ConnectFailed(ConnectError::Handshake(_))),
            session(),
        ]),
        Scenario::new("a-reset-in-the-upgrade", "a reset at each step of a connection").variants(JSON).steps(
            [
                once(Point::Upgrade, Action::Abort),
                opens_base_url(),
                loses_all!(DisconnectReason::ConnectFailed(ConnectError::Handshake(_))),
                session(),
            ],
        ),
        Scenario::new(
            "the-upgrade-is-answered-with-garbage",
            "RFC 6455, section 4.1: the answer is not HTTP",
        )
        .variants(JSON)
        .steps([
            once(Point::Upgrade, Action::Bytes(ByteFault { at: 0, effect: ByteEffect::Corrupt })),
            opens_base_url(),
            loses_all!(DisconnectReason::ConnectFailed(ConnectError::Handshake(_))),
            session(),
        ]),
        Scenario::new(
            "a-wrong-accept-key-in-the-upgrade",
            "RFC 6455, section 4.1: a wrong Sec-WebSocket-Accept",
        )
        .variants(JSON)
        .steps([
            once(Point::Upgrade, Action::Bytes(ByteFault { at: 110, effect: ByteEffect::Corrupt })),
            opens_base_url(),
            loses_all!(DisconnectReason::ConnectFailed(ConnectError::Handshake(_))),
            session(),
        ]),
        Scenario::new(
            "everything-comes-byte-by-byte",
            "discord-jda/JDA#1019: split at every byte, from the upgrade on",
        )
        .steps([
            once(Point::Upgrade, Action::Bytes(ByteFault { at: 0, effect: ByteEffect::Split(1) })),
            session(),
            emits(3),
            messages(2, 3),
        ]),
        Scenario::new(
            "accepted-and-closed-before-hello",
            "RFC 6455, section 4.1: 101, then a close before Hello",
        )
        .steps([
            session(),
            once(Point::Connect, Action::Close(None)),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            opens_resume_url(),
            loses!(DisconnectReason::Closed(Closed::Frame { code: None, .. })),
            opens_base_url(),
            resumes_here(1, 0),
        ]),
    ]
}

/// A session, then a refusal before the Resume: the session is kept.
fn refused(name: &'static str, status: u16) -> Scenario {
    Scenario::new(name, "RFC 6455, section 4.1; disgoorg/disgo@d072b7c: after a refusal the shard backs off and keeps the session")
        .variants(JSON)
        .steps([
            session(),
            once(Point::Upgrade, Action::Http(Response::empty(status))),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            opens_resume_url(),
            is_refused(status),
            opens_base_url(),
            resumes_here(1, 0),
        ])
}

fn is_refused(status: u16) -> Step {
    ends_where(&format!("the upgrade refused with {status}"), move |end| match &end.reason {
        DisconnectReason::ConnectFailed(ConnectError::Refused(refused)) => refused.status == status,
        _ => false,
    })
}
