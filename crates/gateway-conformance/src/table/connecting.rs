//! URLs of connections, and the first messages on them.

use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_driver::proto::{Closed, ConnectError};
use gateway_sim::{Action, Control, Point};
use serde_json::json;

use crate::scenario::{
    ALL, BOTH, DialFault, ETF, JSON, PAYLOAD, STREAMS, Scenario, Step, Variant, ZLIB, ZSTD,
};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        url_is("url-of-json", JSON, "/?v=10&encoding=json"),
        url_is("url-of-etf", ETF, "/?v=10&encoding=etf"),
        url_is("url-of-zlib-stream", &ZLIB[..1], "/?v=10&encoding=json&compress=zlib-stream"),
        url_is("url-of-zstd-stream-with-etf", &ZSTD[1..], "/?v=10&encoding=etf&compress=zstd-stream"),
        Scenario::new(
            "payload-compression-is-requested-in-identify",
            "Discord Docs, Gateway > Encoding and Compression: payload compression is requested in Identify, not in the URL",
        )
        .variants(PAYLOAD)
        .steps([
            is_opened("/?v=10&encoding=json"),
            sends(IDENTIFY, json!({"compress": true})),
            readies(),
        ]),
        Scenario::new("url-parameters-are-set-once", "twilight-rs/twilight#1894: the URL has a path, a query and an old version")
            .shard(|config| config.url = "/path?v=6&encoding=etf&compress=zlib-stream&x=1".to_owned())
            .variants(JSON)
            .steps([is_opened("/path?v=10&encoding=json&x=1"), sends(IDENTIFY, json!({})), readies()]),
        Scenario::new(
            "url-with-a-slash-at-the-end",
            "Discord Docs, Gateway > Connecting: the base URL may end with a slash",
        )
        .shard(|config| config.url = "/".to_owned())
        .variants(JSON)
        .steps([is_opened("/?v=10&encoding=json"), sends(IDENTIFY, json!({})), readies()]),
        Scenario::new(
            "the-resume-url-gets-the-same-parameters",
            "Discord Docs, Gateway > Connecting; serenity-rs/serenity#2832; twilight-rs/twilight#1894: the same parameters on resume_gateway_url",
        )
        .variants(&STREAMS[..2])
        .steps([
            session(),
            gateway(Control::Drop),
            loses!(DisconnectReason::Closed(Closed::Eof)),
            opens_where("resumes with each parameter once", |target| {
                target.starts_with("ws")
                    && ["v=10", "encoding=json", "compress=z"]
                        .iter()
                        .all(|part| target.matches(part).count() == 1)
            }),
            resumes_here(1, 0),
        ]),
        Scenario::new(
            "a-dead-resume-url-falls-back-to-the-base-url",
            "RFC 6455, section 4.1; tatsuworks/gateway#87: after one failed attempt the shard resumes at the base URL",
        )
        .steps([
            session(),
            dials_fail(1, DialFault::Refused),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            loses!(DisconnectReason::ConnectFailed(ConnectError::Tcp(_))),
            opens_base_url(),
            resumes_here(1, 0),
        ]),
        Scenario::new(
            "a-silent-resume-url-falls-back-to-the-base-url",
            "tatsuworks/gateway#87: the connection opens, but the server sends no Hello",
        )
        .shard(|config| config.timeouts.hello = seconds(20))
        .steps([
            session(),
            once(Point::Connect, Action::Ignore),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            opens_resume_url(),
            closes(4000).after(seconds(20)),
            loses!(DisconnectReason::HelloTimeout),
            opens_base_url(),
            resumes_here(1, 0),
        ]),
        Scenario::new(
            "the-resume-url-is-used-again-after-an-outage",
            "the base URL is used only for the rest of the outage",
        )
        .steps([
            session(),
            dials_fail(1, DialFault::Refused),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            loses!(DisconnectReason::ConnectFailed(_)),
            opens_base_url(),
            resumes_here(1, 0),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            resumes(2, 0),
        ]),
        Scenario::new("nothing-is-sent-before-hello", "twilight-rs/twilight#1973: Identify and Resume wait for Hello")
            .gateway(|config| config.hello_delay = seconds(2))
            .steps([
                opens_base_url(),
                sends(IDENTIFY, json!({})).after(seconds(2)),
                readies(),
                gateway(Control::Abort),
                loses!(DisconnectReason::Closed(_)),
                opens_resume_url(),
                sends(RESUME, json!({"seq": 1})).after(seconds(2)),
                dispatches("RESUMED", 2),
                sees!(Event::Resumed { replayed: 0 }),
            ]),
        Scenario::new("plain-tcp", "ws:// without TLS").variants(ALL).without_tls().steps([
            session(),
            emits(1),
            messages(2, 1),
            gateway(Control::Drop),
            loses!(DisconnectReason::Closed(Closed::Eof)),
            resumes(2, 0),
        ]),
        Scenario::new("pings-are-answered", "Discord Docs, Gateway > Connecting: a ping frame is answered with a pong").variants(BOTH).steps([
            session(),
            gateway(Control::Ping),
            pongs().after(seconds(0)),
            emits(1),
            messages(2, 1),
        ]),
        Scenario::new("the-events-of-a-connection", "Discord Docs, Gateway > Connection Lifecycle: the states in their order").steps([
            sees!(Event::Connecting { resuming: false, attempt: 0 }),
            sees!(Event::Connected),
            sees!(Event::Hello { .. }),
            sees!(Event::Identifying),
            dispatches("READY", 1),
            sees!(Event::Ready),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            sees!(Event::Connecting { resuming: true, attempt: 1 }),
            sees!(Event::Connected),
            sees!(Event::Hello { .. }),
            sees!(Event::Resuming { sequence: 1 }),
            dispatches("RESUMED", 2),
            sees!(Event::Resumed { replayed: 0 }),
            opens_base_url(),
            sends(IDENTIFY, json!({})),
            opens_resume_url(),
            sends(RESUME, json!({"seq": 1})),
        ]),
    ]
}

fn url_is(name: &'static str, variants: &'static [Variant], target: &'static str) -> Scenario {
    Scenario::new(
        name,
        "Discord Docs, Gateway > Connecting: version, encoding and compression are always in the URL",
    )
    .variants(variants)
    .steps([is_opened(target), sends(IDENTIFY, json!({"compress": false})), readies()])
}

fn is_opened(target: &'static str) -> Step {
    opens_where(&format!("requests {target}"), move |requested| requested == target)
}
