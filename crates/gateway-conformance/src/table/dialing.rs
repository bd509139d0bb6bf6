//! Connections that cannot be opened: names, TCP, TLS, and upgrades without an answer.

use gateway_driver::proto::ConnectError;
use gateway_driver::proto::disconnect::DisconnectReason;
use gateway_sim::{Action, Control, Point};

use crate::scenario::{DialFault, JSON, Scenario};
use crate::words::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "a-name-fails-ten-times-and-then-works",
            "discordjs/discord.js#10554: also before the first connection",
        )
        .shard(|config| config.backoff.cap = seconds(4))
        .steps([
            dials_fail(10, DialFault::UnknownName),
            all(std::array::from_fn::<_, 10, _>(|_| {
                loses_all!(DisconnectReason::ConnectFailed(ConnectError::Dns(_)))
            })),
            session(),
        ]),
        Scenario::new(
            "a-name-that-fails-costs-no-session",
            "discordjs/discord.js#10554; disgoorg/disgo@d072b7c: a failed look-up before a Resume keeps the session",
        )
        .steps([
            session(),
            dials_fail(2, DialFault::UnknownName),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            loses!(DisconnectReason::ConnectFailed(ConnectError::Dns(_))),
            loses!(DisconnectReason::ConnectFailed(ConnectError::Dns(_))),
            opens_base_url(),
            resumes_here(1, 0),
        ]),
        Scenario::new("tcp-connection-refused", "disgoorg/disgo@d072b7c: TCP is refused, then accepted").steps(
            [
                dials_fail(3, DialFault::Refused),
                loses_all!(DisconnectReason::ConnectFailed(ConnectError::Tcp(_))),
                loses_all!(DisconnectReason::ConnectFailed(ConnectError::Tcp(_))),
                loses_all!(DisconnectReason::ConnectFailed(ConnectError::Tcp(_))),
                session(),
            ],
        ),
        Scenario::new("tcp-connect-timeout", "twilight-rs/twilight#2448: the TCP connection never opens")
            .shard(|config| config.timeouts.connect = seconds(60))
            .variants(JSON)
            .steps([
                dials_fail(1, DialFault::Unreachable),
                sees!(Event::Connecting { .. }),
                loses_all!(DisconnectReason::ConnectTimeout).after(seconds(60)),
                session(),
            ]),
        Scenario::new(
            "tls-is-never-finished",
            "twilight-rs/twilight#2448: the server accepts the connection and sends nothing",
        )
        .shard(|config| config.timeouts.connect = seconds(60))
        .variants(JSON)
        .steps([
            dials_fail(1, DialFault::SilentTls),
            sees!(Event::Connecting { .. }),
            loses_all!(DisconnectReason::ConnectTimeout).after(seconds(60)),
            session(),
        ]),
        Scenario::new("the-upgrade-is-never-answered", "twilight-rs/twilight#2448: the server never answers the HTTP request")
            .shard(|config| config.timeouts.connect = seconds(60))
            .variants(JSON)
            .steps([
                once(Point::Upgrade, Action::Ignore),
                opens_base_url(),
                loses_all!(DisconnectReason::ConnectTimeout).after(seconds(60)),
                ends_stream(),
                session(),
            ]),
        tls_fails("a-reset-in-tls", "a reset within the TLS handshake", DialFault::ResetInTls),
        tls_fails("a-server-without-tls", "the server does not speak TLS", DialFault::GarbageForTls),
        tls_fails("a-certificate-for-another-name", "the certificate has another name", DialFault::WrongName),
        tls_fails("an-expired-certificate", "the certificate has expired", DialFault::Expired),
        tls_fails(
            "a-certificate-of-an-unknown-root",
            "the certificate's root is unknown",
            DialFault::UnknownRoot,
        ),
        Scenario::new(
            "a-certificate-that-fails-costs-no-session",
            "RFC 6455, section 4.1: TLS failures keep the session",
        )
        .steps([
            session(),
            dials_fail(1, DialFault::UnknownRoot),
            gateway(Control::Abort),
            loses!(DisconnectReason::Closed(_)),
            loses!(DisconnectReason::ConnectFailed(ConnectError::Tls(_))),
            opens_base_url(),
            resumes_here(1, 0),
        ]),
    ]
}

/// TLS fails twice, then succeeds.
fn tls_fails(name: &'static str, rule: &'static str, fault: DialFault) -> Scenario {
    Scenario::new(name, rule).variants(JSON).steps([
        dials_fail(2, fault),
        loses_all!(DisconnectReason::ConnectFailed(ConnectError::Tls(_))),
        loses_all!(DisconnectReason::ConnectFailed(ConnectError::Tls(_))),
        session(),
    ])
}
